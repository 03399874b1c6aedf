"""Writers that meet: each test names one meeting. tests/unit/index/test_writer_histories.py finds the others."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import first_head, newest_head
from index.outcomes import Committed, Redelivered
from index.reader import Reader
from index.rows import claiming_head, settled_head, shown_head
from index.writer import SupersededError, TenantWriter
from runtime.clock import ManualClock
from schemas.errors import BrokenIndexError
from schemas.records import TakeOver
from tests.unit.index.fakes import (
    START,
    TENANT,
    Tapped,
    check_whole,
    doc,
    mutation,
    new_index,
    reference,
    states,
    writer_on,
)


class Pause:
    """Stops the `number`-th call of a name (from 1), before or after it is applied, until released."""

    def __init__(self, name: str, number: int = 1, *, applied: bool = False) -> None:
        self._name = name
        self._number = number
        self._applied = applied
        self.reached = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Carry the call out, in time or late."""
        if name != self._name:
            return await call()
        self._number -= 1
        if self._number != 0:
            return await call()
        result = await call() if self._applied else None
        self.reached.set()
        await self.released.wait()
        return result if self._applied else await call()


class Meeting:
    """One index and log, and writers on it."""

    def __init__(self, index: MemoryIndex) -> None:
        self.index = index
        self.log = MemoryCommitLog()

    def writer(self, name: str, around: Any = None) -> TenantWriter:
        return writer_on(self.index if around is None else Tapped(self.index, around), self.log, name)  # type: ignore[arg-type]

    async def texts(self) -> dict[str, tuple[str, ...]]:
        published = await Reader(self.index, ManualClock()).position(TENANT)
        return {document.doc_id: state.texts for document, state in (await states(self.index, published)).items()}


@pytest.fixture
async def meeting() -> Meeting:
    return Meeting(await new_index())


async def test_a_take_overs_epoch_is_its_records_offset_plus_one(meeting: Meeting) -> None:
    first, second = await meeting.writer("one").take_over(), await meeting.writer("two").take_over()
    assert (first.epoch, second.epoch) == (1, 2)
    assert all(isinstance(record, TakeOver) for record in meeting.log.records)


async def test_a_log_that_lost_take_overs_stops_the_writer_before_it_reuses_an_epoch(meeting: Meeting) -> None:
    await meeting.writer("one").commit([mutation(0, "a", "tea")])
    await meeting.writer("two").take_over()
    meeting.log.records.clear()
    with pytest.raises(BrokenIndexError, match="shorter than it was"):
        await meeting.writer("three").commit([mutation(1, "a", "milk")])
    assert await meeting.texts() == {"a": ("tea",)}


async def test_take_overs_that_publish_nothing_leave_nothing_in_later_heads(meeting: Meeting) -> None:
    await meeting.writer("one").commit([mutation(0, "a", "tea")])
    for number in range(50):
        head = await meeting.writer(f"idle{number}").take_over()
    assert head.earlier == {0: 0, 1: 1, head.epoch: 1}
    assert await meeting.texts() == {"a": ("tea",)}


async def test_a_shard_without_any_head_stops_the_writer(meeting: Meeting) -> None:
    meeting.index._shards[TENANT].heads.clear()
    with pytest.raises(BrokenIndexError):
        await meeting.writer("one").take_over()


async def test_an_older_writer_learns_that_it_is_superseded_before_it_tells_or_acknowledges(meeting: Meeting) -> None:
    """A process that Kafka evicted may take over without knowing; the rightful one must not go on under its epoch."""
    rightful = meeting.writer("rightful")
    await rightful.commit([mutation(0, "a", "tea")])
    await meeting.writer("evicted").take_over()
    told = len(meeting.log.commits())
    with pytest.raises(SupersededError):
        await rightful.commit([mutation(1, "b", "milk")])
    assert len(meeting.log.commits()) == told
    assert "b" not in await meeting.texts()
    (outcome,) = await rightful.commit([mutation(1, "b", "milk")])
    assert isinstance(outcome, Committed)
    assert await meeting.texts() == {"a": ("tea",), "b": ("milk",)}


async def test_even_what_changes_nothing_is_not_acknowledged_by_a_superseded_writer(meeting: Meeting) -> None:
    old = meeting.writer("old")
    await old.commit([mutation(0, "a", "tea", version=5)])
    await meeting.writer("new").take_over()
    with pytest.raises(SupersededError):
        await old.commit([mutation(1, "a", "milk", version=4)])


@pytest.mark.parametrize(("put", "included"), [(1, True), (2, True), (3, False)])
async def test_what_an_older_writer_publishes_during_a_take_over_counts_until_it_is_settled(
    meeting: Meeting, put: int, included: bool
) -> None:
    """Heads are put in the order claim, shown, settled; the older writer publishes just before each."""
    pause = Pause("put_head", put)
    old = meeting.writer("old")
    await old.commit([mutation(0, "a", "tea")])
    taking = asyncio.create_task(meeting.writer("new", pause).take_over())
    await pause.reached.wait()
    if put == 1:
        await old.commit([mutation(1, "b", "milk")])
    else:
        with pytest.raises(SupersededError):
            await old.commit([mutation(1, "b", "milk")])
    pause.released.set()
    head = await taking
    assert head.seq == (2 if included else 1)
    again = meeting.writer("later")
    (outcome,) = await again.commit([mutation(1, "b", "milk")])
    assert isinstance(outcome, Redelivered if included else Committed)
    await check_whole(meeting.index, meeting.log, reference([mutation(0, "a", "tea"), mutation(1, "b", "milk")]))


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("put", [1, 2, 3])
async def test_a_take_over_that_is_cut_off_hides_nothing_that_was_acknowledged(
    meeting: Meeting, put: int, applied: bool
) -> None:
    pause = Pause("put_head", put, applied=applied)
    old = meeting.writer("old")
    await old.commit([mutation(0, "a", "tea")])
    cut_off = asyncio.create_task(meeting.writer("cut-off", pause).take_over())
    await pause.reached.wait()
    visible = await meeting.texts()
    assert visible["a"] == ("tea",)
    cut_off.cancel()
    for attempt in range(2):
        try:
            await old.commit([mutation(1, "b", "milk")])
            break
        except SupersededError:
            assert attempt == 0
    assert await meeting.texts() == {"a": ("tea",), "b": ("milk",)}


async def test_a_take_over_between_two_heads_of_another_does_not_lose_what_the_first_found(meeting: Meeting) -> None:
    """new is paused with its shown head out; old's publication before it is only in old's own head."""
    old = meeting.writer("old")
    await old.commit([mutation(0, "a", "tea")])
    before_shown = Pause("put_head", 2)
    middle = asyncio.create_task(meeting.writer("middle", before_shown).take_over())
    await before_shown.reached.wait()
    with pytest.raises(SupersededError):
        await old.commit([mutation(1, "b", "milk")])
    assert "b" in await meeting.texts()
    before_settled = Pause("put_head", 3)
    last = asyncio.create_task(meeting.writer("last", before_settled).take_over())
    before_shown.released.set()
    with pytest.raises(SupersededError):
        await middle
    await before_settled.reached.wait()
    before_settled.released.set()
    await last
    assert "b" in await meeting.texts()


async def test_a_writer_paused_before_its_head_publishes_into_nowhere(meeting: Meeting) -> None:
    """Rows of a dead epoch are never seen, though they lie in the store and their head is put."""
    pause = Pause("put_head", 4)
    paused = asyncio.create_task(meeting.writer("paused", pause).commit([mutation(0, "a", "tea")]))
    await pause.reached.wait()
    await meeting.writer("new").commit([mutation(0, "a", "milk")])
    pause.released.set()
    with pytest.raises(SupersededError):
        await paused
    assert await meeting.texts() == {"a": ("milk",)}
    assert len(await meeting.index.rows_at(TENANT, 1)) == 2
    await check_whole(meeting.index, meeting.log, reference([mutation(0, "a", "milk")]))


async def test_an_older_take_over_that_wakes_up_gives_way(meeting: Meeting) -> None:
    pause = Pause("heads", 2)
    late = asyncio.create_task(meeting.writer("late", pause).take_over())
    await pause.reached.wait()
    await meeting.writer("new").commit([mutation(0, "a", "tea")])
    pause.released.set()
    with pytest.raises(SupersededError):
        await late
    assert await meeting.texts() == {"a": ("tea",)}


@pytest.mark.parametrize("attempts", [31, 32, 33, 70])
async def test_a_state_is_found_among_more_dead_rows_than_a_page_holds(meeting: Meeting, attempts: int) -> None:
    """A writer whose head cannot be put tries again and again: its rows all have the same seq."""

    async def fails(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        result = await call()
        if name == "insert_documents":
            raise TimeoutError
        return result

    async def one_page(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        result = await call()
        return {key: rows[:32] for key, rows in result.items()} if name == "document_rows" else result

    await meeting.writer("first").commit([mutation(0, "a", "tea")])
    for number in range(attempts):
        with pytest.raises(TimeoutError):
            await meeting.writer(f"failing{number}", fails).commit([mutation(1, "a", "milk")])
    reader = Reader(Tapped(meeting.index, one_page), ManualClock())  # type: ignore[arg-type]
    # Nothing that is committed elsewhere makes the dead rows' seq a published one of another document's.
    await meeting.writer("other", one_page).commit([mutation(2, "b", "corn")])
    _, row = await reader.document(doc("a"), frozenset({"public"}))
    assert row is not None
    assert (row.from_seq, row.content_version) == (1, mutation(0, "a").mutation.version)
    await meeting.writer("last", one_page).commit([mutation(1, "a", "milk")])
    _, row = await reader.document(doc("a"), frozenset({"public"}))
    assert row is not None
    assert row.from_seq == 3
    _, versions = await reader.versions(doc("a"), frozenset({"public"}), limit=5)
    assert [row.from_seq for row in versions] == [3, 1]


async def test_a_valid_row_is_found_wherever_it_lies_among_rows_of_its_seq(meeting: Meeting) -> None:
    await meeting.writer("first").commit([mutation(0, "a", "tea")])
    (valid,) = await meeting.index.rows_at(TENANT, 1)
    dead = [replace(valid, id=f"dead{number}", epoch=100 + number) for number in range(80)]
    await meeting.index.insert_documents(TENANT, dead)  # type: ignore[arg-type]

    async def parted(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        result = await call()
        return {key: rows[:32] for key, rows in result.items()} if name == "document_rows" else result

    _, row = await Reader(Tapped(meeting.index, parted), ManualClock()).document(doc("a"), frozenset({"public"}))  # type: ignore[arg-type]
    assert row == valid


def test_heads_of_a_take_over_say_what_they_are() -> None:
    first = first_head(TENANT, START)
    old = replace(first, epoch=1, seq=7, earlier={0: 0, 1: 0}, swept_seq=3, history_from=2)
    claim = claiming_head(TENANT, 5, START)
    shown = shown_head([first, old], 5, START)
    settled = settled_head([first, old], 5, START)
    assert (claim.is_claim, claim.is_settled) == (True, False)
    assert (shown.is_claim, shown.is_settled) == (False, False)
    assert (settled.is_claim, settled.is_settled) == (False, True)
    assert first.is_settled
    assert not first.is_claim
    assert newest_head([first, old, claim]) == old
    assert newest_head([first, old, shown]) == shown
    assert (settled.seq, settled.earlier) == (7, {0: 0, 1: 7, 5: 7})
    assert (settled.swept_seq, settled.history_from) == (3, 2)


def test_a_take_over_settles_on_settled_heads_alone() -> None:
    first = first_head(TENANT, START)
    old = replace(first, epoch=1, seq=7, earlier={0: 0, 1: 0})
    stuck = shown_head([first, replace(old, seq=4)], 3, START)
    assert shown_head([first, old, stuck], 5, START).seq == 4
    assert settled_head([first, old, stuck], 5, START).earlier == {0: 0, 1: 7, 5: 7}
