"""Whether there is a good source: by raw cosine and by the question's own words, never by a fused or normalised score.

The figures were measured on evaluation/golden/first_light.yaml over examples/ with the default model
(`python -m evaluation`). A change of model means measuring again.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from serving.core.words import terms


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A passage is a source if its cosine is `strong`, or `weak` with `support` of the question's words in it."""

    strong: float = 0.60
    weak: float = 0.35
    support: float = 0.50

    def accepts(self, cosine: float, support: float) -> bool:
        """Whether a passage with these two is a source."""
        return cosine >= self.strong or (cosine >= self.weak and support >= self.support)


def support(question: frozenset[str], texts: Iterable[str]) -> float:
    """Share of the question's content words (stems) that stand in the texts; 0 for a question without any."""
    if not question:
        return 0.0
    found: frozenset[str] = frozenset().union(*(terms(text) for text in texts))
    return len(question & found) / len(question)
