"""Which of several editions of one text is meant: the newest, unless the question names another or asks for several.

Two passages of different documents are editions of each other when their headings, numbers aside, are about the same,
or their texts are; or, less surely, when only the numbers of their titles differ. A message and its attachments replace
none of each other; each is replaced alone. Pure.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from serving.core.passages import Passage
from serving.core.threshold import relevance
from serving.core.words import is_value, terms

_COMPARING = re.compile(
    r"\b(?:previous(?:ly)?|former(?:ly)?|used to|earlier|older?|in the past|history|historical(?:ly)?"
    r"|chang(?:e|ed|es|ing)|differ(?:s|ed|ence|ences|ent)?|compar(?:e|ed|es|ison)|versus|vs|since when|both"
    r"|every (?:edition|revision|version)|increas\w*|decreas\w*|rais(?:e|ed)|used before|until (?:now|then)|so far)\b",
    re.IGNORECASE,
)
_SAME_HEADING = 0.6
_SAME_TEXT = 0.5
_SAME_SECTION_MARGIN = 0.30
_SAME_SERIES_MARGIN = 0.10
_SAME_DAY = timedelta(days=1)
_SAME_STATEMENT = 0.6
_LEAST_WORDS = 2
"""A sentence with fewer words beside its values says too little to be recognised in another."""


def asks_to_compare(question: str) -> bool:
    """Whether the question is about change over time, so that old and new both belong into the answer."""
    return _COMPARING.search(question) is not None


@dataclass(frozen=True, slots=True)
class _Edition:
    passage: Passage
    title: frozenset[str]
    heading: frozenset[str]
    """Stems of title and headings, numbers included."""
    text: frozenset[str]
    bare_title: frozenset[str]
    bare_heading: frozenset[str]
    """The same without numbers: compared for every pair."""


def in_force(question: str, passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The passages in their order, without those of an edition that another passage's edition replaces."""
    if asks_to_compare(question):
        return tuple(passages)
    editions = [_edition(passage) for passage in passages]
    asked = terms(question)
    replaced = {
        older.passage.whole
        for older in editions
        for newer in editions
        if older.passage.document != newer.passage.document
        and relevance(newer.passage) >= relevance(older.passage) - _margin(older, newer)
        and _replaces(newer, older, asked)
    }
    return tuple(passage for passage in passages if passage.whole not in replaced)


def _edition(passage: Passage) -> _Edition:
    title, heading = terms(passage.title), terms(passage.heading)
    return _Edition(passage, title, heading, terms(passage.text), _without_numbers(title), _without_numbers(heading))


def _margin(one: _Edition, other: _Edition) -> float:
    """How much less relevant the newer may be: more where they are the same section, nothing at all for strangers."""
    titles = _overlap(one.bare_title, other.bare_title)
    headings = _overlap(one.bare_heading, other.bare_heading)
    if min(titles, headings) >= _SAME_HEADING or _overlap(one.text, other.text) >= _SAME_TEXT:
        return _SAME_SECTION_MARGIN
    return _SAME_SERIES_MARGIN if titles == 1.0 and one.title != other.title else -math.inf


def _without_numbers(stems: frozenset[str]) -> frozenset[str]:
    return frozenset(stem for stem in stems if not stem[0].isdigit())


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0


def _replaces(newer: _Edition, older: _Edition, asked: frozenset[str]) -> bool:
    """A word asked for that only one edition's title or heading has decides; then the event's time; then the number."""
    for one, other in ((newer.title, older.title), (newer.heading, older.heading)):
        named, unnamed = len(asked & one - other), len(asked & other - one)
        if named != unnamed:
            return named > unnamed
    times = newer.passage.event_time, older.passage.event_time
    if times[0] is not None and times[1] is not None and abs(times[0] - times[1]) >= _SAME_DAY:
        return times[0] > times[1]
    return _greatest(newer.heading) > _greatest(older.heading)


def says_anew(newer: frozenset[str], older: frozenset[str], asked: frozenset[str]) -> bool:
    """Whether one sentence (its stems) revises the other: about the same words, other values. A value that the question
    names and only the older one has decides for the older.
    """
    about_newer = frozenset(term for term in newer if not is_value(term))
    about_older = frozenset(term for term in older if not is_value(term))
    if len(about_older) < _LEAST_WORDS or _overlap(about_newer, about_older) < _SAME_STATEMENT:
        return False
    values_newer, values_older = newer - about_newer, older - about_older
    return bool(values_newer) and values_newer != values_older and not asked & (values_older - values_newer)


def is_newer(one: Passage, other: Passage) -> bool:
    """Whether a passage's event is at least a day after the other's."""
    return (
        one.event_time is not None and other.event_time is not None and one.event_time - other.event_time >= _SAME_DAY
    )


def _greatest(stems: frozenset[str]) -> float:
    return max((float(stem) for stem in stems if stem.isdigit()), default=0.0)
