"""One ranking out of several: reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009), k = 60."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

K = 60

Item = TypeVar("Item", bound=Hashable)


def fuse(*legs: Sequence[Item], k: int = K) -> tuple[Item, ...]:
    """All items of the legs, best first: the sum over legs of 1 / (k + rank), rank from 1.

    Ties go to the better best rank, then to the earlier leg, so equal legs give equal answers. An item repeated within
    a leg counts once, at its first place.
    """
    scores: dict[Item, float] = {}
    places: dict[Item, tuple[int, int]] = {}
    for number, leg in enumerate(legs):
        for rank, item in enumerate(dict.fromkeys(leg), start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (k + rank)
            places[item] = min(places.get(item, (rank, number)), (rank, number))
    return tuple(sorted(scores, key=lambda item: (-scores[item], places[item])))
