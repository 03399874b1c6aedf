"""An audit over the twins: each divergence is found, told once, and repaired through the log by the stages."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from index.audit.findings import Finding, Kind
from index.audit.walk import Walked
from index.model import DocumentRow, Head, Published, RowId, newest_head
from index.reader import Reader
from index.states import states_at
from runtime.log_port import StoredRecord
from runtime.metrics import ALERTS, AUDIT_FINDINGS, AUDIT_REPAIRS
from schemas.codec import encode
from schemas.errors import PermanentError
from schemas.headers import headers_of
from schemas.identity import Document, Source, Tenant
from schemas.records import DocumentChange
from schemas.topics import CHANGES, COMMITS, DLQ
from schemas.versions import Op
from streams import auditing
from streams.audit import Audit, Scope
from streams.auditing import Means, Settler
from streams.commit_log import LogCommits
from streams.dead_letters import DeadLetters
from streams.repair import Repair
from streams.window import Window, Work
from tests.unit.streams.records import AT, MUTATIONS, change, topics
from tests.unit.streams.test_flow import TENANT, Installation, delivered


class TwinLog:
    """`AuditLog` on a memory log that both stages have read to its end."""

    def __init__(self, here: Installation) -> None:
        self.here = here

    def prepared(self) -> Mapping[int, int]:
        return self.ends(CHANGES)

    def mutation_ends(self) -> Mapping[int, int]:
        return self.ends(MUTATIONS)

    def ends(self, topic: str) -> dict[int, int]:
        found: dict[int, int] = {}
        for record in self.here.log.records(topic):
            found[record.coordinates.partition] = record.coordinates.offset + 1
        return found

    def changes(self, partitions: Iterable[int] | None = None) -> Iterator[StoredRecord]:
        for record in self.here.log.records(CHANGES):
            if partitions is None or record.coordinates.partition in set(partitions):
                yield record

    def commits(self, begins: Mapping[int, int] | None = None) -> Iterator[StoredRecord]:
        for record in self.here.log.records(COMMITS):
            if record.coordinates.offset >= (begins or {}).get(record.coordinates.partition, 0):
                yield record

    def letters(self) -> Iterator[StoredRecord]:
        return self.here.log.records(DLQ)


@dataclass
class World:
    here: Installation
    seen: set[str] = field(default_factory=set)
    begun: list[Tenant] = field(default_factory=list)
    kept: list[Tenant] = field(default_factory=list)
    owned: set[Tenant] = field(default_factory=lambda: {TENANT})

    @property
    def log(self) -> TwinLog:
        return TwinLog(self.here)

    async def post(self, *records: DocumentChange) -> None:
        for record in records:
            partition = topics().partition(CHANGES, document=record.document)
            await self.here.log.append(CHANGES, partition, record.key, encode(record), headers_of(record))
        await self.run()

    async def run(self) -> None:
        """Both stages, over what they have not seen."""
        await self.stage(self.here.prepare(), CHANGES)
        await self.stage(self.here.apply(), MUTATIONS)
        for partition, end in self.log.mutation_ends().items():
            await self.here.index.put_acknowledged(partition, end)

    async def stage(self, work: Work, topic: str) -> None:
        crashes: list[BaseException] = []
        window = Window(work, crashes.append, records=8, max_bytes=1_000_000)
        for record in list(self.here.log.records(topic)):
            if str(record.coordinates) not in self.seen:
                self.seen.add(str(record.coordinates))
                await window.put(delivered(record))
        while len(window) and not crashes:
            await asyncio.sleep(0)
        assert crashes == []

    def audit(self, **scope: object) -> Audit:
        fields: dict[str, object] = {"second_look_seconds": 0.0, **scope}
        return Audit(self.here.index, self.log, topics(), self.here.clock, Scope(**fields))  # type: ignore[arg-type]

    async def found(self, **scope: object) -> list[tuple[Kind, str | None]]:
        audit = self.audit(**scope)
        findings = [*await audit.cycle(), *await audit.told()]
        return [(one.kind, one.document.doc_id if one.document else None) for one in findings]

    def settler(self, *, is_live: bool = True) -> Settler:
        async def live() -> bool:
            return is_live

        async def begin(tenant: Tenant) -> None:
            self.begun.append(tenant)

        repair = Repair(self.here.log, self.log, topics())
        commits = LogCommits(self.here.log, topics())
        means = Means(repair, self.log, commits, live, lambda tenant: tenant in self.owned, begin, self.kept.append)
        return Settler(self.here.index, means, self.here.metrics, self.here.clock)

    async def repaired(self, *findings: Finding) -> None:
        audit = self.audit()
        await self.settler().settle(findings or [*await audit.cycle(), *await audit.told()])
        await self.run()

    async def state(self, name: str) -> DocumentRow:
        published = await Reader(self.here.index, self.here.clock).position(TENANT)
        document = change(doc=name).document
        return (await states_at(self.here.index, published, TENANT, [document], published.seq))[document]

    async def head(self) -> Head:
        head = newest_head(await self.here.index.heads(TENANT))
        assert head is not None
        return head


@pytest.fixture
async def world() -> World:
    one = World(await Installation.create())
    await one.post(change(doc="a"), change(doc="b", body=b"The price of the tariff."), change(doc="c"))
    await one.post(change(Op.DELETE, doc="c"), change(Op.ACL, doc="b", acl=("staff",)))
    return one


async def test_what_the_stages_have_made_of_the_log_does_not_differ_from_it(world: World) -> None:
    assert await world.found() == []


async def test_a_lost_chunk_row_is_repaired_by_the_newest_change_under_its_version(world: World) -> None:
    before = await world.state("b")
    await world.here.index.remove_chunks(TENANT, before.chunk_ids())
    assert await world.found() == [(Kind.MISSING_CHUNK, "b")]
    await world.repaired()
    assert await world.found() == []
    after = await world.state("b")
    assert (after.content_version, after.acl_version, after.acl) == (
        before.content_version,
        before.acl_version,
        before.acl,
    )


async def test_a_lost_document_row_is_repaired(world: World) -> None:
    row = await world.state("a")
    await world.here.index.remove_documents(TENANT, [row.id])
    found = await world.found()
    assert set(found) == {(Kind.MISSING_DOCUMENT, "a"), (Kind.MISSING_ROW, None)}
    await world.repaired()
    assert (await world.state("a")).is_present


async def test_a_deleted_document_that_came_back_is_deleted_again(world: World) -> None:
    head = await world.head()
    rows = await world.here.index.document_history(change(doc="c").document, limit=9)
    older = next(row for row in rows if row.is_present)
    risen = replace(older, id=RowId("risen"), epoch=head.epoch, from_seq=head.seq + 1, batch_from=head.seq)
    await world.here.index.insert_documents(TENANT, [replace(risen, batch_to=head.seq + 1)])
    await world.here.index.put_head(replace(head, seq=head.seq + 1))
    assert set(await world.found()) == {(Kind.BEHIND_LOG, "c"), (Kind.LOST_COMMIT, None)}
    await world.repaired()
    assert not (await world.state("c")).is_present
    assert await world.found() == []


async def test_a_lost_commit_is_told_again(world: World) -> None:
    partition = topics().partition(COMMITS, tenant=TENANT)
    records = world.here.log._partitions[COMMITS, partition]
    told = len(records)
    lost = records.pop()
    assert await world.found() == [(Kind.LOST_COMMIT, None)]
    await world.repaired()
    assert await world.found() == []
    assert len(records) == told
    assert records[-1].value == lost.value


async def test_a_seq_with_two_rows_keeps_no_other_commit_from_being_told_again(world: World) -> None:
    row = await world.state("a")
    await world.here.index.insert_documents(TENANT, [replace(row, id=RowId("twin"))])
    told = world.here.log._partitions[COMMITS, topics().partition(COMMITS, tenant=TENANT)]
    told.pop()
    lost = [Finding(Kind.LOST_COMMIT, TENANT, seq=seq) for seq in (row.from_seq, (await world.head()).seq)]
    before = len(told)
    await world.repaired(*lost)
    assert len(told) == before + 1


async def test_a_head_ahead_of_its_rows_ends_history_once_what_was_lost_is_repaired(world: World) -> None:
    row = await world.state("a")
    await world.here.index.remove_documents(TENANT, [row.id])
    settler = world.settler()
    await settler.settle(await world.audit().cycle())
    assert world.begun == []
    await world.run()
    await settler.settle([])
    assert world.begun == [TENANT]


async def test_history_ends_although_the_log_no_longer_knows_a_lost_document(world: World) -> None:
    row = await world.state("a")
    await world.here.index.remove_documents(TENANT, [row.id])
    records = world.here.log._partitions[CHANGES, topics().partition(CHANGES, document=row.document)]
    records[:] = [record for record in records if record.key != row.document.key]
    await world.settler().settle(await world.audit().cycle())
    assert world.begun == [TENANT]


async def test_a_head_of_which_nobody_tells_ends_history_at_once(world: World) -> None:
    head = await world.head()
    await world.here.index.put_head(replace(head, seq=head.seq + 1))
    assert await world.found() == [(Kind.MISSING_ROW, None)]
    await world.repaired()
    assert world.begun == [TENANT]


async def test_a_finding_is_told_once_and_only_the_live_build_is_repaired(world: World) -> None:
    row = await world.state("a")
    await world.here.index.remove_chunks(TENANT, row.chunk_ids())
    findings = await world.audit().cycle()
    settler, metrics = world.settler(is_live=False), world.here.metrics
    await settler.settle(findings)
    await settler.settle(findings)
    assert metrics.value(AUDIT_FINDINGS, kind="missing_chunk") == 1
    assert metrics.value(ALERTS, alert="audit_missing_chunk") == 1
    assert metrics.value(AUDIT_REPAIRS) == 0


async def test_a_change_that_became_a_dead_letter_is_known_to_differ(world: World) -> None:
    await world.post(change(doc="a", body=b"x" * 20_000))
    assert await world.found() == []
    await world.post(change(doc="d"))
    record = list(world.here.log.records(MUTATIONS))[-1]
    row = await world.state("d")
    await world.here.index.remove_documents(TENANT, [row.id])
    letters = DeadLetters(world.here.log, topics(), "apply", world.here.clock)
    await letters.put(delivered(record), PermanentError("refused", reason="refused_row"), 2)
    assert (Kind.MISSING_DOCUMENT, "d") not in await world.found()


async def test_a_change_whose_dead_letter_has_expired_is_repaired_once_and_then_known_again(world: World) -> None:
    await world.post(change(doc="a", body=b"x" * 20_000))
    for (topic, _), letters in world.here.log._partitions.items():
        if topic == DLQ:
            letters.clear()
    assert await world.found() == [(Kind.BEHIND_LOG, "a")]
    await world.repaired()
    assert await world.found() == []


async def test_a_redriven_change_is_compared_again(world: World) -> None:
    await world.post(change(doc="d", sequence=77))
    record = list(world.here.log.records(CHANGES))[-1]
    letters = DeadLetters(world.here.log, topics(), "prepare", world.here.clock)
    await letters.put(delivered(record), PermanentError("refused", reason="unreadable"), 2)
    await world.post(change(doc="d", sequence=77))
    await world.here.index.remove_documents(TENANT, [(await world.state("d")).id])
    assert (Kind.MISSING_DOCUMENT, "d") in await world.found()


async def test_a_group_that_is_gained_meanwhile_does_not_stop_what_the_repair_waits_behind(world: World) -> None:
    await world.here.index.remove_chunks(TENANT, (await world.state("a")).chunk_ids())
    await world.post(change(Op.ACL, doc="a", acl=("newcomers",)))
    assert (await world.state("a")).acl == ("newcomers",)
    assert await world.found() == [(Kind.MISSING_CHUNK, "a")]
    await world.repaired()
    assert await world.found() == []
    assert (await world.state("a")).acl == ("newcomers",)


async def test_what_no_repair_helps_is_repaired_ever_more_rarely(world: World) -> None:
    settler, finding = world.settler(), Finding(Kind.WORD_HOLE, TENANT, change(doc="a").document)
    for _ in range(7 * 24):
        await settler.settle([finding])
        world.here.clock.advance(3600.0)
    assert world.here.metrics.value(AUDIT_REPAIRS) < 15


async def lost(world: World, number: int) -> list[str]:
    """So many more documents, whose chunk rows the store has lost."""
    names = [f"d{place}" for place in range(number)]
    await world.post(*(change(doc=name) for name in names))
    for name in names:
        await world.here.index.remove_chunks(TENANT, (await world.state(name)).chunk_ids())
    return names


async def test_what_was_too_much_for_one_audit_is_repaired_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_AT_ONCE", 3)
    await lost(world, 7)
    settler = world.settler()
    for _ in range(3):
        await settler.settle(await world.audit().cycle())
        await world.run()
        world.here.clock.advance(30.0)
    assert await world.found() == []


async def test_a_lost_row_whose_repair_is_in_force_is_not_repaired_before_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_AT_ONCE", 2)
    names = [f"d{place}" for place in range(6)]
    await world.post(*(change(doc=name) for name in names))
    await world.here.index.remove_documents(TENANT, [(await world.state(name)).id for name in names])
    settler = world.settler()
    for _ in range(3):
        await settler.settle(await world.audit().cycle())
        await world.run()
        world.here.clock.advance(30.0)
    await settler.settle([])
    assert world.begun == [TENANT]
    assert all([(await world.state(name)).is_present for name in names])


async def test_history_begins_although_a_repair_changes_nothing(world: World) -> None:
    await world.post(change(doc="a", body=b"x" * 20_000))  # a dead letter, and so is its copy
    await world.here.index.remove_documents(TENANT, [(await world.state("a")).id])
    settler = world.settler()
    for _ in range(2):
        await settler.settle(await world.audit().cycle())
        await world.run()
        await settler.settle([])
        assert world.begun == []
        world.here.clock.advance(330.0)
    await settler.settle([])
    assert world.begun == [TENANT]


async def test_history_of_a_tenant_that_is_another_process_s_by_now_is_left_alone(world: World) -> None:
    await world.here.index.remove_documents(TENANT, [(await world.state("a")).id])
    settler = world.settler()
    await settler.settle(await world.audit().cycle())
    await world.run()
    world.owned.clear()
    await settler.settle([])
    assert world.begun == []


async def test_a_document_whose_newest_record_cannot_be_read_keeps_no_other_from_its_repair(world: World) -> None:
    newest = change(doc="a", sequence=999)
    partition = topics().partition(CHANGES, document=newest.document)
    await world.here.log.append(CHANGES, partition, newest.key, b"torn", headers_of(newest))
    names = ("a", "b")
    await world.settler().settle([Finding(Kind.WORD_HOLE, TENANT, change(doc=name).document) for name in names])
    assert world.here.metrics.value(AUDIT_REPAIRS) == 1


async def test_an_audit_ends_although_the_head_runs_ahead_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    audit, asked = world.audit(), 0
    position = audit._position

    async def ahead(tenant: Tenant) -> Published:
        nonlocal asked
        asked += 1
        assert asked < 100, "it walks after the head for ever"
        head = (await position(tenant)).head
        return Published(replace(head, seq=head.seq + 100 * asked, history_from=head.seq + 100 * asked))

    monkeypatch.setattr(audit, "_position", ahead)
    assert {one.kind for one in await audit.cycle()} <= {Kind.LOST_COMMIT, Kind.MISSING_ROW}


async def test_what_is_written_between_the_steps_of_a_second_look_is_no_finding(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep removes what the state that was looked at lists, and nothing lists any more."""
    audit = world.audit()
    documents = audit._walk.documents

    async def overtaken(published: Published, states: Mapping[Document, DocumentRow]) -> Walked:
        await world.here.index.remove_chunks(TENANT, [id_ for row in states.values() for id_ in row.chunk_ids()])
        found = await documents(published, states)
        await world.post(change(doc="a", body=b"Another one."), change(doc="b", body=b"Another one."))
        return found

    monkeypatch.setattr(audit._walk, "documents", overtaken)
    assert await audit.cycle() == []


async def test_a_document_that_the_log_does_not_know_is_found(world: World) -> None:
    partition = topics().partition(CHANGES, document=change(doc="a").document)
    records = world.here.log._partitions[CHANGES, partition]
    records[:] = [record for record in records if record.key != change(doc="a").key]
    assert (Kind.UNKNOWN_DOCUMENT, "a") in await world.found()


async def test_a_source_that_says_nothing_for_too_long_is_found(world: World) -> None:
    def silence(source: Source) -> timedelta | None:
        return timedelta(hours=2) if source == "wiki" else None

    clock = world.here.clock
    clock.advance((AT - clock.now()).total_seconds() + 3600.0)
    assert await world.found(silence=silence) == []
    clock.advance(3 * 3600.0)
    assert await world.found(silence=silence) == [(Kind.SILENT_SOURCE, None)]


async def test_rows_of_a_dead_writer_are_left_to_the_sweep_and_told_when_they_stay(world: World) -> None:
    row = await world.state("a")
    dead = replace(row, id=RowId("dead"), epoch=row.epoch - 1, from_seq=99)
    await world.here.index.insert_documents(TENANT, [dead])
    audit = world.audit()
    assert await audit.cycle() == []
    world.here.clock.advance(1201.0)
    findings = await audit.cycle()
    assert [one.kind for one in findings] == [Kind.DEAD_ROW]
    await world.repaired(*findings)
    assert world.kept == [TENANT]


async def test_looks_and_newest_rows_find_what_they_are_for(world: World) -> None:
    audit = world.audit()
    assert await audit.look() == []
    assert await audit.recent(TENANT, timedelta(minutes=15)) == []
    row = await world.state("a")
    await world.here.index.remove_chunks(TENANT, row.chunk_ids())
    assert [one.kind for one in await audit.recent(TENANT, timedelta(minutes=15))] == [Kind.MISSING_CHUNK]
    head = await world.head()
    await world.here.index.put_head(replace(head, seq=head.seq + 1))
    assert {one.seq for one in await audit.look()} == {None, head.seq + 1}
    assert await audit.look() == [], "what is lost is told once"


async def test_only_owned_tenants_are_looked_at(world: World) -> None:
    row = await world.state("a")
    await world.here.index.remove_chunks(TENANT, row.chunk_ids())
    assert await world.found(owned=lambda tenant: tenant != TENANT) == []


async def test_an_index_that_is_behind_is_compared_with_itself_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.audit._APPLIED_WITHIN_SECONDS", -1.0)
    await world.here.index.put_acknowledged(topics().partition(MUTATIONS, tenant=TENANT), 0)
    row = await world.state("a")
    await world.here.index.remove_chunks(TENANT, row.chunk_ids())
    await world.here.index.remove_documents(TENANT, [(await world.state("b")).id])
    audit = world.audit()
    assert {one.kind for one in await audit.cycle()} == {Kind.MISSING_CHUNK, Kind.MISSING_ROW}
    assert audit.tally.not_compared is not None
    assert "is `apply` running" in audit.tally.not_compared
