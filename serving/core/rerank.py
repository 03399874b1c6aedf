"""The order in which passages are read for an answer: fusing decides who is looked at, this who comes first. Pure."""

from collections.abc import Sequence

from serving.core.passages import Passage
from serving.core.threshold import relevance


def rerank(passages: Sequence[Passage]) -> tuple[int, ...]:
    """Indexes of the passages, best first; ties stay in fused order."""
    fit = [relevance(passage) for passage in passages]
    return tuple(sorted(range(len(passages)), key=lambda place: (-fit[place], place)))
