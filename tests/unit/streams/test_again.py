"""The mark of a change that lies in the log again: from documents.changes to the writer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from index.outcomes import Outcome, Unchanged, Waiting
from index.rows import Item, PositionedMutation
from index.sweeper import Swept
from runtime.clock import ManualClock
from runtime.log_port import MemoryLog
from runtime.metrics import ALERTS, COMMITS, HEALINGS, RECORDS
from schemas.codec import decode
from schemas.copies import copied
from schemas.headers import Again, stated_again
from schemas.records import Coordinates, DocumentChange
from schemas.topics import CHANGES
from streams.apply import Applier
from streams.dead_letters import DeadLetters
from streams.heal import Gone, Healed, LiesBehind
from streams.journal import Journal
from streams.repair import Repair
from streams.tenant_queue import Bounds
from streams.window import Lease
from tests.unit.streams.audited import TwinLog
from tests.unit.streams.records import MUTATIONS, change, topics
from tests.unit.streams.test_flow import Installation, delivered


@dataclass
class Recording:
    """A writer that keeps what it is given."""

    items: list[Item] = field(default_factory=list)

    async def commit(self, batch: Sequence[Item], waiting: Waiting) -> Sequence[Outcome]:
        self.items += batch
        return [Unchanged(conflict=False) for _ in batch]

    async def sweep(self, seconds: Callable[[], float], *, take_over: bool) -> Swept:
        return Swept(60.0)

    async def begin_history(self) -> None: ...


@pytest.mark.parametrize("again", [None, *Again])
async def test_the_writer_learns_why_a_change_lies_in_the_log_again(again: Again | None) -> None:
    here, writer = await Installation.create(), Recording()
    record = change(sequence=7)
    place = Coordinates(topic=CHANGES, partition=topics().partition(CHANGES, document=record.document), offset=0)
    copy = copied(record, place, again)
    await here.log.append(copy.topic, copy.partition, copy.key, copy.value, copy.headers)
    await here.run(here.prepare(), CHANGES)
    applier = Applier(lambda _: writer, DeadLetters(MemoryLog(), topics(), "apply", ManualClock()), topics(), Bounds(8))
    for stored in here.log.records(MUTATIONS):
        await applier.apply(delivered(stored), Lease())
    (item,) = writer.items
    assert isinstance(item, PositionedMutation)
    assert (item.again, item.mutation.change) == (again, place)


async def test_a_repair_takes_the_healed_copy_of_the_first_of_equal_versions() -> None:
    """Compaction has taken the first itself, and not yet what came after it under the same version."""
    here = await Installation.create()
    first, taken = change(sequence=7, body=b"first"), change(sequence=7, body=b"second")
    place = Coordinates(topic=CHANGES, partition=topics().partition(CHANGES, document=first.document), offset=0)
    for copy in (copied(taken, place), copied(first, place, Again.HEALED)):
        await here.log.append(copy.topic, copy.partition, copy.key, copy.value, copy.headers)
    await Repair(here.log, TwinLog(here), topics()).documents([first.document])
    *_, repaired = here.log.records(CHANGES)
    assert stated_again(repaired.headers) is Again.REPAIR
    assert decode(repaired.value or b"", DocumentChange).body == b"first"


async def test_a_change_that_was_healed_is_no_news_and_one_that_is_gone_is_an_alert() -> None:
    here = await Installation.create()
    record = change(sequence=7)
    await here.post(record)
    place = Coordinates(topic=CHANGES, partition=topics().partition(CHANGES, document=record.document), offset=0)
    copy = copied(record, place, Again.HEALED)
    await here.log.append(copy.topic, copy.partition, copy.key, copy.value, copy.headers)
    await here.run(here.prepare(), CHANGES)
    await here.run(here.apply(), MUTATIONS)
    assert here.metrics.value(RECORDS, stage="apply", outcome="committed") == 2
    assert here.metrics.value(COMMITS, op="upsert") == 1, "how fresh an old change is says nothing"
    journal, delivery = Journal("apply", here.metrics, ManualClock()), delivered(next(here.log.records(MUTATIONS)))
    for healing in (Healed(place), LiesBehind(place), Gone()):
        journal.healed(delivery, healing)
    outcomes = ("healed", "lay_behind", "gone")
    assert [here.metrics.value(HEALINGS, outcome=outcome) for outcome in outcomes] == [1, 1, 1]
    assert here.metrics.value(ALERTS, alert="heal_gone") == 1
