"""When requests are due: seconds from the start, fixed before the first is sent, so that no answer delays the next."""

import random
from itertools import accumulate


def poisson(rate: float, seconds: float, seed: int) -> tuple[float, ...]:
    """Arrivals of independent askers, `rate` a second on average, all before `seconds`. ValueError for rate 0."""
    if rate <= 0:
        raise ValueError("a rate is above 0")
    chance = random.Random(seed)
    due: list[float] = []
    at = chance.expovariate(rate)
    while at < seconds:
        due.append(at)
        at += chance.expovariate(rate)
    return tuple(due)


def jittered(count: int, shortest: float, longest: float, seed: int) -> tuple[float, ...]:
    """`count` arrivals whose gaps are uniform from `shortest` to `longest` seconds; the first comes after one gap.

    The jitter keeps them out of step with whatever polls at a fixed pace. Raises ValueError for gaps out of order.
    """
    if not 0 <= shortest <= longest:
        raise ValueError("the shortest gap is from 0 to the longest")
    chance = random.Random(seed)
    return tuple(accumulate(chance.uniform(shortest, longest) for _ in range(count)))
