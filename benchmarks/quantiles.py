"""Percentiles of a sample: pure, and stated once so that every figure means the same."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

PLACES = 3
"""Decimals kept of a figure in milliseconds."""


class Quantiles(BaseModel):
    """What is published of a sample; the unit is that of the sample."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    p50: float
    p95: float
    p99: float


def percentile(values: Sequence[float], percent: float) -> float:
    """The `percent`-th percentile of ascending `values`, linear between the two nearest ranks.

    Hyndman and Fan (1996), type 7: what numpy and spreadsheets mean by it. Raises ValueError without values or outside
    0 to 100.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError("a percentile needs at least one value and a percent from 0 to 100")
    place = (len(values) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def quantiles(values: Iterable[float]) -> Quantiles:
    """Summarise a sample in any order. Raises ValueError for an empty one."""
    ordered = sorted(values)
    p50, p95, p99 = (round(percentile(ordered, percent), PLACES) for percent in (50, 95, 99))
    return Quantiles(n=len(ordered), p50=p50, p95=p95, p99=p99)


def by_name(samples: Iterable[Mapping[str, float]]) -> dict[str, Quantiles]:
    """Summarise each name over the samples that have it, in the order in which names are first met."""
    values: dict[str, list[float]] = {}
    for sample in samples:
        for name, value in sample.items():
            values.setdefault(name, []).append(value)
    return {name: quantiles(found) for name, found in values.items()}
