"""Whether a corpus that changes all day stays as fast as one that does not: questions to a generated corpus, then many
versions of every document, then the same questions again, while rows wait to be swept and afterwards. Every question
is asked of a corpus beside it, too, that never changes: what the machine does meanwhile slows both.

It writes with a writer of its own to an index of its own in the running Weaviate, as the apply stage does: a commit, a
bounded run of the sweep, and so on. A new version changes one section; its vector lies close to the one before it.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np

from benchmarks.corpus import document, questions
from benchmarks.progress import Progress
from benchmarks.quantiles import Quantiles, quantiles
from benchmarks.results import Figure, Setting, Setup
from benchmarks.scratch import Part, mutation_of, plain_index, scratch_index
from index.embedding.fastembed_model import load_embedder
from index.embedding.port import Embedder
from index.memory_log import MemoryCommitLog
from index.model import IndexIdentity, Vector
from index.reader import Question, Reader
from index.rows import PositionedMutation
from index.sweeper import BUSY_SECONDS, SweepPolicy
from index.weaviate import WeaviateIndex
from index.writer import TenantWriter
from runtime.clock import SystemClock
from runtime.settings import Settings
from schemas.errors import TransientError
from schemas.identity import PUBLIC, DocId, Document, Source, Tenant
from schemas.records import Coordinates

PREFIX = "MsBench"
_TENANT = Tenant("churn")
_TOPIC = "index.mutations.bench"
_GROUP = 64
_WARM_UP = 30
_NOISE = 0.02
_SWEPT_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class ChurnPlan:
    """What to do. `history`: how long superseded rows are kept, once for each run."""

    documents: int = 500
    versions: int = 50
    questions: int = 300
    sections: int = 4
    history: tuple[timedelta, ...] = (timedelta(0), timedelta(hours=24))
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Texts:
    """Chunks and questions with their vectors, embedded once for all runs."""

    chunks: Sequence[Sequence[Part]]
    """Of each document: heading, text, vector."""
    asked: Sequence[tuple[str, Vector]]


@dataclass(frozen=True, slots=True)
class Asked:
    """The same questions at one moment, and the rows the store then had."""

    times: Quantiles
    unchanged: Quantiles
    """Of the corpus that does not change, question by question at the same time."""
    chunks: int
    documents: int


@dataclass(frozen=True, slots=True)
class Churned:
    """One run."""

    before: Asked
    waiting: Asked
    """Right after the last version, while the newest superseded rows are not swept yet."""
    after: Asked
    write_seconds: float
    sweep_seconds: float
    """From the last version until everything superseded was swept, 2 L of waiting included."""


async def measure(settings: Settings, plan: ChurnPlan, setup: Callable[[], Setup], progress: Progress) -> list[Figure]:
    """Run the plan once for each length of history. Raises TransientError when the store does not answer."""
    embedder = await asyncio.to_thread(
        load_embedder, settings.embedding_model, cache_dir=settings.cache_dir, threads=settings.embedding_threads
    )
    texts = await asyncio.to_thread(_embed, plan, embedder, progress)
    figures = []
    async with _corpus(settings, embedder.dimension, timedelta(0)) as unchanged:
        await _commit(
            unchanged, _mutations(plan, texts, range(1)), "the corpus that does not change", 1, plan, progress
        )
        for history in plan.history:
            async with _corpus(settings, embedder.dimension, history) as corpus:
                churned = await _run(corpus, unchanged, plan, texts, history, progress)
            figures.append(_figure(plan, history, churned, setup()))
    return figures


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """An index of its own."""

    index: WeaviateIndex
    writer: TenantWriter
    reader: Reader

    async def ask(self, text: str, vector: Vector) -> float:
        """Milliseconds of retrieving and reading the best texts."""
        started = time.perf_counter()
        found = await self.reader.retrieve(Question(_TENANT, text, vector, frozenset({PUBLIC})))
        await self.reader.texts(_TENANT, [hit.chunk_id for hit in found.vector[:8]])
        return 1000 * (time.perf_counter() - started)


@asynccontextmanager
async def _corpus(settings: Settings, dimension: int, history: timedelta) -> AsyncIterator[Corpus]:
    """An empty one, dropped at the end."""
    open_index = plain_index(IndexIdentity("bench", uuid.uuid4().hex[:12]), PREFIX)
    async with scratch_index(settings, open_index, _TENANT, dimension) as index:
        clock, policy = SystemClock(), SweepPolicy(history=lambda: history)
        writer = TenantWriter(index, MemoryCommitLog(), _TENANT, clock, name="bench", sweep=policy)
        yield Corpus(index, writer, Reader(index, clock))


def _embed(plan: ChurnPlan, embedder: Embedder, progress: Progress) -> Texts:
    chunks = []
    for number in range(plan.documents):
        _, *parts = document(number, plan.sections).body.split("\n\n## ")
        vectors = embedder.embed(parts)
        pairs = zip(parts, vectors, strict=True)
        chunks.append([Part((text.split("\n", 1)[0],), text, vector) for text, vector in pairs])
        progress("embedding the corpus", number + 1, plan.documents)
    found = [one.text for one in questions(plan.documents * plan.sections, plan.questions, plan.seed)]
    return Texts(chunks, [(text, embedder.embed_query(text)) for text in found])


async def _run(
    corpus: Corpus, unchanged: Corpus, plan: ChurnPlan, texts: Texts, history: timedelta, progress: Progress
) -> Churned:
    label = f"history {history.total_seconds() / 3600:g} h"
    await _commit(corpus, _mutations(plan, texts, range(1)), f"{label}: the corpus", 1, plan, progress)
    before = await _ask(corpus, unchanged, texts)
    started = time.perf_counter()
    versions = range(1, plan.versions + 1)
    await _commit(corpus, _mutations(plan, texts, versions), f"{label}: versions", plan.versions, plan, progress)
    written = time.perf_counter()
    waiting = await _ask(corpus, unchanged, texts)
    asked = time.perf_counter()
    await _sweep_all(corpus, f"{label}: sweep", progress)
    swept = time.perf_counter()
    return Churned(before, waiting, await _ask(corpus, unchanged, texts), written - started, swept - asked)


async def _commit(
    corpus: Corpus,
    mutations: Iterator[PositionedMutation],
    step: str,
    versions: int,
    plan: ChurnPlan,
    progress: Progress,
) -> None:
    """Commits of some documents together, each followed by a run of the sweep where one is due."""
    done, total, sweep_at, batch = 0, versions * plan.documents, 0.0, list[PositionedMutation]()
    for item in mutations:
        batch.append(item)
        done += 1
        if len(batch) < min(_GROUP, plan.documents) and done < total:
            continue
        began = time.monotonic()
        await corpus.writer.commit(batch)
        took = max(BUSY_SECONDS, time.monotonic() - began)
        batch = []
        if time.monotonic() >= sweep_at:
            sweep_at = time.monotonic() + (await corpus.writer.sweep(partial(_same, took))).next_in
        progress(step, done, total)


def _same(seconds: float) -> float:
    return seconds


def _mutations(plan: ChurnPlan, texts: Texts, versions: range) -> Iterator[PositionedMutation]:
    """Version by version, every document once; the first version brings all sections, a later one changes one."""
    chance = np.random.default_rng(plan.seed)
    for version in versions:
        for number, chunks in enumerate(texts.chunks):
            of = Document(_TENANT, Source("churn"), DocId(f"{number:06d}"))
            changed = [
                _revised(chunk, _revision(version, place, len(chunks)), chance) for place, chunk in enumerate(chunks)
            ]
            offset = version * plan.documents + number
            yield PositionedMutation(
                mutation_of(of, of.doc_id, changed, offset), Coordinates(topic=_TOPIC, partition=0, offset=offset)
            )


def _revision(version: int, place: int, sections: int) -> int:
    """The last version at or below `version` that changed section `place`."""
    return max(0, version - (version - place - 1) % sections)


def _revised(part: Part, revision: int, chance: np.random.Generator) -> Part:
    if revision == 0:
        return part
    moved = part.vector + np.float32(_NOISE) * chance.standard_normal(len(part.vector)).astype(np.float32)
    length = np.float32(np.linalg.norm(moved))
    return Part(part.heading_path, f"{part.text}\n\nRevision {revision}.", (moved / length).astype(np.float32))


async def _ask(corpus: Corpus, unchanged: Corpus, texts: Texts) -> Asked:
    """All questions, one after the other, after some that do not count; of both corpora, taking turns to be first."""
    times: dict[Corpus, list[float]] = {corpus: [], unchanged: []}
    for number, (text, vector) in enumerate((*texts.asked[:_WARM_UP], *texts.asked)):
        for one in (corpus, unchanged) if number % 2 else (unchanged, corpus):
            taken = await one.ask(text, vector)
            if number >= _WARM_UP:
                times[one].append(taken)
    counts = await corpus.index.counts(_TENANT)
    return Asked(quantiles(times[corpus]), quantiles(times[unchanged]), *counts)


async def _sweep_all(corpus: Corpus, step: str, progress: Progress) -> None:
    """Until everything superseded so far is swept."""
    until = time.monotonic() + _SWEPT_SECONDS
    while True:
        swept = await corpus.writer.sweep()
        head = (await corpus.reader.position(_TENANT)).head
        progress(step, head.swept_seq, head.seq)
        if head.swept_seq == head.seq:
            return
        if time.monotonic() > until:
            raise TransientError("superseded rows were not swept in half an hour")
        await asyncio.sleep(min(swept.next_in, 1.0))


def _figure(plan: ChurnPlan, history: timedelta, churned: Churned, setup: Setup) -> Figure:
    moments = {"before": churned.before, "waiting": churned.waiting, "after": churned.after}
    after = churned.after
    settings: dict[str, Setting] = {
        "documents": plan.documents,
        "sections": plan.sections,
        "versions": plan.versions,
        "history_hours": history.total_seconds() / 3600,
        "seed": plan.seed,
        "p50_ratio": round(after.times.p50 / after.unchanged.p50, 3),
        "p99_ratio": round(after.times.p99 / after.unchanged.p99, 3),
        "write_s": round(churned.write_seconds, 1),
        "sweep_s": round(churned.sweep_seconds, 1),
    }
    rows = {
        f"{what}_{when}": count
        for when, asked in moments.items()
        for what, count in (("chunk_rows", asked.chunks), ("document_rows", asked.documents))
    }
    return setup.figure(
        f"churn.history_{history.total_seconds() / 3600:g}h",
        after.times,
        "one client, one question after the other, retrieval and texts, after all versions were written and swept",
        stages={when: asked.times for when, asked in moments.items()}
        | {f"unchanged_{when}": asked.unchanged for when, asked in moments.items()},
        outcomes=rows,
        settings=settings,
    )
