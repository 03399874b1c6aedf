"""What the sweep decides, purely: slices, dead rows, marks."""

from dataclasses import replace

from index.manifest import ChunkId
from index.model import OPEN, Head, Place, Published, RowId, first_head
from index.port import DeadRows
from index.sweep import Marks, dead_chunks, dead_documents, last_content, slices
from schemas.records import Coordinates
from schemas.topics import HIDES
from tests.unit.index.fakes import (
    START,
    TENANT,
    at,
    doc,
)


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
