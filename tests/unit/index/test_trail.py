"""The trail forwards: each committed row with the state before it and the newest one."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import Published
from index.port import VersionedIndex
from index.reader import READ_SECONDS, Reader
from index.trail import Trail, TrailStep
from runtime.clock import ManualClock
from schemas.errors import AmbiguousWriteError
from schemas.identity import Tenant
from schemas.versions import Op
from tests.unit.index.fakes import TENANT, FailAt, Tapped, mutation, new_index, writer_on


async def _read(index: VersionedIndex, after: int = 0) -> tuple[TrailStep, ...]:
    reader = Reader(index, ManualClock())
    published = await reader.position(TENANT)
    return await Trail(index, reader.position, ManualClock()).read(published, after=after, at_most=published.seq)


async def test_each_step_has_the_state_before_it_and_the_newest() -> None:
    index = await new_index()
    writer = writer_on(index, MemoryCommitLog())
    await writer.commit([mutation(0, "a", "tea one"), mutation(1, "b", "tea two")])
    await writer.commit([mutation(2, "a", op=Op.DELETE)])
    steps = await _read(index)
    assert [(step.row.document.doc_id, step.row.from_seq) for step in steps] == [("a", 1), ("b", 2), ("a", 3)]
    assert [step.before and step.before.from_seq for step in steps] == [None, None, 1]
    assert [step.today.from_seq for step in steps] == [3, 2, 3]
    assert all(step.row.manifest == () for step in steps)
    assert [step.row.from_seq for step in await _read(index, after=2)] == [3]
    assert await _read(index, after=3) == ()


async def test_rows_of_a_writer_that_died_before_publishing_are_in_no_trail() -> None:
    for failing in range(12):
        index = await new_index()
        log = MemoryCommitLog()
        tap = FailAt(failing, applied=True)
        dying = writer_on(Tapped(index, tap), log)
        with suppress(AmbiguousWriteError):
            await dying.commit([mutation(0, "a", "tea one"), mutation(1, "b", "tea two")])
        await writer_on(index, log, name="next").commit([mutation(0, "a", "tea one"), mutation(1, "b", "tea two")])
        steps = await _read(index)
        assert [step.row.from_seq for step in steps] == [1, 2]
        assert {step.row.document.doc_id for step in steps} == {"a", "b"}


class Blinking:
    """A row that is missing while a run of the sweep closes it; each run is over before anybody looks again."""

    def __init__(self, index: MemoryIndex, calls: str) -> None:
        self._index = index
        self._calls = calls
        self.blinks = 0

    async def __call__(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Carry the call out; the first of its kind finds nothing."""
        if name == self._calls and not self.blinks:
            self.blinks += 1
            (head,) = await self._index.heads(TENANT)
            await self._index.put_head(replace(head, sweeps=head.sweeps + 2))
            return ()
        return await call()


@pytest.mark.parametrize("calls", ["rows_at", "document_history"])
async def test_history_that_was_being_swept_is_read_again(calls: str) -> None:
    index = await new_index()
    writer = writer_on(index, MemoryCommitLog())
    for offset in range(3):
        await writer.commit([mutation(offset, "a", f"tea {offset}")])
    blinking = Blinking(index, calls)
    steps = await _read(cast(VersionedIndex, Tapped(index, blinking)))
    assert blinking.blinks == 1
    assert [step.before and step.before.from_seq for step in steps] == [None, 1, 2]


async def test_what_was_published_just_now_is_read_without_a_look_at_the_sweep() -> None:
    index, clock, looks = await new_index(), ManualClock(), 0
    writer = writer_on(index, MemoryCommitLog())
    reader = Reader(index, clock)

    async def position(tenant: Tenant) -> Published:
        nonlocal looks
        looks += 1
        return await reader.position(tenant)

    trail = Trail(index, position, clock)
    await writer.commit([mutation(0, "a", "tea 0")])
    trail.note(await reader.position(TENANT))
    for offset, expected in ((1, 0), (2, 0), (3, 1)):
        await writer.commit([mutation(offset, "a", f"tea {offset}")])
        clock.advance(4 if offset < 3 else READ_SECONDS + 1)
        published = await reader.position(TENANT)
        (step,) = await trail.read(published, after=offset, at_most=published.seq)
        assert step.row.from_seq == offset + 1
        assert looks == expected
