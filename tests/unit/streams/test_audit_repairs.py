"""What an audit found over the twins is told once, and repaired through the log by the stages."""

from dataclasses import replace

import pytest

from index.audit.findings import Finding, Kind
from index.model import RowId
from runtime.metrics import ALERTS, AUDIT_FINDINGS, AUDIT_REPAIRS
from schemas.errors import PermanentError
from schemas.headers import headers_of
from schemas.topics import CHANGES, COMMITS, DLQ
from schemas.versions import Op
from streams import auditing
from streams.dead_letters import DeadLetters
from tests.unit.streams.audited import World, new_world
from tests.unit.streams.records import MUTATIONS, change, topics
from tests.unit.streams.test_flow import TENANT, delivered


@pytest.fixture
async def world() -> World:
    return await new_world()


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
