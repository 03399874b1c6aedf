"""Whether the memory of a worker stays what it is: `prepare` over many mixed documents, broken ones among them.

The whole of `prepare` in this process with its parser processes, every kind of personal data looked for; no Kafka and
no store. One text in `MODEL_SHARE` is embedded by the model, the others get a vector of their hash: ten thousand
documents would take an hour.
"""

import asyncio
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations, islice
from statistics import median

import numpy as np

from benchmarks.ingest import EVERY_KIND, delivery_of, pipeline_of
from benchmarks.machine import rss_mb
from benchmarks.mixed import MixedDocument, mixed
from benchmarks.personal_texts import personal_texts
from benchmarks.progress import Progress
from benchmarks.quantiles import quantiles
from benchmarks.results import Figure, Setup
from index.embedding.port import Embedder
from index.embedding.port import Vectors as Rows
from schemas.errors import PermanentError
from schemas.identity import DocId, Source, Tenant
from schemas.records import DocumentChange, Origin
from schemas.redaction import Kind, policy_of
from schemas.topics import Topics
from schemas.versions import Op, StatedVersion
from streams.parse.pool import ParserPool
from streams.pipeline import Pipeline, prepare
from streams.vectors import Vectors

MODEL_SHARE = 50
STEPS = 10
_LETTERS = 2000
_REMEMBERED = 2000
_UNDER_WAY = 16
_MEASURES = (
    "milliseconds per document, from its record to its mutation or its refusal, {under_way} under way at once; "
    "memory in MB after each tenth of the documents, of the worker (this process) and of its parser processes together"
)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How many documents to prepare, with how many parser processes, each renewed after so many documents."""

    documents: int
    seed: int
    topics: Topics
    parsers: int = 2
    documents_per_worker: int = 5000


class _MostlyHashed:
    """An embedder that asks the model for a few texts, and makes the other vectors up."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.fingerprint = inner.fingerprint
        self.dimension = inner.dimension
        self.max_tokens = inner.max_tokens
        self.token_spans = inner.token_spans
        self.embed_query = inner.embed_query

    def embed(self, texts: Sequence[str]) -> Rows:
        return np.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> Rows:
        digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
        if digest % MODEL_SHARE == 0:
            (embedded,) = self._inner.embed([text])
            return np.asarray(embedded, dtype=np.float32)
        row = np.random.default_rng(digest).standard_normal(self.dimension)
        return np.asarray(row / np.linalg.norm(row), dtype=np.float32)


async def measure(plan: MemoryPlan, model: Embedder, look: Callable[[], Setup], progress: Progress) -> list[Figure]:
    """One figure: `worker_mb_per_1000` and `parsers_mb_per_1000` are the slopes over the second half."""
    policy = policy_of(EVERY_KIND)
    kinds = tuple(kind for kind in policy.sought if kind is not Kind.PRIVATE)
    vectors = Vectors(_MostlyHashed(model), remembered=_REMEMBERED)
    async with ParserPool(plan.parsers, kinds=kinds, documents_per_worker=plan.documents_per_worker) as parser:
        pipeline = pipeline_of(parser, policy, model, vectors, plan.topics)
        outcomes, times, seen = await _prepare_all(plan, pipeline, progress)
        setup = look()
    vectors.close()
    worker, parsers = ([step.get(name, 0.0) for step in seen.values()] for name in ("this", "this.children"))
    for documents, step in seen.items():
        outcomes[f"worker_mb.{documents}"] = round(step.get("this", 0.0))
        outcomes[f"parsers_mb.{documents}"] = round(step.get("this.children", 0.0))
    return [
        setup.figure(
            "worker_memory",
            quantiles(times),
            _MEASURES.format(under_way=_UNDER_WAY),
            stages={},
            outcomes=outcomes,
            settings={
                "documents": plan.documents,
                "parsers": plan.parsers,
                "documents_per_worker": plan.documents_per_worker,
                "model_share": 1 / MODEL_SHARE,
                "worker_mb_per_1000": slope(list(seen), worker),
                "parsers_mb_per_1000": slope(list(seen), parsers),
                "seed": plan.seed,
            },
        )
    ]


def slope(documents: Sequence[int], megabytes: Sequence[float]) -> float:
    """MB more for each thousand documents in the second half of the run: the median over all pairs of steps (Theil and
    Sen), for which a step that finds a parser beside its successor is no trend.
    """
    points = list(zip(documents, megabytes, strict=True))[len(documents) // 2 :]
    rises = [1000 * (later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in combinations(points, 2)]
    return round(median(rises), 2) if rises else 0.0


async def _prepare_all(
    plan: MemoryPlan, pipeline: Pipeline, progress: Progress
) -> tuple[Counter[str], list[float], dict[int, dict[str, float]]]:
    letters = [text.text for text in personal_texts(_LETTERS, plan.seed)]
    changes = (_change(mixed(number, letters)) for number in range(plan.documents))
    outcomes: Counter[str] = Counter()
    times: list[float] = []
    seen: dict[int, dict[str, float]] = {}
    per_step = max(1, plan.documents // STEPS)
    places = asyncio.Semaphore(_UNDER_WAY)
    while step := list(islice(changes, per_step)):
        await asyncio.gather(*(_one(change, pipeline, places, outcomes, times) for change in step))
        seen[len(times)] = rss_mb({"this": os.getpid()})
        progress("preparing", len(times), plan.documents)
    return outcomes, times, seen


async def _one(
    change: DocumentChange,
    pipeline: Pipeline,
    places: asyncio.Semaphore,
    outcomes: Counter[str],
    times: list[float],
) -> None:
    async with places:
        begun = time.perf_counter()
        try:
            await prepare(delivery_of(change, pipeline.topics), pipeline)
            outcomes["prepared"] += 1
        except PermanentError as error:
            outcomes[error.reason] += 1
        times.append((time.perf_counter() - begun) * 1e3)


def _change(one: MixedDocument) -> DocumentChange:
    return DocumentChange(
        tenant=Tenant("bench"),
        source=Source("bench"),
        doc_id=DocId(one.doc_id),
        op=Op.UPSERT,
        version=StatedVersion(1, None, 0),
        event_id=one.doc_id,
        title=one.title,
        body=one.body,
        received_at=datetime.now(UTC),
        origin=Origin(connector="bench", reference=one.doc_id),
    )
