"""Schedules are fixed by their seed, in order, and keep their pace."""

from itertools import pairwise

import pytest

from benchmarks.arrivals import jittered, poisson


def test_poisson_arrivals_are_ordered_within_the_time_and_about_as_many_as_stated() -> None:
    due = poisson(20, 100, seed=3)
    assert list(due) == sorted(due)
    assert due[0] > 0
    assert due[-1] < 100
    assert 1800 < len(due) < 2200


def test_jittered_arrivals_keep_their_gaps() -> None:
    due = jittered(200, 0.15, 0.3, seed=3)
    gaps = [later - earlier for earlier, later in pairwise((0.0, *due))]
    assert len(due) == 200
    assert min(gaps) >= 0.15 - 1e-9
    assert max(gaps) <= 0.3 + 1e-9


def test_the_seed_decides() -> None:
    assert poisson(20, 5, seed=1) == poisson(20, 5, seed=1) != poisson(20, 5, seed=2)
    assert jittered(9, 0, 1, seed=1) == jittered(9, 0, 1, seed=1) != jittered(9, 0, 1, seed=2)


def test_impossible_paces_are_refused() -> None:
    with pytest.raises(ValueError, match="rate"):
        poisson(0, 5, seed=1)
    with pytest.raises(ValueError, match="gap"):
        jittered(3, 0.5, 0.1, seed=1)
