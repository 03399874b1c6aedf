"""What a percentile means here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.quantiles import by_name, percentile, quantiles


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([7.0], 99, 7.0),
        ([1.0, 2.0], 50, 1.5),
        ([1.0, 2.0, 3.0], 0, 1.0),
        ([1.0, 2.0, 3.0], 100, 3.0),
        ([0.0, 10.0, 20.0, 30.0, 40.0], 95, 38.0),
    ],
)
def test_a_percentile_lies_between_its_two_nearest_ranks(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0, 100))
def test_it_is_what_numpy_calls_a_percentile(values: list[float], percent: float) -> None:
    assert percentile(sorted(values), percent) == pytest.approx(float(np.percentile(values, percent)), abs=1e-3)


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], -1), ([1.0], 101)])
def test_no_values_and_impossible_percents_are_refused(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_a_summary_takes_values_in_any_order() -> None:
    found = quantiles([3.0, 1.0, 2.0])
    assert (found.n, found.p50) == (3, 2.0)
    assert found.p50 <= found.p95 <= found.p99


def test_names_are_summarised_over_the_samples_that_have_them() -> None:
    found = by_name([{"embed": 1.0, "total": 4.0}, {"total": 6.0}])
    assert list(found) == ["embed", "total"]
    assert (found["embed"].n, found["total"].n, found["total"].p50) == (1, 2, 5.0)
