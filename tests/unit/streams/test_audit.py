"""An audit over the twins: what it finds, what is no finding, and where it looks."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from index.audit.findings import Kind
from index.audit.walk import Walked
from index.model import DocumentRow, Published, RowId
from schemas.identity import Document, Source, Tenant
from schemas.topics import CHANGES
from tests.unit.streams.audited import World, new_world
from tests.unit.streams.records import AT, MUTATIONS, change, topics
from tests.unit.streams.test_flow import TENANT


@pytest.fixture
async def world() -> World:
    return await new_world()


async def test_what_the_stages_have_made_of_the_log_does_not_differ_from_it(world: World) -> None:
    assert await world.found() == []


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


async def test_a_tenant_that_is_anothers_for_a_moment_while_the_log_is_read_is_no_finding(world: World) -> None:
    times = 0

    def owned(_tenant: Tenant) -> bool:
        nonlocal times
        times += 1
        return times == 1 or times > 3

    assert await world.found(owned=owned) == []


async def test_a_tenant_that_becomes_anothers_is_not_looked_at(world: World) -> None:
    times = 0

    def owned(_tenant: Tenant) -> bool:
        nonlocal times
        times += 1
        return times == 1

    audit = world.audit(owned=owned)
    assert await audit.cycle() == []
    assert audit.tally.documents == 0


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
