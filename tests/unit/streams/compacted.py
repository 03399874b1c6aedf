"""A small installation over the twins whose two compacted topics are compacted whenever a test says so: sources,
`prepare`, `hide` and `apply` are moved on by hand, die, start again, and builds read what is left.

Compaction removes a record where a later one of its key lies before the point it has come to, as Kafka does, and never
comes further than what `apply` has acknowledged: that is what `min.compaction.lag.ms` stands for.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import ge
from typing import Any

from connectors.changes import append_change
from index.memory import MemoryIndex
from index.model import DocumentRow, IndexIdentity, Published, first_head, newest_head
from index.port import IndexRecord
from index.states import states_at
from index.writer import TenantWriter
from runtime.clock import ManualClock
from runtime.log_port import Log, MemoryLog, StoredRecord
from runtime.settings import PACKAGED_TOPICS
from schemas.codec import decode, decode_any, encode
from schemas.copies import copy_of
from schemas.headers import stated_again, stated_change
from schemas.identity import ACL_SUFFIX, DocId, Document, Tenant
from schemas.records import Commit, Content, Coordinates, DocumentChange, Mutation
from schemas.topics import CHANGES, COMMITS, HIDES, Topics, parse_topics
from schemas.versions import Op, Version
from streams.agents import publish
from streams.apply import Applier
from streams.commit_log import LogCommits
from streams.core.hides import LastAcls, hide_of
from streams.dead_letters import DeadLetters
from streams.heal import Healer, Healing
from streams.repair import Repair
from streams.tenant_queue import Bounds, Hooks
from streams.window import Delivery, Lease, Window
from tests.reference import Expected, differences, logged, reference
from tests.unit.index.fakes import DIMENSION, SOURCE, START, content
from tests.unit.streams.records import MUTATIONS

TENANTS = (Tenant("acme"), Tenant("initech"))
TOPICS: Topics = parse_topics(
    PACKAGED_TOPICS.read_text().replace("  document: 8 ", "  document: 1 ").replace("  tenant: 4 ", "  tenant: 1 ")
)


class CompactedLog(MemoryLog):
    """Keeps offsets and forgets records."""

    def __init__(self) -> None:
        super().__init__(lambda topic, _key: self.refusals.get(topic))
        self._gone: set[tuple[str, int]] = set()
        self.refusals: dict[str, Exception] = {}
        """Topic -> what every append to it is refused with."""

    def left(self, topic: str, start: int = 0) -> Iterator[StoredRecord]:
        """What compaction has left of a topic's one partition, from an offset on."""
        for record in list(self.records(topic))[start:]:
            if (topic, record.coordinates.offset) not in self._gone:
                yield record

    def look(self, at: Coordinates) -> StoredRecord | None:
        """The record that lies there, unless it is gone."""
        first = next(self.left(at.topic, at.offset), None)
        return first if first is not None and first.coordinates == at else None

    def compact(self, topic: str, end: int) -> None:
        """Remove what a later record below `end` supersedes."""
        newest = {
            record.key: record.coordinates.offset for record in self.left(topic) if record.coordinates.offset < end
        }
        for record in self.left(topic):
            if record.coordinates.offset < newest.get(record.key, 0):
                self._gone.add((topic, record.coordinates.offset))

    def end(self, topic: str) -> int:
        """The offset of the next record."""
        return sum(1 for _ in self.records(topic))


class _Left:
    """`AuditLog` that reads what compaction has left of the changes, and nothing else."""

    def __init__(self, log: CompactedLog) -> None:
        self._log = log

    def prepared(self) -> Mapping[int, int]:
        return {}

    def mutation_ends(self) -> Mapping[int, int]:
        return {}

    def changes(self, partitions: Iterable[int] | None = None) -> Iterator[StoredRecord]:
        return self._log.left(CHANGES)

    def commits(self, begins: Mapping[int, int] | None = None) -> Iterator[StoredRecord]:
        return iter(())

    def letters(self) -> Iterator[StoredRecord]:
        return iter(())


@dataclass
class World:
    """One log, the live index on it, and what its stages have acknowledged."""

    log: CompactedLog = field(default_factory=CompactedLog)
    healings: list[Healing] = field(default_factory=list)
    index: MemoryIndex = field(default_factory=lambda: MemoryIndex(IndexIdentity("g1", "live")))
    prepared: int = 0
    applied: int = 0
    hidden: int = 0

    @classmethod
    async def create(cls, index: MemoryIndex | None = None) -> "World":
        world = cls() if index is None else cls(index=index)
        await _open(world.index)
        return world

    async def post(self, change: DocumentChange) -> None:
        """As every connector appends it, its acl's own copy behind it."""
        await append_change(self.log, TOPICS, change)

    async def append_again(self, number: int) -> None:
        """A record once more, as redriving does it."""
        records = list(self.log.records(CHANGES))
        if records:
            record = records[number % len(records)]
            copy = copy_of(record.value or b"", record.coordinates)
            await self.log.append(copy.topic, copy.partition, copy.key, copy.value, copy.headers)

    async def repair(self, number: int) -> None:
        """A document once more, as what an audit has found is repaired."""
        document = Document(TENANTS[number % 2], SOURCE, DocId("ab"[number % 3 == 0]))
        await Repair(self.log, _Left(self.log), TOPICS).documents([document])

    async def prepare(self, records: int) -> None:
        for record in list(self.log.records(CHANGES))[self.prepared :][:records]:
            await publish(mutation_of(record), self.log, MUTATIONS, TOPICS, stated_again(record.headers))
            self.prepared += 1

    def prepare_again(self, records: int) -> None:
        """It died before it acknowledged so many."""
        self.prepared = max(0, self.prepared - records)

    async def apply(self, records: int, turns: int | None = None) -> None:
        """Apply so many records, all at once as the window lets them; killed after so many `turns` of the loop."""
        applier = self.applier()
        mutations = list(self.log.records(MUTATIONS))[self.applied :][:records]
        self.applied += await run(applier, mutations, turns)

    async def hide(self, records: int) -> None:
        """Pass on what so many changes take away, and apply it ahead of their mutations."""
        acls, applier, lease, before = LastAcls(), applier_on(self.index, self.log), Lease(), asyncio.all_tasks()
        for record in list(self.log.records(CHANGES))[self.hidden :][:records]:
            self.hidden += 1
            document = Document.from_key((record.key or "").removesuffix(ACL_SUFFIX))
            hide = hide_of(document, stated_change(record.headers), record.coordinates, START)
            chosen = None if hide is None else acls.choose(hide)
            if chosen is not None:
                at = await self.log.append(HIDES, 0, chosen.key, encode(chosen))
                await applier.hide(Delivery(at, chosen.key.encode(), encode(chosen)), lease)
        await _kill_others(before)

    def compact(self, topic: str, share: float) -> None:
        """Up to some point of what is acknowledged."""
        end = self.applied
        if topic == CHANGES:
            done = list(self.log.records(MUTATIONS))[: self.applied]
            end = max((decode(one.value or b"", Mutation).change.offset + 1 for one in done), default=0)
        self.log.compact(topic, round(end * share))

    async def settle(self) -> None:
        """Everything that came in, and whatever that brought about, is applied."""
        for _ in range(20):
            if (self.prepared, self.applied) == (self.log.end(CHANGES), self.log.end(MUTATIONS)):
                return await self.hide(10_000)
            await self.prepare(10_000)
            await self.apply(10_000)
        raise AssertionError("healing never ends")

    async def build(self, topic: str) -> MemoryIndex:
        """An incarnation from what is left of the mutations, or of the changes, prepared anew; it heals nothing."""
        log, index = MemoryLog(), await opened(IndexIdentity("g1", "built"))
        for record in self.log.left(topic):
            if topic == CHANGES:
                await publish(mutation_of(record), log, MUTATIONS, TOPICS, stated_again(record.headers))
        mutations = list(log.records(MUTATIONS) if topic == CHANGES else self.log.left(topic))
        assert await run(applier_on(index, self.log), mutations) == len(mutations)
        return index

    def wanted(self) -> Mapping[Document, Expected]:
        """What every index has to come to: the serial reference over all that was ever appended."""
        return reference(logged(self.log.records(CHANGES)))

    def commits(self) -> Iterator[Commit]:
        """What index.commits tells, builds included."""
        for record in self.log.records(COMMITS):
            found = decode_any(record.value or b"")
            if isinstance(found, Commit):
                yield found

    def applier(self) -> Applier:
        """Of a process of `apply`."""
        return applier_on(
            self.index, self.log, Healer(self.index, self.log, self.log.look, self._read), self.healings.append
        )

    def _read(self, at: Coordinates) -> Iterator[StoredRecord]:
        return self.log.left(at.topic, at.offset)


async def opened(identity: IndexIdentity) -> MemoryIndex:
    """An empty index with the tenants."""
    index = MemoryIndex(identity)
    await _open(index)
    return index


async def _open(index: MemoryIndex) -> None:
    await index.create(IndexRecord(index.identity, {}, {}, DIMENSION, START))
    for tenant in TENANTS:
        await index.create_tenant(first_head(tenant, START))


def applier_on(
    index: MemoryIndex,
    log: Log,
    healer: Healer | None = None,
    on_healing: Callable[[Healing], None] = lambda _healing: None,
) -> Applier:
    """An applier of both tenants; without a healer it is a build's."""
    commits = LogCommits(log, TOPICS)

    def writer_for(tenant: Tenant) -> TenantWriter:
        return TenantWriter(index, commits, tenant, ManualClock(), name="w")

    letters = DeadLetters(log, TOPICS, "apply", ManualClock())
    hooks = Hooks(on_healing=lambda _delivery, healing: on_healing(healing))
    return Applier(writer_for, letters, TOPICS, Bounds(4), hooks, healer)


async def run(
    applier: Applier, records: Sequence[StoredRecord], turns: int | None = None, *, alone: bool = True
) -> int:
    """How many were acknowledged, in order; after so many turns of the loop, the process dies where it stands. `alone`:
    nothing else begins tasks in this loop.
    """
    crashes: list[BaseException] = []
    before = asyncio.all_tasks()

    async def work(delivery: Delivery, lease: Lease) -> None:
        await applier.apply(delivery, lease)

    window = Window(work, crashes.append, records=len(records) + 1, max_bytes=10_000_000)
    for record in records:
        await window.put(Delivery(record.coordinates, (record.key or "").encode(), record.value, record.headers))
    while len(window) and not crashes and turns != 0:
        await asyncio.sleep(0)
        turns = None if turns is None else turns - 1
    assert crashes == []
    if alone:
        await _kill_others(before)
    return window.acknowledged


async def _kill_others(before: Collection[asyncio.Task[Any]]) -> None:
    """Whatever else a process has begun: sweeps that wait, and all that it was about to do when it died."""
    others = asyncio.all_tasks() - set(before)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def mutation_of(record: StoredRecord) -> Mutation:
    """What `prepare` makes of a change: its body is its one chunk."""
    change = decode(record.value or b"", DocumentChange)
    made: Content | None = None
    if change.op is Op.UPSERT:
        made = content(change.document, [(change.body or b"").decode()], change.title or "")
    elif change.op is not Op.ACL:
        made = Content(deleted=True)
    return Mutation(
        **{name: getattr(change, name) for name in ("tenant", "source", "doc_id", "op", "acl", "default_acl")},
        **{name: getattr(change, name) for name in ("origin", "event_id", "actor", "event_time", "received_at")},
        version=change.version.at(record.coordinates.offset),
        content=made,
        change=record.coordinates,
        prepared_at=START,
    )


async def newest(index: MemoryIndex) -> dict[Document, DocumentRow]:
    """Every document as it stands."""
    found: dict[Document, DocumentRow] = {}
    for tenant in TENANTS:
        head = newest_head(await index.heads(tenant))
        assert head is not None
        rows = [row async for row in index.source_rows(tenant, SOURCE)]
        documents = {row.document for row in rows}
        found |= await states_at(index, Published(head), tenant, documents, head.seq)
    return found


async def check(index: MemoryIndex, wanted: Mapping[Document, Expected]) -> None:
    """The index is the reference's, text and all; at each position one row, of a version not below the one before."""
    rows = await newest(index)
    assert differences(wanted, rows) == []
    for document, row in rows.items():
        assert (row.hide_deleted, row.hide_acl_version) == (None, None), "a hide has left a trace"
        chunks = await index.chunks(document.tenant, row.chunk_ids())
        texts = [chunks[entry.chunk_id].text for entry in row.manifest]
        body = wanted[document].body
        assert texts == ([body.decode()] if body is not None else []), f"{document.key}: another edition"
    await check_positions(index)


async def check_positions(index: MemoryIndex) -> None:
    """Every published position is one valid row, and no register of a document ever goes back."""
    for tenant in TENANTS:
        head = newest_head(await index.heads(tenant))
        assert head is not None
        seen: dict[Document, tuple[Version, Version]] = {}
        for seq in range(1, head.seq + 1):
            (row,) = [row for row in await index.rows_at(tenant, seq) if Published(head).is_valid(row)]
            now = row.content_version or _UNSET, row.acl_version or _UNSET
            before = seen.get(row.document, (_UNSET, _UNSET))
            assert all(map(ge, now, before)), f"{row.document.key} goes back at {seq}"
            seen[row.document] = now


_UNSET = Version(-1, -1, -1)
