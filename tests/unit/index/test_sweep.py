"""The sweep of one tenant: what it closes, removes and leaves alone, when; and a crash at any of its steps."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from index.manifest import ChunkId
from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import OPEN, ChunkRow, DocumentRow, Head, Place, Published, RowId, first_head
from index.moments import HistoryUnavailableError
from index.port import DeadRows
from index.reader import Reader
from index.rows import PositionedHide
from index.sweep import Marks, dead_chunks, dead_documents, last_content, slices
from index.sweeper import SweepPolicy
from index.undisturbed import STALE_SECONDS
from index.writer import SupersededError, TenantWriter
from runtime.clock import ManualClock
from schemas.errors import AmbiguousWriteError, TransientError
from schemas.identity import Document
from schemas.records import Coordinates, Hide
from schemas.topics import HIDES
from schemas.versions import Op
from tests.unit.index.fakes import (
    START,
    TENANT,
    CutOff,
    FailAt,
    State,
    Tapped,
    at,
    doc,
    mutation,
    new_index,
    question,
    states,
)

HOURS = timedelta(hours=24)
WAIT = 20.0
_AT_HAND = 0.06
_AGES = 30 * 3600.0
"""Longer than history is kept."""


@dataclass
class House:
    """An index and its tenant's writer, on a clock that tests move."""

    index: MemoryIndex
    keeps: timedelta = HOURS

    def __post_init__(self) -> None:
        self.log = MemoryCommitLog()
        self.clock = ManualClock()
        self.offset = 0
        self.writer = self.new_writer()

    def new_writer(self, index: Any = None, **changes: Any) -> TenantWriter:
        policy = SweepPolicy(history=lambda: self.keeps, **changes)
        return TenantWriter(index or self.index, self.log, TENANT, self.clock, name="w", sweep=policy)

    async def put(self, *items: tuple[str, tuple[str, ...]]) -> None:
        """Commit documents of these chunks together; none: a delete."""
        batch = []
        for name, texts in items:
            batch.append(mutation(self.offset, name, *texts, op=Op.UPSERT if texts else Op.DELETE))
            self.offset += 1
        await self.writer.commit(batch)

    async def sweep(self, seconds: float = WAIT) -> None:
        """Let time pass, and sweep until there is nothing to do."""
        self.clock.advance(seconds)
        await drain(self.writer, self.clock)

    async def head(self) -> Head:
        return (await Reader(self.index, self.clock).position(TENANT)).head

    async def states(self, seq: int) -> dict[Document, State]:
        return await states(self.index, Published(await self.head()), seq)

    def chunks(self) -> dict[str, int]:
        """Text -> to_seq of every chunk row there is."""
        return {row.text: row.to_seq for row in self.index._shards[TENANT].chunks.values()}

    def rows(self) -> tuple[dict[ChunkId, ChunkRow], dict[RowId, DocumentRow]]:
        shard = self.index._shards[TENANT]
        return dict(shard.chunks), dict(shard.documents)


async def drain(writer: TenantWriter, clock: ManualClock) -> None:
    """Sweep for as long as there is work at hand."""
    for _ in range(100):
        wait = (await writer.sweep()).next_in
        if wait > _AT_HAND:
            return
        clock.advance(wait)
    raise AssertionError("a sweep that never ends")


@pytest.fixture
async def house() -> House:
    return House(await new_index())


async def test_superseded_rows_are_closed_after_twice_the_longest_read_and_not_before(house: House) -> None:
    await house.put(("a", ("tea", "milk")))
    await house.put(("a", ("tea", "rye")))
    await house.sweep(WAIT - 0.1)
    assert house.chunks() == {"tea": OPEN, "milk": OPEN, "rye": OPEN}
    await house.sweep(0.1)
    assert house.chunks() == {"tea": OPEN, "milk": 2, "rye": OPEN}
    head = await house.head()
    assert (head.swept_seq, head.is_sweeping, head.history_from) == (2, False, 0)


async def test_superseded_document_rows_are_closed_and_stay(house: House) -> None:
    for text in ("tea", "milk", "rye"):
        await house.put(("a", (text,)))
    await house.sweep()
    rows = await house.index.document_history(doc("a"), limit=9)
    assert [(row.from_seq, row.to_seq) for row in rows] == [(3, OPEN), (2, 3), (1, 2)]
    await house.sweep(_AGES)
    assert [row.from_seq for row in await house.index.document_history(doc("a"), limit=9)] == [3, 2, 1]


async def test_every_kept_position_reads_the_same_before_and_after(house: House) -> None:
    await house.put(("a", ("tea", "milk")), ("b", ("corn",)))
    await house.put(("a", ("milk", "tea")))
    await house.put(("b", ()))
    await house.put(("a", ("tea",)), ("b", ("corn", "rye")))
    before = {seq: await house.states(seq) for seq in range(7)}
    await house.sweep()
    assert {seq: await house.states(seq) for seq in range(7)} == before
    reader = Reader(house.index, house.clock)
    for seq in (0, 2, 3, 4, 6):
        found = await reader.retrieve(question("tea", as_of=seq, history=True))
        texts = await reader.texts(TENANT, {hit.chunk_id for hit in (*found.vector, *found.lexical)})
        wanted = {text for state in before[seq].values() for text in state.texts}
        assert {row.text for row in texts.values()} == wanted


async def test_what_returns_returns_as_a_new_row_and_the_old_one_is_closed(house: House) -> None:
    for text in ("tea", "milk", "tea"):
        await house.put(("a", (text,)))
    before = await house.states(1)
    await house.sweep()
    rows, _ = house.rows()
    assert sorted((row.text, row.from_seq, row.to_seq) for row in rows.values()) == [
        ("milk", 2, 3),
        ("tea", 1, 2),
        ("tea", 3, OPEN),
    ]
    assert await house.states(1) == before


async def test_history_ends_and_only_later_its_rows_are_removed(house: House) -> None:
    await house.put(("a", ("tea",)))
    await house.put(("a", ("milk",)))
    await house.sweep()
    house.clock.advance(25 * 3600)
    await house.put(("a", ("rye",)))
    await house.writer.sweep()
    assert (await house.head()).history_from == 2
    with pytest.raises(HistoryUnavailableError):
        await Reader(house.index, house.clock).retrieve(question("tea", as_of=1))
    assert set(house.chunks()) == {"tea", "milk", "rye"}
    await house.sweep(70)
    assert house.chunks() == {"milk": 3, "rye": OPEN}
    assert (await house.states(2))[doc("a")].texts == ("milk",)


async def test_history_ends_at_a_published_head_never_inside_a_batch(house: House) -> None:
    await house.put(("a", ("tea",)), ("b", ("tea",)), ("c", ("tea",)))
    house.clock.advance(3600)
    await house.put(("a", ("milk",)), ("b", ("milk",)))
    house.clock.advance(HOURS.total_seconds() - 1800)
    await house.sweep()
    assert (await house.head()).history_from == 3


async def test_without_history_rows_are_removed_and_nothing_is_closed_for_long(house: House) -> None:
    house.keeps = timedelta(0)
    await house.put(("a", ("tea", "milk")), ("b", ("corn",)))
    await house.put(("a", ("tea",)), ("b", ()))
    await house.writer.sweep()
    assert (await house.head()).history_from == 4
    assert set(house.chunks()) == {"tea", "milk", "corn"}
    await house.sweep(WAIT + 1)
    assert house.chunks() == {"tea": OPEN}
    _, documents = house.rows()
    assert len(documents) == 4


async def test_a_tenant_may_give_up_its_history_and_begin_one_again(house: House) -> None:
    await house.put(("a", ("tea",)))
    await house.put(("a", ("milk",)))
    await house.sweep()
    house.keeps = timedelta(0)
    await house.put(("a", ("rye",)))
    await house.sweep(120)
    await house.sweep(120)
    assert house.chunks() == {"rye": OPEN}
    house.keeps = HOURS
    await house.put(("a", ("corn",)))
    await house.sweep(120)
    assert house.chunks() == {"rye": 4, "corn": OPEN}
    assert (await house.states(3))[doc("a")].texts == ("rye",)


async def test_a_take_over_counts_everything_published_before_from_itself(house: House) -> None:
    await house.put(("a", ("tea",)))
    await house.put(("a", ("milk",)))
    house.clock.advance(WAIT)
    house.writer = house.new_writer()
    await house.put(("b", ("corn",)))
    await house.sweep(WAIT - 1)
    assert house.chunks()["tea"] == OPEN
    await house.sweep(1)
    assert house.chunks()["tea"] == 2


async def test_a_writer_that_was_taken_over_sweeps_nothing_and_has_no_epoch_any_more(house: House) -> None:
    await house.put(("a", ("tea",)))
    await house.put(("a", ("milk",)))
    house.clock.advance(WAIT)
    await house.new_writer().take_over()
    before = house.rows()
    with pytest.raises(SupersededError):
        await house.writer.sweep()
    assert (await house.writer.sweep()).next_in > 0
    assert house.rows() == before


async def test_a_writer_without_an_epoch_does_not_take_over_to_sweep(house: House) -> None:
    assert (await house.writer.sweep()).next_in > 0
    assert house.log.records == []


@pytest.mark.parametrize("applied", [False, True])
async def test_what_dead_writers_left_is_removed_and_nothing_else(house: House, applied: bool) -> None:
    await house.put(("a", ("tea", "milk")))
    await house.put(("b", ("corn",)))
    lived = house.rows()
    for call in range(8, 14):
        writer = house.new_writer(Tapped(house.index, FailAt(call, applied)))
        for text in ("rye", "oats"):
            with suppress(TransientError):
                await writer.commit([mutation(90 + call, "a", text, "milk", "bran"), mutation(80 + call, "z", text)])
    published = Published(await house.head())
    chunks, documents = house.rows()
    valid = {id_: row for id_, row in documents.items() if published.is_valid(row)}
    listed = {entry.chunk_id for row in valid.values() for entry in row.manifest}
    assert set(lived[1]) <= set(valid)
    house.writer = house.new_writer()
    await house.writer.take_over()
    await house.put(("new", ("barley",)))
    await drain(house.writer, house.clock)
    chunks, documents = house.rows()
    assert set(documents) >= set(valid)
    assert len(documents) == len(valid) + 1
    assert {row.text for id_, row in chunks.items() if id_ not in listed} == {"barley"}
    assert listed <= set(chunks)


class HideAfter:
    """Hides that come in after the first chunk rows are inserted."""

    def __init__(self, *hides: PositionedHide) -> None:
        self._hides = hides

    def take(self) -> tuple[PositionedHide, ...]:
        hides, self._hides = self._hides, ()
        return hides

    def settled(self, outcomes: object) -> None:
        """Nobody asks."""


def _hide(offset: int, name: str) -> PositionedHide:
    one = mutation(offset, name, op=Op.DELETE).mutation
    hidden = Hide(
        tenant=one.tenant,
        source=one.source,
        doc_id=one.doc_id,
        version=one.version,
        deleted=True,
        change=one.change,
        origin=one.origin,
        event_id=one.event_id,
        received_at=START,
        prepared_at=START,
    )
    return PositionedHide(hidden, Coordinates(topic=HIDES, partition=0, offset=offset))


async def test_rows_of_a_batch_that_was_cut_off_between_hides_are_removed_too(house: House) -> None:
    """They begin below what their epoch published: hides were committed while they were inserted."""
    await house.put(("a", ("tea",)), ("b", ("corn",)))
    writer = house.new_writer(Tapped(house.index, CutOff("insert_documents", 2)))
    with pytest.raises(AmbiguousWriteError):
        await writer.commit([mutation(50, "a", "rye", "oats")], HideAfter(_hide(7, "b")))
    assert set(house.chunks()) == {"tea", "corn", "rye", "oats"}
    assert (await house.head()).seq == 3
    house.writer = house.new_writer()
    await house.put(("c", ("bran",)))
    await drain(house.writer, house.clock)
    assert set(house.chunks()) == {"tea", "corn", "bran"}
    assert len(house.rows()[1]) == 4


async def test_what_has_the_writers_own_epoch_is_never_taken_for_garbage(house: House) -> None:
    await house.put(("a", ("tea",)))
    epoch = (await house.head()).epoch
    rows, documents = house.rows()
    (row,), (document,) = rows.values(), documents.values()
    flying = replace(row, id=ChunkId("flying"), from_seq=2, epoch=epoch)
    await house.index.insert_chunks(TENANT, [flying])
    await house.index.insert_documents(TENANT, [replace(document, id=RowId("flying"), from_seq=2)])
    await house.sweep(700)
    assert ChunkId("flying") in house.rows()[0]
    assert RowId("flying") in house.rows()[1]


async def test_rows_that_land_late_are_found_by_a_later_look(house: House) -> None:
    await house.put(("a", ("tea",)))
    rows, _ = house.rows()
    (row,) = rows.values()
    house.writer = house.new_writer()
    await house.put(("b", ("corn",)))
    await house.sweep()
    await house.index.insert_chunks(TENANT, [replace(row, id=ChunkId("late"), from_seq=2)])
    await house.sweep(700)
    assert ChunkId("late") not in house.rows()[0]
    assert set(house.chunks()) == {"tea", "corn"}


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
    await whole.sweep(_AGES)
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
        await house.sweep(_AGES)
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


def _place(row: str, name: str, seq: int, *superseded: str, epoch: int = 1, topic: str = "m") -> Place:
    chunks = tuple(ChunkId(chunk) for chunk in superseded)
    mutated = Coordinates(topic=topic, partition=0, offset=seq)
    return Place(RowId(row), doc(name), epoch, seq, OPEN, chunks, mutated)


PUBLISHED = Published(Head(TENANT, epoch=5, seq=20, earlier={0: 0, 1: 9, 3: 12, 5: 12}, published_at=START))


def test_a_stretch_is_cut_into_slices_oldest_first() -> None:
    changed = [_place("r2", "a", 2, "c1", "c2"), _place("r3", "b", 3, "c3"), _place("dead", "a", 4, "c9", epoch=2)]
    still_open = [_place("r1", "a", 1), *changed]
    made = slices(PUBLISHED, changed, still_open, upto=6, history_from=0, size=3)
    assert [(part.chunks, part.documents, part.removed, part.swept_seq) for part in made] == [
        ({"c1": 2, "c2": 2}, {"r1": 2}, (), 2),
        ({"c3": 3}, {}, (), 6),
    ]


def test_a_row_over_many_slices_is_swept_when_its_last_is_done() -> None:
    changed = [_place("r2", "a", 2, *(f"c{number}" for number in range(5)))]
    made = slices(PUBLISHED, changed, changed, upto=2, history_from=0, size=2)
    assert [part.swept_seq for part in made] == [1, 1, 2]


def test_what_history_has_ended_for_is_removed_and_the_rest_closed() -> None:
    changed = [_place("r2", "a", 2, "c1"), _place("r3", "a", 3, "c2")]
    (part,) = slices(PUBLISHED, changed, changed, upto=3, history_from=2, size=9)
    assert (part.removed, part.chunks, part.documents) == (("c1",), {"c2": 3}, {"r2": 3})


def test_a_stretch_that_supersedes_nothing_is_one_empty_slice() -> None:
    (part,) = slices(PUBLISHED, [_place("r2", "a", 2)], [_place("r2", "a", 2)], upto=7, history_from=0, size=9)
    assert (part.swept_seq, part.closes, part.removed) == (7, False, ())


def test_dead_rows_are_those_no_settled_head_lists() -> None:
    assert dead_documents(PUBLISHED.head) == (
        DeadRows(0, 1, 0),
        DeadRows(1, 2, 9),
        DeadRows(2, 3, -1),
        DeadRows(3, 4, 12),
        DeadRows(4, 5, -1),
    )
    assert dead_documents(replace(first_head(TENANT, START), epoch=1, earlier={0: 0, 1: 0})) == (DeadRows(0, 1, 0),)


def test_dead_chunks_begin_behind_the_last_batch_that_ended() -> None:
    places = [_place("r7", "a", 7), _place("r8", "b", 8, topic=HIDES), _place("r9", "a", 9, topic=HIDES)]
    assert last_content(PUBLISHED, places) == 7
    assert last_content(PUBLISHED, places[1:]) is None
    assert dead_chunks(DeadRows(1, 2, 9), 7) == DeadRows(1, 2, 7)
    assert at(7).topic != HIDES


def test_marks_answer_late_rather_than_early() -> None:
    marks = Marks()
    for tenths in range(40):
        marks.note(tenths, tenths / 10)
    assert marks.reached(-1) == 0
    for tenths in range(40):
        assert marks.reached(tenths / 10) <= tenths
    assert marks.reached(4.0) == 39
    assert marks.next() is None
