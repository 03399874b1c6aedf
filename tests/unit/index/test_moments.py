"""A point in time is a published position: the last one committed by then."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import Moment
from index.moments import AsOf, FuturePositionError, HistoryUnavailableError, Moments
from index.reader import Reader
from runtime.clock import ManualClock
from tests.unit.index.fakes import START, TENANT, mutation, new_index, writer_on

SECOND = timedelta(seconds=1)


class Log:
    """A tenant's history on a clock of its own."""

    def __init__(self, index: MemoryIndex) -> None:
        self.index = index
        self.clock = ManualClock(START + SECOND)
        self.commits = MemoryCommitLog()
        self.writer = writer_on(index, self.commits, clock=self.clock)
        self.offset = 0

    async def commit(self, size: int = 1) -> datetime:
        """One batch of new documents; returns when it was committed."""
        numbers = range(self.offset, self.offset + size)
        self.offset += size
        await self.writer.commit([mutation(number, f"d{number}", f"tea {number}") for number in numbers])
        return self.clock.now()

    async def at(self, as_of: AsOf | None) -> Moment:
        published = await Reader(self.index, self.clock).position(TENANT)
        return await Moments(self.index, self.clock).at(published, as_of)


@pytest.fixture
async def log() -> Log:
    return Log(await new_index())


async def test_a_time_is_the_newest_head_committed_by_then(log: Log) -> None:
    times: dict[datetime, int] = {}
    for size in (1, 3, 1, 2):
        log.clock.advance(60)
        committed = await log.commit(size)
        times[committed] = log.offset
    log.clock.advance(3600)
    for time, seq in times.items():
        assert (await log.at(time)).seq == seq
        assert (await log.at(time + SECOND)) == Moment(seq, time)
    assert await log.at(min(times) - SECOND) == Moment(0, None)


async def test_the_time_of_an_answer_asks_for_its_own_position_even_where_the_writers_clock_is_ahead(log: Log) -> None:
    log.clock.advance(60)
    committed = await log.commit()
    behind = Moments(log.index, ManualClock(START))
    published = await Reader(log.index, log.clock).position(TENANT)
    assert await behind.at(published, committed) == Moment(1, committed)


async def test_a_time_to_come_is_refused_and_the_newest_position_named(log: Log) -> None:
    committed = await log.commit()
    assert (await log.at(committed)).seq == 1
    with pytest.raises(FuturePositionError) as caught:
        await log.at(committed + SECOND)
    assert caught.value.newest == 1


async def test_a_time_before_the_kept_history_is_refused(log: Log) -> None:
    times = []
    for _ in range(4):
        log.clock.advance(60)
        times.append(await log.commit())
    head = (await Reader(log.index, log.clock).position(TENANT)).head
    await log.index.put_head(replace(head, history_from=3))
    assert (await log.at(times[2])).seq == 3
    for time in (times[1], START):
        with pytest.raises(HistoryUnavailableError):
            await log.at(time)


async def test_of_a_tenant_without_documents_every_past_time_is_position_zero(log: Log) -> None:
    assert (await log.at(START)).seq == 0
    assert await log.at(START - SECOND) == Moment(0, None)


async def test_a_writer_whose_clock_is_behind_goes_on_from_the_last_commits_time(log: Log) -> None:
    log.clock.advance(60)
    committed = await log.commit()
    late = writer_on(log.index, log.commits, name="late", clock=ManualClock(START))
    await late.commit([mutation(9, "late", "tea late")])
    assert await log.at(committed) == Moment(2, committed)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=12), st.integers(-1, 40))
async def test_times_are_positions_in_any_history(batches: list[tuple[int, int]], asked: int) -> None:
    log = Log(await new_index())
    expected = 0
    for pause, size in batches:
        log.clock.advance(pause)
        if await log.commit(size) <= START + asked * SECOND:
            expected = log.offset
    log.clock.advance(100)
    assert (await log.at(START + asked * SECOND)).seq == expected
