"""The trail forwards: each committed row with the state before it and the newest one."""

from contextlib import suppress

from index.memory_log import MemoryCommitLog
from index.reader import Reader
from index.trail import Trail, TrailStep
from runtime.clock import ManualClock
from schemas.errors import AmbiguousWriteError
from schemas.versions import Op
from tests.unit.index.fakes import TENANT, FailAt, Tapped, mutation, new_index, writer_on


async def _read(index: object, after: int = 0) -> tuple[TrailStep, ...]:
    published = await Reader(index, ManualClock()).position(TENANT)  # type: ignore[arg-type]
    return await Trail(index).read(published, after=after, at_most=published.seq)  # type: ignore[arg-type]


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
