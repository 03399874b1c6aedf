"""The sweep and what dead writers left: removed, and nothing else with it."""

from contextlib import suppress
from dataclasses import replace

import pytest

from index.manifest import ChunkId
from index.model import Published, RowId
from index.rows import PositionedHide
from schemas.errors import AmbiguousWriteError, TransientError
from schemas.records import Coordinates, Hide
from schemas.topics import HIDES
from schemas.versions import Op
from tests.unit.index.fakes import (
    START,
    TENANT,
    CutOff,
    FailAt,
    Tapped,
    mutation,
)
from tests.unit.index.house import House, drain


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
