"""Where runs are cut, and how little an edit moves the cuts."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.boundaries import Cut, parts, rank

MOST, LEAST = 200, 60


def cut(pieces: list[str], sizes: list[int] | None = None) -> list[list[str]]:
    lengths = sizes or [20] * len(pieces)

    def fits(begin: int, end: int) -> bool:
        return sum(lengths[begin:end]) <= MOST

    ranks = [rank(Cut.WITHIN, piece) for piece in pieces]
    return [pieces[begin:end] for begin, end in parts(lengths, ranks, LEAST, fits)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 300)), max_size=80))
def test_runs_cover_the_pieces_in_order_and_fit_unless_they_are_one_piece(pieces: list[tuple[str, int]]) -> None:
    names, sizes = [name for name, _ in pieces], [size for _, size in pieces]
    runs = cut(names, sizes)
    assert [piece for run in runs for piece in run] == names
    place = 0
    for run in runs:
        assert len(run) == 1 or sum(sizes[place : place + len(run)]) <= MOST
        place += len(run)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10_000), unique=True, min_size=30, max_size=300))
def test_no_run_is_small_where_pieces_are(numbers: list[int]) -> None:
    assert all(len(run) * 20 >= LEAST for run in cut([str(number) for number in numbers]))


def test_what_fits_is_not_cut() -> None:
    assert cut(["a"] * 10) == [["a"] * 10]
    assert cut([]) == []


def test_equal_pieces_are_cut_evenly() -> None:
    assert {len(run) for run in cut(["same"] * 64)} == {8}


def test_a_better_cut_is_taken_before_a_lesser_hash() -> None:
    ranks = [rank(Cut.BLOCK if number == 5 else Cut.WITHIN, str(number)) for number in range(12)]
    assert parts([20] * 12, ranks, LEAST, lambda begin, end: end - begin <= 10) == [(0, 5), (5, 12)]


def test_a_forced_cut_is_made_even_where_all_would_fit() -> None:
    ranks = [rank(Cut.FORCED if number == 1 else Cut.WITHIN, str(number)) for number in range(3)]
    assert parts([1, 1, 1], ranks, LEAST, lambda *_: True) == [(0, 1), (1, 3)]


def test_an_edit_in_a_long_run_changes_few_of_its_parts() -> None:
    dice = random.Random(7)
    pieces = [f"sentence {number}" for number in range(1000)]
    before = {tuple(run) for run in cut(pieces)}
    changed = 0
    for edit in range(200):
        after = list(pieces)
        after.insert(dice.randrange(1000), f"new {edit}")
        changed += len({tuple(run) for run in cut(after)} - before)
    assert changed <= 200 * 1.5


def test_the_rank_of_a_piece_does_not_depend_on_how_its_lines_are_broken() -> None:
    assert rank(Cut.BLOCK, "two  words") == rank(Cut.BLOCK, "two\nwords") < rank(Cut.WITHIN, "two words")
