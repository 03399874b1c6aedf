"""What an audit costs and how long one takes: commits and questions, with and without an audit beside them, taking
turns; then one audit of all rows with nothing else to do.

It writes with a writer of its own to an index of its own in the running Weaviate, as the apply stage does, and audits
it from the same process. No log is read, no embedding model is loaded: vectors and words are generated.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from benchmarks.progress import Progress
from benchmarks.quantiles import quantiles
from benchmarks.results import Figure, Setting, Setup
from benchmarks.scratch import Part, mutation_of, plain_index, scratch_index
from index.memory_log import MemoryCommitLog
from index.model import IndexIdentity, Vector
from index.reader import Question, Reader
from index.rows import PositionedMutation
from index.sweeper import BUSY_SECONDS
from index.weaviate import WeaviateIndex
from index.writer import TenantWriter
from runtime.clock import SystemClock
from runtime.log_port import StoredRecord
from runtime.settings import Settings
from schemas.identity import PUBLIC, DocId, Document, Source, Tenant
from schemas.records import Coordinates
from schemas.topics import Topics
from streams.audit import Audit, Scope

DIMENSION = 384
PREFIX = "MsAudit"
_TENANT, _SOURCE = Tenant("bench"), Source("audit")
_TOPIC = "index.mutations.bench"
_GROUP = 64
_SMALL_GROUP = 8
_WORDS = [f"word{number}" for number in range(2000)]


@dataclass(frozen=True, slots=True)
class AuditPlan:
    """What to do. `share`: of its time that the audit is at work."""

    topics: Topics
    documents: int = 4000
    chunks: int = 5
    rounds: int = 6
    seconds: float = 10.0
    share: float = 0.04
    seed: int = 1


class NoLog:
    """An `AuditLog` without records: what is measured is the store's part."""

    def prepared(self) -> Mapping[int, int]:
        """See `AuditLog`."""
        return {}

    def mutation_ends(self) -> Mapping[int, int]:
        """See `AuditLog`."""
        return {}

    def changes(self, partitions: Iterable[int] | None = None) -> Iterator[StoredRecord]:
        """See `AuditLog`."""
        del partitions
        return iter(())

    def commits(self, begins: Mapping[int, int] | None = None) -> Iterator[StoredRecord]:
        """See `AuditLog`."""
        del begins
        return iter(())

    def letters(self) -> Iterator[StoredRecord]:
        """See `AuditLog`."""
        return iter(())


@dataclass(slots=True)
class _Work:
    """What was done in the rounds of one kind."""

    seconds: float = 0.0
    mutations: int = 0
    questions: list[float] = field(default_factory=list)
    """Milliseconds each."""


class _Corpus:
    """Generated documents, version after version."""

    def __init__(self, plan: AuditPlan, index: WeaviateIndex) -> None:
        self.index = index
        self._plan = plan
        self._chance = np.random.default_rng(plan.seed)
        self._offset = 0
        self._sweep_at = 0.0
        self._writer = TenantWriter(index, MemoryCommitLog(), _TENANT, SystemClock(), name="bench")
        self.reader = Reader(index, SystemClock())

    def vector(self) -> Vector:
        made = self._chance.standard_normal(DIMENSION).astype(np.float32)
        return (made / np.float32(np.linalg.norm(made))).astype(np.float32)

    def text(self, words: int) -> str:
        return " ".join(self._chance.choice(_WORDS, words))

    async def commit(self, numbers: Iterable[int]) -> int:
        """A new version of these documents, and a run of the sweep where one is due; how many documents."""
        items = [self._next(number) for number in numbers]
        await self._writer.commit(items)
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + (await self._writer.sweep(lambda: BUSY_SECONDS)).next_in
        return len(items)

    def _next(self, number: int) -> PositionedMutation:
        self._offset += 1
        document = Document(_TENANT, _SOURCE, DocId(f"{number:06d}"))
        parts = [Part((), self.text(60), self.vector()) for _ in range(self._plan.chunks)]
        at = Coordinates(topic=_TOPIC, partition=0, offset=self._offset)
        return PositionedMutation(mutation_of(document, document.doc_id, parts, self._offset), at)

    async def ask(self) -> float:
        """Milliseconds of one question."""
        question = Question(_TENANT, self.text(6), self.vector(), frozenset({PUBLIC}))
        began = time.perf_counter()
        await self.reader.retrieve(question)
        return 1000 * (time.perf_counter() - began)


async def measure(settings: Settings, plan: AuditPlan, setup: Callable[[], Setup], progress: Progress) -> list[Figure]:
    """Run the plan. Raises TransientError when the store does not answer."""
    async with _corpus(settings, plan) as corpus:
        for start in range(0, plan.documents, _GROUP):
            await corpus.commit(range(start, min(start + _GROUP, plan.documents)))
            progress("the corpus", start, plan.documents)
        quiet, audited = _Work(), _Work()
        for number in range(2 * plan.rounds):
            is_audited = number % 4 in (1, 2)  # the corpus grows meanwhile: neither kind comes later than the other
            await _round(corpus, plan, audited if is_audited else quiet, is_audited=is_audited)
            progress("rounds", number + 1, 2 * plan.rounds)
        whole = _audit(corpus, plan, 1.0)
        began = time.monotonic()
        findings = await whole.cycle()
        return [_figure(plan, quiet, audited, whole, time.monotonic() - began, len(findings), setup())]


@asynccontextmanager
async def _corpus(settings: Settings, plan: AuditPlan) -> AsyncIterator[_Corpus]:
    open_index = plain_index(IndexIdentity("bench", uuid.uuid4().hex[:12]), PREFIX)
    async with scratch_index(settings, open_index, _TENANT, DIMENSION) as index:
        yield _Corpus(plan, index)


def _audit(corpus: _Corpus, plan: AuditPlan, share: float) -> Audit:
    return Audit(corpus.index, NoLog(), plan.topics, SystemClock(), Scope(share=share))


async def _round(corpus: _Corpus, plan: AuditPlan, work: _Work, *, is_audited: bool) -> None:
    """A writer and a reader side by side, for some seconds."""
    until = time.monotonic() + plan.seconds
    chance = np.random.default_rng(plan.seed + len(work.questions))

    async def write() -> None:
        while time.monotonic() < until:
            numbers = chance.choice(plan.documents, _SMALL_GROUP, replace=False)
            work.mutations += await corpus.commit(int(number) for number in numbers)

    async def read() -> None:
        while time.monotonic() < until:
            work.questions.append(await corpus.ask())

    async def audit() -> None:
        while True:
            await _audit(corpus, plan, plan.share).cycle()

    beside = asyncio.create_task(audit()) if is_audited else None
    began = time.monotonic()
    await asyncio.gather(write(), read())
    work.seconds += time.monotonic() - began
    if beside is not None:
        beside.cancel()
        await asyncio.wait([beside])


def _figure(
    plan: AuditPlan, quiet: _Work, audited: _Work, whole: Audit, seconds: float, findings: int, setup: Setup
) -> Figure:
    ingest = audited.mutations / audited.seconds, quiet.mutations / quiet.seconds
    query = len(audited.questions) / audited.seconds, len(quiet.questions) / quiet.seconds
    settings: dict[str, Setting] = {
        "documents": plan.documents,
        "chunks": plan.chunks,
        "share": plan.share,
        "seed": plan.seed,
        "ingest_ratio": round(ingest[0] / ingest[1], 3),
        "query_ratio": round(query[0] / query[1], 3),
        "mutations_per_s": round(ingest[1], 1),
        "audit_of_everything_s": round(seconds, 2),
        "audit_of_everything_s_at_share": round(seconds / plan.share, 1),
    }
    return setup.figure(
        "audit",
        quantiles(audited.questions),
        "one question beside one writer and an audit, retrieval alone",
        stages={"without_audit": quantiles(quiet.questions)},
        outcomes={"documents": whole.tally.documents, "chunk_rows": whole.tally.chunks, "findings": findings},
        settings=settings,
        requests_per_s=round(query[0], 1),
    )
