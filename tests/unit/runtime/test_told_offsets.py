"""Which offsets are believed: none of a batch that the client counts on from -1, and every other."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from runtime.told_offsets import ToldOffsets


def believed(*told: int | None) -> list[int | None]:
    offsets = ToldOffsets()
    return [offsets.true_offset("t", 0, offset) for offset in told]


def test_what_is_told_is_believed() -> None:
    assert believed(0, 1, 2, 7, 8) == [0, 1, 2, 7, 8]


def test_a_batch_that_is_counted_on_from_nowhere_is_not() -> None:
    assert believed(5, None, 0, 1, 2, 9) == [5, None, None, None, None, 9]
    assert believed(5, -1, 0, 1, 2, 9) == [5, None, None, None, None, 9]


def test_batches_that_follow_each_other_are_told_apart() -> None:
    assert believed(-1, 0, 1, -1, 0, 5, 6, -1, 7) == [None, None, None, None, None, 5, 6, None, 7]


def test_partitions_and_topics_are_counted_each_for_itself() -> None:
    offsets = ToldOffsets()
    assert offsets.true_offset("t", 0, None) is None
    assert offsets.true_offset("t", 1, 0) == 0
    assert offsets.true_offset("u", 0, 0) == 0
    assert offsets.true_offset("t", 0, 0) is None


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=12), st.integers(0, 3))
def test_of_any_batches_just_the_lost_ones_are_doubted(batches: list[tuple[int, bool]], begin: int) -> None:
    lying, told = list[int | None](), list[int]()
    for size, lost in batches:
        first = begin + len(lying)
        lying += [None if lost else first + number for number in range(size)]
        told += range(-1, size - 1) if lost else range(first, first + size)
    assert believed(*chain(told)) == lying
