"""Readers during writes. What each read showed is kept, and held in the end against the document rows of all time: a
read that mixes versions, misses a row, or shows what its reader may not see at the position it names is a fault.
"""

import asyncio
import random
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from index.filters import Filters
from index.manifest import ChunkId
from index.model import DocumentRow, Published, Seq
from index.port import VersionedIndex
from index.reader import Question, Reader
from runtime.clock import SystemClock
from schemas.errors import MillstreamError, TransientError
from schemas.identity import Document, Source, Tenant

LEG = 64
"""More than any document has chunks."""
WORDS = "basin"
"""It is in every text of the runs' writers."""
PERSONS = (frozenset({"public"}), frozenset({"staff"}), frozenset({"support"}), frozenset({"staff", "support"}))
_FIRST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Read:
    """What was asked, by whom, and what both legs showed at a position."""

    tenant: Tenant
    document: Document | None
    """None: all of the tenant."""
    persons: frozenset[str]
    at: Seq
    legs: tuple[tuple[ChunkId, ...], tuple[ChunkId, ...]]
    titles: frozenset[str]
    """Of the texts that were fetched."""
    asked_at: datetime


@dataclass
class Seen:
    """What the reads came to."""

    reads: list[Read] = field(default_factory=list)
    unavailable: int = 0
    """Not answered: the store was away."""
    seconds: list[float] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    """Positions before one that was read earlier, and errors that are no outage."""


@dataclass
class Watcher:
    """Asks for one document with all its words, or for all of a tenant, as one of several persons."""

    index: VersionedIndex
    documents: Sequence[Document]
    dimension: int
    seen: Seen
    dice: random.Random
    whole_share: float = 0.0
    """How many of the reads ask for all of a tenant."""
    text_share: float = 1.0
    """How many of the others fetch what they found."""
    whole_leg: int = 1000
    at: dict[Tenant, Seq] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reader = Reader(self.index, SystemClock())
        noise = np.random.default_rng(self.dice.randrange(2**32)).normal(size=self.dimension)
        self.vector = (noise / np.linalg.norm(noise)).astype(np.float32)

    async def read(self) -> None:
        """One read."""
        document, persons = self.dice.choice(self.documents), self.dice.choice(PERSONS)
        whole = self.dice.random() < self.whole_share
        question = Question(
            tenant=document.tenant,
            text=WORDS,
            vector=self.vector,
            principals=persons,
            filters=Filters() if whole else Filters(documents=(document,)),
            leg_size=self.whole_leg if whole else LEG,
        )
        started, asked_at = time.perf_counter(), datetime.now(UTC)
        try:
            found = await self.reader.retrieve(question)
            self.seen.seconds.append(time.perf_counter() - started)
            legs = tuple(tuple(hit.chunk_id for hit in leg) for leg in (found.vector, found.lexical))
            fetched = not whole and self.dice.random() < self.text_share
            texts = {} if not fetched else await self.reader.texts(document.tenant, {*legs[0], *legs[1]})
        except TransientError:
            self.seen.unavailable += 1
            await asyncio.sleep(0.2)
            return
        except MillstreamError as error:
            self.seen.strange.append(f"{type(error).__name__}: {error}")
            return
        at, before = found.at.seq, self.at.get(document.tenant, 0)
        if at < before:
            self.seen.strange.append(f"{document.tenant}: position {at} was read after {before}")
        self.at[document.tenant] = max(at, before)
        titles = frozenset(chunk.title for chunk in texts.values())
        asked = None if whole else document
        self.seen.reads.append(Read(document.tenant, asked, persons, at, (legs[0], legs[1]), titles, asked_at))


async def watch(watchers: Sequence[Watcher], until: Callable[[], bool], *, pause: float = 0.0) -> None:
    """Read until told to stop, each watcher one read after the other."""

    async def one(watcher: Watcher) -> None:
        while not until():
            await watcher.read()
            if pause:
                await asyncio.sleep(pause)

    await asyncio.gather(*(one(watcher) for watcher in watchers))


@dataclass
class Judged:
    """Faults by kind, the first of each in words."""

    reads: int = 0
    rows: int = 0
    """Chunk rows that the reads showed."""
    positions: int = 0
    """Different ones that were read."""
    counts: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)
    excused: int = 0
    """Reads that missed vectors which a killed store had lost."""

    def fault(self, kind: str, text: str) -> None:
        """One more."""
        self.counts[kind] += 1
        if len(self.first) < _FIRST_FAULTS:
            self.first.append(f"{kind}: {text}")


class States:
    """The valid document rows of a tenant, and so the state of each document at any position."""

    def __init__(self, published: Published, rows: Collection[DocumentRow]) -> None:
        self._rows: dict[Document, list[DocumentRow]] = defaultdict(list)
        self._written: dict[ChunkId, datetime] = {}
        for row in sorted(filter(published.is_valid, rows), key=lambda row: (row.from_seq, row.epoch)):
            self._rows[row.document].append(row)
            for chunk_id in row.chunk_ids():
                self._written.setdefault(chunk_id, row.committed_at)

    def written(self, chunk_id: ChunkId) -> datetime | None:
        """When a chunk row came to be listed first."""
        return self._written.get(chunk_id)

    def at(self, document: Document, seq: Seq) -> DocumentRow | None:
        """State of one document."""
        rows = self._rows.get(document, [])
        place = bisect_right(rows, seq, key=lambda row: row.from_seq)
        return rows[place - 1] if place else None

    def all_at(self, seq: Seq) -> list[DocumentRow]:
        """State of all that there were."""
        return [row for document in self._rows if (row := self.at(document, seq)) is not None]


async def states_of(index: VersionedIndex, tenant: Tenant, sources: Collection[Source]) -> States:
    """Reads all document rows of a tenant."""
    published = await Reader(index, SystemClock()).position(tenant)
    return States(published, [row for source in sources async for row in index.source_rows(tenant, source)])


Excuse = Callable[[datetime | None, datetime], bool]
"""Whether a row that was written then may be missing from a vector search that was asked then."""


def judge(
    reads: Sequence[Read],
    states: Mapping[Tenant, States],
    judged: Judged,
    excuse: Excuse = lambda _written, _asked: False,
) -> None:
    """Hold reads against the states at their positions."""
    judged.reads += len(reads)
    judged.positions += len({(read.tenant, read.at) for read in reads})
    for read in reads:
        _judge(read, states[read.tenant], judged, excuse)


def _judge(read: Read, states: States, judged: Judged, excuse: Excuse) -> None:
    one = None if read.document is None else states.at(read.document, read.at)
    rows = states.all_at(read.at) if read.document is None else [one] if one is not None else []
    readable = [row for row in rows if row.readable_by(read.persons)]
    hidden = {chunk_id for row in rows if not row.readable_by(read.persons) for chunk_id in row.chunk_ids()}
    wanted = {chunk_id for row in readable for chunk_id in row.chunk_ids()}
    what = f"{read.document.key if read.document else read.tenant} at {read.at} by {sorted(read.persons)}"
    for name, leg in zip(("vectors", "words"), read.legs, strict=True):
        judged.rows += len(leg)
        shown = set(leg)
        if shown & hidden:
            judged.fault("forbidden", f"{what}: {name} show {len(shown & hidden)} rows that are not to be read")
        if shown - wanted - hidden:
            judged.fault("mixed", f"{what}: {name} show {len(shown - wanted - hidden)} rows of another state")
        if len(shown) < len(leg):
            judged.fault("duplicates", f"{what}: {name} show {len(leg) - len(shown)} rows twice")
        missing = wanted - shown
        if (
            missing
            and name == "vectors"
            and all(excuse(states.written(chunk_id), read.asked_at) for chunk_id in missing)
        ):
            judged.excused += 1
        elif missing:
            judged.fault("missing", f"{what}: {name} miss {len(missing)} of {len(wanted)} rows")
    if read.document is not None and wanted and not read.titles <= {row.title for row in readable}:
        judged.fault("mixed", f"{what}: texts of {sorted(read.titles)}")
