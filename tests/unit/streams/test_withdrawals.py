"""A delete or a revocation that the store refuses: its document stays hidden, whatever else comes, and it is told."""

from collections.abc import Sequence

import pytest

from index.memory import MemoryIndex
from index.model import DocumentRow, IndexIdentity
from runtime.clock import ManualClock
from runtime.metrics import RECORDS, Metrics
from schemas.errors import PermanentError
from schemas.identity import Tenant
from schemas.records import DocumentChange
from schemas.topics import DLQ
from schemas.versions import Op
from streams.agents import apply_agent
from streams.dead_letters import DeadLetters
from streams.journal import WITHDRAWAL_LOST, Journal
from streams.window import Delivery, Lease
from tests.unit.streams.compacted import TOPICS, World, newest
from tests.unit.streams.records import MUTATIONS
from tests.unit.streams.test_healing import change

READERS = ("public", "staff")


class Refusing(MemoryIndex):
    """Takes no row that was made of a record of `topics` that withdraws something."""

    def __init__(self, *topics: str) -> None:
        super().__init__(IndexIdentity("g1", "live"))
        self.topics = topics

    async def insert_documents(self, tenant: Tenant, rows: Sequence[DocumentRow]) -> None:
        """See `index.port.VersionedIndex`."""
        if any(row.op is not Op.UPSERT and row.mutation.topic in self.topics for row in rows):
            raise PermanentError("a row that the store refuses", reason="refused_row")
        await super().insert_documents(tenant, rows)


async def opened(*topics: str) -> World:
    refusing = Refusing(*topics)
    world = await World.create(refusing)
    await world.post(change(sequence=1, acl=READERS))
    await world.settle()
    assert await readable(world)
    return world


async def readable(world: World) -> bool:
    rows = (await newest(world.index)).values()
    return any(row.readable_by({"staff"}) for row in rows)


WITHDRAWALS = {"a delete": change(Op.DELETE, 3), "a revocation": change(Op.ACL, 3, acl=("hr",))}


@pytest.mark.parametrize("withdrawal", WITHDRAWALS.values(), ids=WITHDRAWALS)
@pytest.mark.parametrize("ahead", [True, False], ids=["hidden ahead", "hidden late"])
async def test_a_withdrawal_that_becomes_a_dead_letter_keeps_its_document_hidden(
    withdrawal: DocumentChange, ahead: bool
) -> None:
    world = await opened(MUTATIONS)
    await world.post(withdrawal)
    if ahead:
        await world.hide(100)
        assert not await readable(world)
    await world.settle()
    assert [record.key for record in world.log.records(DLQ)] == [withdrawal.document.key]
    assert not await readable(world)
    await world.post(change(sequence=2, body="late"))
    await world.settle()
    assert not await readable(world), "what is older than the withdrawal brings nothing back"
    world.hidden = 0
    await world.settle()
    assert not await readable(world), "and neither does a process that reads its hides again"


async def test_content_newer_than_a_delete_that_was_lost_is_shown() -> None:
    world = await opened(MUTATIONS)
    await world.post(change(Op.DELETE, 3))
    await world.settle()
    await world.post(change(sequence=4, body="new"))
    await world.settle()
    assert await readable(world)


@pytest.mark.parametrize("withdrawal", WITHDRAWALS.values(), ids=WITHDRAWALS)
async def test_it_is_told_as_an_outcome_of_its_own(withdrawal: DocumentChange) -> None:
    world, metrics = await opened(MUTATIONS), Metrics()
    await world.post(withdrawal)
    await world.prepare(10)
    letters = DeadLetters(world.log, TOPICS, "apply", ManualClock())
    work = apply_agent(world.applier(), letters, Journal("apply", metrics, ManualClock()))
    record = list(world.log.records(MUTATIONS))[-1]
    await work(Delivery(record.coordinates, (record.key or "").encode(), record.value, record.headers), Lease())
    assert metrics.value(RECORDS, stage="apply", outcome=WITHDRAWAL_LOST) == 1
