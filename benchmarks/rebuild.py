"""How fast the index is built from the log, beside inserting the same rows bare.

Generated mutations (vectors and all) are appended to a mutations topic of their own. Taking turns, a build reads them
from Kafka into an index of its own, and another index gets the chunk rows and document rows of that build straight
away, in big batches of the same collections. No embedding model is loaded. Topics and indexes are removed afterwards.
"""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.progress import Progress
from benchmarks.quantiles import quantiles
from benchmarks.results import Figure, Setting, Setup
from benchmarks.scratch import Part, mutation_of, scratch_index
from index.manifest import ChunkId
from index.memory_log import MemoryCommitLog
from index.model import ChunkRow, DocumentRow, IndexIdentity, RowId
from index.weaviate import StoreAddress, WeaviateIndex
from index.writer import TenantWriter
from runtime.aio_kafka import KafkaSpan, LogProducer
from runtime.clock import SystemClock
from runtime.declarations import load_topics
from runtime.kafka import KafkaAdmin
from runtime.settings import Settings
from schemas.codec import encode
from schemas.identity import DocId, Document, Source, Tenant
from schemas.records import Coordinates, Mutation
from schemas.topics import mutations_topic
from streams.build import ROWS_AT_ONCE, Build, SilentCommits

DIMENSION = 384
PREFIX = "Rebuild"
_TENANT, _SOURCE = Tenant("bench"), Source("rebuild")
_BARE_ROWS = 2000
_APPENDED_AT_ONCE = 64
_CLUSTERS = 64
_SPREAD = np.float32(0.05)
"""Of the vectors of one subject, in every dimension: texts of one subject have a cosine of 0.5, about."""
_WORDS = (
    "basin",
    "lumen",
    "gate",
    "valve",
    "ferry",
    "travel",
    "policy",
    "warranty",
    "incident",
    "rota",
    "meter",
    "keel",
)
_MODEL = "index.embedding.fastembed_model"


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What is built."""

    documents: int = 4000
    chunks: int = 5
    """Of one document."""
    rounds: int = 2
    words: int = 60
    seed: int = 20261121


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a build wrote."""

    chunks: list[ChunkRow]
    documents: list[DocumentRow]

    def under_other_ids(self) -> "_Rows":
        return _Rows(
            [replace(row, id=ChunkId(str(uuid.uuid4()))) for row in self.chunks],
            [replace(row, id=RowId(str(uuid.uuid4()))) for row in self.documents],
        )


class _Tapped(WeaviateIndex):
    """An index that remembers the rows it was given."""

    rows: _Rows

    async def insert_chunks(self, tenant: Tenant, rows: Sequence[ChunkRow]) -> None:
        self.rows.chunks.extend(rows)
        await super().insert_chunks(tenant, rows)

    async def insert_documents(self, tenant: Tenant, rows: Sequence[DocumentRow]) -> None:
        self.rows.documents.extend(rows)
        await super().insert_documents(tenant, rows)


@dataclass(slots=True)
class _Rates:
    """Chunk rows a second, round by round."""

    built: list[float]
    bare: list[float]
    """Document rows inserted as well."""
    chunks_alone: list[float]


async def measure(
    settings: Settings, plan: RebuildPlan, setup: Callable[[], Setup], progress: Progress
) -> list[Figure]:
    """Run the plan. Raises ConfigError, TransientError, BuildFailedError."""
    generation = f"bench{uuid.uuid4().hex[:8]}"
    admin, topics, topic = KafkaAdmin(settings), load_topics(settings), mutations_topic(generation)
    wanted = [one for one in topics.concrete(sources=(), generations=(generation,)) if one.name == topic]
    await asyncio.to_thread(lambda: admin.apply(admin.plan(wanted)))
    try:
        await _append(settings, plan, topic, topics.partition(topic, tenant=_TENANT), progress)
        rates = _Rates([], [], [])
        for number in range(plan.rounds):
            rows = await _built(settings, IndexIdentity(generation, f"built{number}"), plan, rates, progress)
            await _bare(settings, IndexIdentity(generation, f"bare{number}"), rows, rates, progress)
    finally:
        await asyncio.to_thread(admin.delete, topic)
    return [_figure(plan, rates, setup())]


async def _append(settings: Settings, plan: RebuildPlan, topic: str, partition: int, progress: Progress) -> None:
    log, waiting = LogProducer(settings), list[asyncio.Task[Coordinates]]()
    await log.start()
    try:
        for number, record in enumerate(mutations(plan), start=1):
            waiting.append(asyncio.create_task(log.append(topic, partition, record.key, encode(record))))
            if len(waiting) == _APPENDED_AT_ONCE or number == plan.documents:
                await asyncio.gather(*waiting)
                waiting.clear()
                progress("appending mutations", number, plan.documents)
    finally:
        await log.stop()


async def _built(
    settings: Settings, identity: IndexIdentity, plan: RebuildPlan, rates: _Rates, progress: Progress
) -> _Rows:
    """A build from Kafka; the rows it wrote."""
    topics, topic, log = load_topics(settings), mutations_topic(identity.generation), MemoryCommitLog()
    async with _index(settings, identity) as index:

        def writer_for(tenant: Tenant) -> TenantWriter:
            commits = SilentCommits(log)
            return TenantWriter(index, commits, tenant, SystemClock(), name="bench", rows_at_once=ROWS_AT_ONCE)

        build = Build(index, KafkaSpan(settings, topic, topics.partitions(topic)), writer_for, topics)
        started = time.perf_counter()
        await build.run()
        rates.built.append(len(index.rows.chunks) / (time.perf_counter() - started))
        progress(f"building {identity.incarnation}", plan.documents, plan.documents)
        return index.rows


async def _bare(settings: Settings, identity: IndexIdentity, rows: _Rows, rates: _Rates, progress: Progress) -> None:
    """The same rows, under other ids, in big batches and nothing else."""
    fresh = rows.under_other_ids()
    async with _index(settings, identity) as index:
        started = time.perf_counter()
        for start in range(0, len(fresh.chunks), _BARE_ROWS):
            await index.insert_chunks(_TENANT, fresh.chunks[start : start + _BARE_ROWS])
            progress(f"inserting {identity.incarnation}", min(start + _BARE_ROWS, len(fresh.chunks)), len(fresh.chunks))
        rates.chunks_alone.append(len(fresh.chunks) / (time.perf_counter() - started))
        for start in range(0, len(fresh.documents), _BARE_ROWS):
            await index.insert_documents(_TENANT, fresh.documents[start : start + _BARE_ROWS])
        rates.bare.append(len(fresh.chunks) / (time.perf_counter() - started))


@asynccontextmanager
async def _index(settings: Settings, identity: IndexIdentity) -> AsyncIterator[_Tapped]:
    def tapped(address: StoreAddress) -> _Tapped:
        index = _Tapped(address, identity, prefix=PREFIX)
        index.rows = _Rows([], [])
        return index

    async with scratch_index(settings, tapped, _TENANT, DIMENSION) as index:
        yield index


def mutations(plan: RebuildPlan) -> Iterator[Mutation]:
    """Documents of some subjects each, as prepare makes them."""
    chance = np.random.default_rng(plan.seed)
    subjects = chance.standard_normal((_CLUSTERS, DIMENSION)).astype(np.float32)
    subjects /= np.linalg.norm(subjects, axis=1, keepdims=True)
    for number in range(plan.documents):
        of = Document(_TENANT, _SOURCE, DocId(f"{number:07d}"))
        near = subjects[chance.integers(_CLUSTERS, size=plan.chunks)]
        vectors = near + _SPREAD * chance.standard_normal(near.shape).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        texts = [" ".join(chance.choice(_WORDS, size=plan.words)) + f" {number}" for _ in range(plan.chunks)]
        parts = [Part((), text, vector) for text, vector in zip(texts, vectors, strict=True)]
        yield mutation_of(of, f"Document {of.doc_id}", parts, number)


def _figure(plan: RebuildPlan, rates: _Rates, setup: Setup) -> Figure:
    built, bare, alone = quantiles(rates.built), quantiles(rates.bare), quantiles(rates.chunks_alone)
    rows = plan.documents * plan.chunks
    settings: dict[str, Setting] = {
        "documents": plan.documents,
        "chunks": plan.chunks,
        "rounds": plan.rounds,
        "seed": plan.seed,
        "bare_rows_per_s": bare.p50,
        "ratio": round(built.p50 / bare.p50, 3),
        "bare_chunk_rows_alone_per_s": alone.p50,
        "ratio_to_chunk_rows_alone": round(built.p50 / alone.p50, 3),
    }
    return setup.figure(
        "rebuild.rows_per_s",
        built,
        "chunk rows a second of a build from Kafka, document rows, heads and offsets included; beside it "
        "(bare_rows_per_s, ratio) the same chunk and document rows inserted bare, and the chunk rows alone",
        unit="rows/s",
        stages={},
        outcomes={"chunk_rows": rows, "document_rows": plan.documents, "embedding_models": int(_MODEL in sys.modules)},
        settings=settings,
    )
