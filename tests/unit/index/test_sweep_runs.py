"""Runs of the sweep: bounded, held up, cut off at any step."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from index.model import OPEN
from index.undisturbed import STALE_SECONDS
from runtime.clock import ManualClock
from schemas.errors import AmbiguousWriteError
from schemas.identity import Document
from tests.unit.index.fakes import (
    CutOff,
    FailAt,
    State,
    Tapped,
    mutation,
    new_index,
)
from tests.unit.index.house import AGES, HOURS, WAIT, House, drain


@dataclass
class Slow:
    """Every call takes its time."""

    clock: ManualClock
    seconds: float = 0.01
    calls: int = 0

    async def __call__(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        self.calls += 1
        self.clock.advance(self.seconds)
        return await call()


async def test_a_run_is_bounded_and_the_next_goes_on_where_it_ended(house: House) -> None:
    slow = Slow(house.clock)
    house.writer = house.new_writer(Tapped(house.index, slow), rows=2)
    await house.put(("a", tuple(f"w{number}" for number in range(30))))
    await house.put(("a", ("tea",)))
    house.clock.advance(WAIT)
    closed = []
    while True:
        began = house.clock.monotonic()
        wait = (await house.writer.sweep(lambda: 0.05)).next_in
        assert house.clock.monotonic() - began < 0.05 + 0.07
        closed.append(sum(to_seq != OPEN for to_seq in house.chunks().values()))
        assert not (await house.head()).is_sweeping
        if wait > 1:
            break
        house.clock.advance(wait)
    assert closed == sorted(closed)
    assert closed[-1] == 30
    assert len({count for count in closed if count}) > 4


@pytest.mark.parametrize("call", ["put_head", "close_chunks"])
async def test_a_writer_that_was_held_up_closes_nothing_more_in_that_run(house: House, call: str) -> None:
    """Readers that have seen it under way for so long take it for ended, and read while rows are away."""
    closed = list[tuple[str, int]]()
    pause = 0.0

    async def around(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        if name.startswith("close_"):
            closed.append((name, (await house.head()).sweeps))
        result = await work()
        if name == call:
            house.clock.advance(pause)
        return result

    house.writer = house.new_writer(Tapped(house.index, around))
    await house.put(("a", ("tea",)))
    await house.put(("a", ("milk",)))
    house.clock.advance(WAIT)
    pause = 3.0
    await house.writer.sweep()
    assert closed == [("close_chunks", 1)][: call == "close_chunks"]
    pause = 0.0
    await drain(house.writer, house.clock)
    assert {name for name, _ in closed} == {"close_chunks", "close_documents"}
    assert [sweeps for name, sweeps in closed if name == "close_documents"] == [3]


async def test_a_run_ends_before_readers_take_it_for_dead_however_much_time_it_has(house: House) -> None:
    async def around(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        house.clock.advance(0.3 if name.startswith("close_") else 0.0)
        return await work()

    house.writer = house.new_writer(Tapped(house.index, around), rows=1)
    for text in ("tea", "milk"):
        await house.put(*((name, (text,)) for name in "abcdefghijklmnop"))
    house.clock.advance(WAIT)
    began = house.clock.monotonic()
    await house.writer.sweep(lambda: 60.0)
    assert 2.0 < house.clock.monotonic() - began < STALE_SECONDS - 1.0
    assert not (await house.head()).is_sweeping


async def test_what_dead_writers_left_is_removed_where_rows_are_superseded_faster_than_they_are_swept(
    house: House,
) -> None:
    with pytest.raises(AmbiguousWriteError):
        await house.new_writer(Tapped(house.index, CutOff("insert_documents"))).commit([mutation(70, "z", "bran")])
    house.writer = house.new_writer(Tapped(house.index, Slow(house.clock, 0.03)), rows=1)
    closed = []
    for number in range(20):
        await house.put(("a", tuple(f"v{number}.{part}" for part in range(9))))
        house.clock.advance(WAIT)
        await house.writer.sweep(lambda: 0.05)
        closed.append(sum(to_seq != OPEN for to_seq in house.chunks().values()))
    head = await house.head()
    assert head.swept_seq < head.seq - 10
    assert 0 < closed[-1] < 9 * 15
    assert "bran" not in house.chunks()


async def test_a_run_that_a_predecessor_was_in_goes_on_until_its_last_call_has_ended(house: House) -> None:
    await house.put(("a", ("tea",)))
    head = await house.head()
    await house.index.put_head(replace(head, sweeps=7))
    house.writer = house.new_writer()
    await house.put(("b", ("milk",)))
    assert (await house.head()).is_sweeping
    await house.writer.sweep()
    assert (await house.head()).is_sweeping
    house.clock.advance(STALE_SECONDS / 2 + 0.1)
    await house.writer.sweep()
    assert not (await house.head()).is_sweeping


async def test_an_idle_writer_is_told_when_to_sweep_next(house: House) -> None:
    await house.put(("a", ("tea",)))
    await house.sweep(0)
    await house.put(("a", ("milk",)))
    wait = (await house.writer.sweep()).next_in
    assert WAIT - 1 <= wait <= WAIT
    await house.sweep(wait)
    assert house.chunks() == {"tea": 2, "milk": OPEN}
    assert (await house.writer.sweep()).next_in > WAIT


async def _story(house: House) -> None:
    """Versions, a delete, a dead writer's rows, a document over many slices: everything a sweep has to do with."""
    await house.put(("a", ("tea", "milk")), ("b", ("corn",)))
    await house.put(("a", ("milk", "rye")))
    with pytest.raises(AmbiguousWriteError):
        await house.new_writer(Tapped(house.index, CutOff("insert_documents"))).commit([mutation(70, "a", "bran")])
    house.writer = house.new_writer(rows=2)
    await house.put(("a", ("tea",)), ("b", ()))
    await house.put(("b", ("corn", "oats")))


@pytest.mark.parametrize("keeps", [timedelta(0), HOURS])
@pytest.mark.parametrize("applied", [False, True])
async def test_a_crash_at_any_step_of_the_sweep_changes_nothing_that_can_be_read(
    keeps: timedelta, applied: bool
) -> None:
    whole = House(await new_index(), keeps)
    await _story(whole)
    await whole.sweep(25)
    await whole.sweep(AGES)
    await whole.sweep(WAIT + 60)
    crashed = 0
    for call in range(200):
        house = House(await new_index(), keeps)
        await _story(house)
        newest = (await house.head()).seq
        before = {seq: await house.states(seq) for seq in range(newest + 1)}
        fail = FailAt(call + 1_000_000, applied)
        house.writer = house.new_writer(Tapped(house.index, fail), rows=2)
        await house.put(("c", ("barley",)))
        house.clock.advance(25)
        fail.number = fail.calls + call
        try:
            await drain(house.writer, house.clock)
        except AmbiguousWriteError:
            crashed += 1
        else:
            break
        await _same(house, before)
        house.writer = house.new_writer(rows=2)
        await house.put(("d", ("barley",)))
        await house.sweep(25)
        await _same(house, before)
        await house.sweep(AGES)
        await house.sweep(WAIT + 60)
        assert set(house.chunks()) - {"barley"} == set(whole.chunks())
        assert not (await house.head()).is_sweeping
    assert crashed > 10


async def _same(house: House, before: Mapping[int, Mapping[Document, State]]) -> None:
    kept = (await house.head()).history_from
    for seq, wanted in before.items():
        if seq >= kept:
            found = await house.states(seq)
            assert {document: found[document] for document in wanted} == wanted
