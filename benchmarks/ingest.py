"""How many chunks a second `prepare` makes of documents, against the bare model on the same chunks and cores.

The whole of `prepare` in this process with its parser processes: decode, parse, redact, cut, embed; no Kafka and no
store. The bare model embeds the same texts in one call right after, so that what else the machine does weighs on both.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.corpus import document
from benchmarks.machine import cpu_seconds
from benchmarks.personal_texts import personal_texts
from benchmarks.progress import Progress
from benchmarks.quantiles import quantiles
from benchmarks.rankings import ranking_shares
from benchmarks.results import Figure, Setup
from index.embedding.port import Embedder
from index.embedding.port import Vectors as Rows
from runtime.clock import SystemClock
from schemas.codec import encode
from schemas.identity import DocId, Document, Source, Tenant
from schemas.records import Coordinates, DocumentChange, Mutation, Origin
from schemas.redaction import Action, Kind, Policy, Redaction, policy_of
from schemas.topics import CHANGES, Topics
from schemas.versions import Op, StatedVersion
from streams.core.redaction import pseudonyms
from streams.core.treatment import Treatment
from streams.parse.pool import ParserPool
from streams.pipeline import Pipeline, prepare
from streams.vectors import Vectors
from streams.window import Delivery

WITHOUT_NAMES = Redaction(profile="strict", kinds={Kind.PERSON: Action.IGNORE})
EVERY_KIND = Redaction(profile="strict")
_UNDER_WAY = 64
_MEASURES = (
    "milliseconds per document, from its record to its mutation, {under_way} under way at once; "
    "{kinds} of personal data are looked for"
)


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """What to prepare: `documents` generated ones, every fourth a bundle of letters and forms."""

    documents: int
    seed: int
    topics: Topics
    parsers: int = 2


class _Noting:
    """An embedder that keeps the texts it was shown."""

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner
        self.texts: list[str] = []
        self.fingerprint = inner.fingerprint
        self.dimension = inner.dimension
        self.max_tokens = inner.max_tokens

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        return self.inner.token_spans(text)

    def embed(self, texts: Sequence[str]) -> Rows:
        self.texts += texts
        return self.inner.embed(texts)

    def embed_query(self, text: str) -> Rows:
        return self.inner.embed_query(text)


class OnePolicy:
    """Treats every document alike."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def treatment_of(self, document: Document) -> Treatment:
        return Treatment(self._policy, pseudonyms(b"bench", document.tenant), self._policy.fingerprint)


def pipeline_of(parser: ParserPool, policy: Policy, model: Embedder, vectors: Vectors, topics: Topics) -> Pipeline:
    """The whole of prepare, as a stage has it, under one policy."""
    return Pipeline(
        parser=parser,
        policies=OnePolicy(policy),
        tokens=model,
        vectors=vectors,
        embedder=model.fingerprint,
        max_tokens=model.max_tokens,
        recipe="bench",
        max_document_bytes=8_388_608,
        topics=topics,
        clock=SystemClock(),
    )


async def measure(
    plan: IngestPlan, baseline: Embedder, int8: Embedder, look: Callable[[], Setup], progress: Progress
) -> list[Figure]:
    """Figures with `baseline` (the f32 model), without names and with every kind; then the int8 model, and what its
    vectors cost in retrieval.
    """
    deliveries = [delivery_of(change, plan.topics) for change in _changes(plan)]
    runs = (
        ("ingest_without_names", baseline, WITHOUT_NAMES),
        ("ingest_every_kind", baseline, EVERY_KIND),
        ("ingest_without_names_int8", int8, WITHOUT_NAMES),
    )
    figures = []
    for number, (name, model, redaction) in enumerate(runs):
        progress("preparing", number, len(runs) + 1)
        figures.append(await _run(name, deliveries, model, baseline, redaction, plan, look))
    progress("preparing", len(runs), len(runs) + 1)
    shares = await asyncio.to_thread(ranking_shares, {"f32": baseline, "int8": int8})
    progress("preparing", len(runs) + 1, len(runs) + 1)
    return [*figures[:-1], figures[-1].model_copy(update={"shares": shares})]


async def _run(
    name: str,
    deliveries: Sequence[Delivery],
    model: Embedder,
    baseline: Embedder,
    redaction: Redaction,
    plan: IngestPlan,
    look: Callable[[], Setup],
) -> Figure:
    policy = policy_of(redaction)
    noting = _Noting(model)
    kinds = tuple(kind for kind in policy.sought if kind is not Kind.PRIVATE)
    vectors = Vectors(noting)
    async with ParserPool(plan.parsers, kinds=kinds) as parser:
        pipeline = pipeline_of(parser, policy, model, vectors, plan.topics)
        # A pool grows while documents wait; starting a parser costs seconds that are none of preparing's.
        while len(parser.pids) < plan.parsers:
            await asyncio.gather(*(prepare(delivery, pipeline) for delivery in deliveries[-2:]))
            await asyncio.sleep(0.1)
        noting.texts.clear()
        begun, worked = time.perf_counter(), cpu_seconds()
        mutations, times = await _prepare_all(deliveries[:-2], pipeline)
        seconds, cpu = time.perf_counter() - begun, cpu_seconds() - worked
    vectors.close()
    texts = list(noting.texts)
    bare, bare_cpu = await asyncio.to_thread(_rates, baseline, texts)
    chunks = sum(len(mutation.content.chunks) for mutation in mutations if mutation.content)
    rate = len(texts) / seconds
    return look().figure(
        name,
        quantiles(times),
        _MEASURES.format(under_way=_UNDER_WAY, kinds=f"{len(kinds)} kinds"),
        stages={},
        outcomes={"documents": len(mutations), "chunks": chunks, "embedded": len(texts)},
        settings={
            "embedder": model.fingerprint,
            "chunks_per_s": round(rate, 2),
            "bare_f32_chunks_per_s": round(bare, 2),
            "ratio_by_cpu_time": round(len(texts) / cpu / bare_cpu, 3),
            "parsers": plan.parsers,
            "seed": plan.seed,
        },
        ratio_to_embedder=round(rate / bare, 3),
    )


async def _prepare_all(deliveries: Sequence[Delivery], pipeline: Pipeline) -> tuple[list[Mutation], list[float]]:
    places = asyncio.Semaphore(_UNDER_WAY)
    times: list[float] = []

    async def one(delivery: Delivery) -> Mutation:
        async with places:
            begun = time.perf_counter()
            mutation = await prepare(delivery, pipeline)
            times.append((time.perf_counter() - begun) * 1e3)
            return mutation

    return await asyncio.gather(*(one(delivery) for delivery in deliveries)), times


def _rates(embedder: Embedder, texts: Sequence[str]) -> tuple[float, float]:
    """Chunks a second, and chunks a second of CPU."""
    begun, worked = time.perf_counter(), cpu_seconds()
    embedder.embed(texts)
    return len(texts) / (time.perf_counter() - begun), len(texts) / (cpu_seconds() - worked)


def _changes(plan: IngestPlan) -> list[DocumentChange]:
    letters = [text.text for text in personal_texts(plan.documents * 2, plan.seed)]
    changes = []
    for number in range(plan.documents + 2):
        generated = document(number)
        body = generated.body
        if number % 4 == 0 and number < plan.documents:
            body = "\n\n".join(letters[number * 2 : number * 2 + 8])
        changes.append(_change(generated.doc_id, generated.title, body))
    return changes


def _change(doc_id: str, title: str, body: str) -> DocumentChange:
    return DocumentChange(
        tenant=Tenant("bench"),
        source=Source("bench"),
        doc_id=DocId(doc_id),
        op=Op.UPSERT,
        version=StatedVersion(1, None, 0),
        event_id=doc_id,
        title=title,
        content_type="text/markdown",
        body=body.encode(),
        received_at=datetime.now(UTC),
        origin=Origin(connector="bench", reference=doc_id),
    )


def delivery_of(change: DocumentChange, topics: Topics) -> Delivery:
    """A change as documents.changes delivers it."""
    at = Coordinates(topic=CHANGES, partition=topics.partition(CHANGES, document=change.document), offset=0)
    return Delivery(at, change.key.encode(), encode(change), ())
