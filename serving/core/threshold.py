"""Whether there is a good source: by raw cosine and by the question's own words, never by a fused or normalised score.

Measured on evaluation/golden/first_light.yaml over examples/ with the default model: neither feature parts answerable
from unanswerable questions alone, their sum does (`millstream eval`). A change of model means measuring again.
"""

import re
from calendar import month_name
from collections.abc import Iterable
from dataclasses import dataclass

from serving.core.passages import Passage
from serving.core.words import terms, words

SUPPORT_VALUE = 0.5
"""What full support of the question's words is worth beside a cosine."""

_DESIGNATION = re.compile(
    r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])\w[\w-]*"  # E23, P-0600
    r"|(?<!^)(?<![.?!] )\b[A-Z][a-z]+ (\d+(?:\.\d+)*)\b"  # Polar 16, Lumen 4.7
    r"|\b\d+-\d+\b"  # 2026-017
)
_MONTHS = frozenset(name.casefold() for name in month_name if name)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least relevance and least cosine of a source."""

    relevance: float = 0.685
    cosine: float = 0.25

    def accepts(self, passage: Passage) -> bool:
        """Whether a passage is a source."""
        return passage.is_about and passage.cosine >= self.cosine and relevance(passage) >= self.relevance


def relevance(passage: Passage) -> float:
    """One number for how well a passage fits: raw cosine plus its share of the question's words."""
    return passage.cosine + SUPPORT_VALUE * passage.support


def support(question: frozenset[str], texts: Iterable[str]) -> float:
    """Share of the question's content words (stems) that stand in the texts; 0 for a question without any."""
    if not question:
        return 0.0
    found: frozenset[str] = frozenset().union(*(terms(text) for text in texts))
    return len(question & found) / len(question)


def designations(question: str) -> frozenset[str]:
    """Codes, model and case numbers in a question, as words: a source that lacks one is about something else."""
    found: set[str] = set()
    for match in _DESIGNATION.finditer(question):
        if match.group(1) and match.group(0).split()[0].casefold() in _MONTHS:
            continue
        found.update(word for word in words(match.group(0)) if any(char.isdigit() for char in word))
    return frozenset(found)
