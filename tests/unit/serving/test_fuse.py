"""Reciprocal rank fusion."""

from hypothesis import given
from hypothesis import strategies as st

from serving.core.fuse import fuse

legs = st.lists(st.lists(st.integers(0, 20), unique=True), max_size=3)


def test_what_both_legs_find_comes_before_what_one_finds() -> None:
    assert fuse(["a", "b", "c"], ["b", "d"]) == ("b", "a", "d", "c")


def test_ties_go_to_the_better_rank_then_to_the_earlier_leg() -> None:
    assert fuse(["a"], ["b"]) == ("a", "b")
    assert fuse(["a", "b"], ["b", "a"]) == ("a", "b")


def test_a_repeated_item_counts_once() -> None:
    assert fuse(["a", "a", "b"]) == ("a", "b")


def test_no_legs_or_empty_ones_are_nothing() -> None:
    assert fuse() == fuse([], []) == ()


@given(legs)
def test_every_item_is_kept_once_and_the_order_is_the_same_each_time(some: list[list[int]]) -> None:
    fused = fuse(*some)
    assert sorted(fused) == sorted({item for leg in some for item in leg})
    assert fused == fuse(*some)


@given(st.lists(st.integers(), unique=True))
def test_one_leg_keeps_its_order(leg: list[int]) -> None:
    assert fuse(leg) == tuple(leg)
