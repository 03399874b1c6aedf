"""The ordered-ack window without I/O: whatever finishes when, acks have no hole and documents keep their order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.order import PartitionOrder, Released

RECORDS = st.lists(st.tuples(st.integers(1, 3), st.sampled_from([b"a", b"b", b"c", None])), min_size=1, max_size=30)
"""Gaps between offsets (compaction leaves holes) and the document of each record; None is a barrier."""


def _offsets(records: list[tuple[int, bytes | None]]) -> list[tuple[int, bytes | None]]:
    offset, placed = -1, []
    for gap, document in records:
        offset += gap
        placed.append((offset, document))
    return placed


@given(RECORDS, st.data())
def test_any_order_of_completion_acknowledges_without_holes_and_keeps_each_documents_order(
    records: list[tuple[int, bytes | None]], data: st.DataObject
) -> None:
    order = PartitionOrder()
    left = _offsets(records)
    documents = dict(left)
    running: list[int] = []
    finished: set[int] = set()
    acked: list[int] = []
    started: dict[bytes | None, list[int]] = {}

    def start(offset: int) -> None:
        assert not any(documents[other] == documents[offset] for other in running)
        barriers = [other for other in documents if documents[other] is None]
        assert all(before in finished for before in documents if before < offset and offset in barriers)
        assert all(barrier in finished for barrier in barriers if barrier < offset)
        running.append(offset)
        started.setdefault(documents[offset], []).append(offset)

    while left or running:
        if left and (not running or data.draw(st.booleans())):
            offset, document = left.pop(0)
            if order.admit(offset, document):
                start(offset)
            continue
        offset = data.draw(st.sampled_from(running))
        running.remove(offset)
        finished.add(offset)
        released = order.finish(offset)
        acked += released.acks
        assert set(released.acks) <= finished
        assert acked == sorted(documents)[: len(acked)]
        for offset in released.starts:
            start(offset)

    assert acked == sorted(documents)
    assert len(order) == 0
    assert all(offsets == sorted(offsets) for offsets in started.values())


def test_nothing_is_acknowledged_past_a_record_under_way() -> None:
    order = PartitionOrder()
    order.admit(5, b"a")
    order.admit(6, b"b")
    order.admit(9, b"c")
    assert order.finish(6).acks == ()
    assert order.finish(9).acks == ()
    assert order.finish(5).acks == (5, 6, 9)


def test_a_second_record_of_a_document_waits_for_the_first() -> None:
    order = PartitionOrder()
    assert order.admit(1, b"a")
    assert not order.admit(2, b"a")
    assert order.finish(1).starts == (2,)


def test_an_offset_is_admitted_once() -> None:
    order = PartitionOrder()
    order.admit(3, b"a")
    assert order.knows(3)
    with pytest.raises(ValueError):
        order.admit(3, b"a")


def test_a_record_that_has_not_started_cannot_finish() -> None:
    order = PartitionOrder()
    order.admit(1, b"a")
    order.admit(2, b"a")
    with pytest.raises(KeyError):
        order.finish(2)


def test_a_barrier_waits_for_what_lies_before_it_and_holds_back_what_lies_behind_it() -> None:
    order = PartitionOrder()
    assert order.admit(1, b"a")
    assert order.admit(2, b"b")
    assert not order.admit(3, None)
    assert not order.admit(4, b"c")
    assert not order.admit(5, b"c")
    assert not order.admit(6, b"d")
    assert order.finish(2).starts == ()
    assert order.finish(1) == Released((1, 2), (3,))
    with pytest.raises(KeyError):
        order.finish(4)
    assert order.finish(3) == Released((3,), (4, 6))
    assert order.finish(4).starts == (5,)


def test_barriers_follow_each_other() -> None:
    order = PartitionOrder()
    assert order.admit(1, None)
    assert not order.admit(2, None)
    assert order.finish(1).starts == (2,)
    assert order.finish(2) == Released((2,), ())
    assert order.admit(3, b"a")
