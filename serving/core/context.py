"""Which passages an answer may be made of: no near-duplicates, no replaced editions, few. Pure."""

from collections.abc import Sequence

from serving.core.editions import in_force
from serving.core.passages import Passage
from serving.core.words import ordered_terms

_NEAR_DUPLICATE = 0.85
_SHINGLE = 3


def choose(question: str, passages: Sequence[Passage], most: int) -> tuple[Passage, ...]:
    """At most `most` passages, in the order given (best first)."""
    return distinct(in_force(question, passages))[:most]


def distinct(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The passages without those whose text nearly repeats an earlier one's (Jaccard of three-word shingles)."""
    kept: list[Passage] = []
    seen: list[frozenset[tuple[str, ...]]] = []
    for passage in passages:
        shingles = _shingles(passage.text)
        if all(_jaccard(shingles, other) < _NEAR_DUPLICATE for other in seen):
            kept.append(passage)
            seen.append(shingles)
    return tuple(kept)


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    stems = ordered_terms(text)
    return frozenset(zip(*(stems[start:] for start in range(_SHINGLE)), strict=False)) or frozenset({tuple(stems)})


def _jaccard(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other)
