"""The sweep of one tenant: what it closes and removes, and when; whose writer may."""

from datetime import timedelta

import pytest

from index.model import OPEN
from index.moments import HistoryUnavailableError
from index.reader import Reader
from index.writer import SupersededError
from tests.unit.index.fakes import (
    TENANT,
    doc,
    question,
)
from tests.unit.index.house import AGES, HOURS, WAIT, House


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
    await house.sweep(AGES)
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
