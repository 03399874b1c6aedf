"""Where a run of pieces is cut into chunks so that an edit moves no cut but those near it. Pure.

What does not fit is cut at its least rank, and each part again. A rank says how good a cut is and, among equals, is a
hash of the piece behind the cut: the same pieces are cut at the same places wherever they stand. So pieces that are
added, changed or removed only matter to the part they lie in. The cuts form a treap over the pieces (Aragon and Seidel
1989), its priorities being the ranks.
"""

import hashlib
from collections.abc import Callable, Sequence
from enum import IntEnum

import numpy as np

_HASH_BITS = 56


class Cut(IntEnum):
    """How good a cut is, the best first."""

    FORCED = 0
    """There must be one: the parts do not belong into one chunk."""
    BLOCK = 1
    """Between paragraphs, lists, tables."""
    WITHIN = 2
    """Between sentences, items, rows or lines."""
    ANNOUNCED = 3
    """Behind a line that announces what follows."""


def rank(cut: Cut, piece: str) -> int:
    """The rank of a cut before a piece, below 2^60."""
    digest = hashlib.blake2b(" ".join(piece.split()).encode("utf-8", "replace"), digest_size=_HASH_BITS // 8).digest()
    return cut << _HASH_BITS | int.from_bytes(digest)


def parts(
    sizes: Sequence[int], ranks: Sequence[int], least: int, fits: Callable[[int, int], bool]
) -> list[tuple[int, int]]:
    """Cut pieces into runs [begin, end) that fit, in order; a single piece is left as it is.

    `sizes` and `ranks` have one entry a piece, `ranks` of the cut before it. No run is smaller than `least` where
    there is a choice.
    """
    places = np.concatenate(([0], np.cumsum(np.asarray(sizes, dtype=np.int64))))
    order = np.asarray(ranks, dtype=np.int64)
    runs: list[tuple[int, int]] = []
    waiting = [(0, len(sizes))] if len(sizes) else []
    some = any(one >> _HASH_BITS == Cut.FORCED for one in ranks[1:])
    while waiting:
        begin, end = waiting.pop()
        forced = some and end - begin > 1 and bool(order[begin + 1 : end].min() >> _HASH_BITS == Cut.FORCED)
        if end - begin == 1 or (not forced and fits(begin, end)):
            runs.append((begin, end))
        else:
            place = _place(places, order, begin, end, 0 if forced else least)
            waiting += [(place, end), (begin, place)]
    return runs


def _place(
    places: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    order: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    begin: int,
    end: int,
    least: int,
) -> int:
    """The cut of least rank that leaves both sides at least so large; the most even one where none does."""
    first = max(begin + 1, int(np.searchsorted(places, places[begin] + least, side="left")))
    last = min(end - 1, int(np.searchsorted(places, places[end] - least, side="right")) - 1)
    middle = (places[begin] + places[end]) / 2
    if first > last:
        candidates = np.arange(begin + 1, end)
    else:
        ranks = order[first : last + 1]
        candidates = first + np.flatnonzero(ranks == ranks.min())
    return int(candidates[np.abs(places[candidates] - middle).argmin()])
