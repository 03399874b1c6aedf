"""An answer quoted from its sources: the one to four sentences, list items or table rows that answer best. Pure, cheap.

A unit's score is the share of the question's words it holds, each weighted by its rarity among the candidates, words
that stand in title or heading alone at part value; plus how good its chunk is; plus whether it holds the kind of thing
asked for. One document speaks first; another joins only with something as good. Constants: measured on the golden set.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from schemas.identity import Document
from serving.core.cues import Wanted, holds, wanted
from serving.core.editions import is_newer, says_anew
from serving.core.passages import Passage
from serving.core.sentences import Kind, Unit, units
from serving.core.threshold import designations
from serving.core.words import terms

MOST_SENTENCES = 4

_TITLE_VALUE = 0.90
_HEADING_VALUE = 0.95
_COLUMN_VALUE = 0.80
"""What a question word counts that stands only in the title, in a heading, in a list's lead or a table's header."""
_DESIGNATION_WEIGHT = 2.0
_KEY_VALUE = 0.35
"""A row whose first cell the question names."""
_CLOSENESS_VALUE = 0.45
_RANK_VALUE = 0.10
_CUE_VALUE = 0.20
_JOIN = 0.80
"""A further unit needs this share of the best one's score; more in another document, less where it adds much."""
_JOIN_ELSEWHERE = 0.90
_JOIN_ADDING = 0.60
_MANY_NEW_WORDS = 0.30
_NEW_WORDS = 0.15
_MOST_HELD_BY_AN_ITEM = 0.5
"""Of the question's words; an item that holds more is the answer itself, and not its whole list."""
_SAME = 0.75
_REVISION = 0.75
"""A revision answers nearly as well as what it revises: at least this share of its score."""
_MOST_CHARACTERS = 600
_TOLD_OUT = 3
_SHORT = 45
"""A sentence shorter than this says little without the next one."""
_POINTS_BACK = re.compile(
    r"^(?:It|This|That|These|Those|They|He|She|Its|Their|Both|Otherwise|In that case|There|Then)\b"
)
_TELLING = frozenset({Wanted.REASON, Wanted.STEPS, Wanted.ANYTHING})
"""Kinds of question that a single fact does not answer: the paragraph goes on."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One sentence of an answer: what it says, the words it quotes, and the index of its passage."""

    passage: int
    text: str
    quote: str
    is_listed: bool = False
    """Whether it was a list item or a table row."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: int
    order: int
    unit: Unit
    own: frozenset[str]
    around: frozenset[str]
    """Words of title, headings, lead and column names."""
    score: float


def extract(
    question: str, passages: Sequence[Passage], *, most: int = MOST_SENTENCES, comparing: bool = False
) -> tuple[Pick, ...]:
    """At most `most` picks: the best one's document first, within a document as it is written. Empty: no answer.

    `comparing`: what other documents say of the same is added, not left out, and the older speaks first.
    """
    kind = wanted(question)
    asked = terms(question)
    found = [
        (number, order, unit)
        for number, passage in enumerate(passages)
        for order, unit in enumerate(units(passage.text))
    ]
    if not found:
        return ()
    weights = _weights(asked, designations(question), [unit for _, _, unit in found])
    candidates = [_candidate(number, order, unit, passages[number], weights, kind) for number, order, unit in found]
    if comparing:
        chosen = _side_by_side(candidates, passages, most)
    else:
        chosen = _told_out(_choose(candidates, passages, weights, kind, most), candidates, kind, most)
    return tuple(
        Pick(one.passage, one.unit.text, one.unit.quote, one.unit.kind is not Kind.SENTENCE)
        for one in _in_reading_order(chosen, passages, comparing=comparing)
    )


def _weights(asked: frozenset[str], named: frozenset[str], found: Sequence[Unit]) -> dict[str, float]:
    """Weight of each question word, rare ones and codes more; the weights add up to 1."""
    counts = Counter(term for unit in found for term in asked & terms(unit.quote))
    total = len(found)
    raw = {
        term: math.log(1.0 + total / (1.0 + counts[term])) * (_DESIGNATION_WEIGHT if term in named else 1.0)
        for term in asked
    }
    whole = sum(raw.values()) or 1.0
    return {term: weight / whole for term, weight in raw.items()}


def _candidate(
    number: int, order: int, unit: Unit, passage: Passage, weights: dict[str, float], kind: Wanted
) -> _Candidate:
    own, lead = terms(unit.quote), terms(unit.lead)
    title, heading = terms(passage.title), terms(" ".join(passage.heading_path))
    overlap = sum(weight * _value(term, own, heading, title, lead) for term, weight in weights.items())
    cue = _CUE_VALUE if holds(kind, unit.quote) else 0.0
    if unit.kind is Kind.ROW and _is_named(unit, weights.keys()):
        cue += _KEY_VALUE
    score = overlap + cue + _CLOSENESS_VALUE * max(0.0, passage.cosine) + _RANK_VALUE / (1 + number)
    return _Candidate(number, order, unit, own, title | heading | lead, score)


def _is_named(row: Unit, asked: Set[str]) -> bool:
    key = terms(row.quote.split(" | ")[0])
    return bool(key) and key <= asked


def _value(
    term: str, own: frozenset[str], heading: frozenset[str], title: frozenset[str], lead: frozenset[str]
) -> float:
    if term in own:
        return 1.0
    if term in heading:
        return _HEADING_VALUE
    if term in title:
        return _TITLE_VALUE
    return _COLUMN_VALUE if term in lead else 0.0


def _choose(
    candidates: Sequence[_Candidate], passages: Sequence[Passage], weights: dict[str, float], kind: Wanted, most: int
) -> list[_Candidate]:
    """The best unit, then those nearly as good that add words of the question, or go on with the best one's list."""
    ranked = sorted(candidates, key=lambda one: (-one.score, one.passage, one.order))
    ranked = _revised(ranked, passages, frozenset(weights))
    first = ranked[0]
    chosen = [first]
    covered = first.own | first.around
    length = len(first.unit.text)
    held = sum(weight for term, weight in weights.items() if term in first.own)
    is_about_list = kind in _TELLING and held <= _MOST_HELD_BY_AN_ITEM
    for one in ranked[1:]:
        elsewhere = passages[one.passage].document != passages[first.passage].document
        if len(chosen) == most:
            break
        new = sum(weight for term, weight in weights.items() if term in one.own and term not in covered)
        needed = _JOIN_ELSEWHERE if elsewhere else _JOIN_ADDING if new >= _MANY_NEW_WORDS else _JOIN
        if one.score < needed * first.score:
            continue
        if length + len(one.unit.text) > _MOST_CHARACTERS or any(_same(one.own, other.own) for other in chosen):
            continue
        if new < _NEW_WORDS and not (is_about_list and _is_run(one, first)):
            continue
        chosen.append(one)
        covered |= one.own
        length += len(one.unit.text)
    return chosen


def _revised(ranked: Sequence[_Candidate], passages: Sequence[Passage], asked: frozenset[str]) -> list[_Candidate]:
    """The units in order of score, where a unit that a newer document says anew gives its place to the newer one."""
    close = [one for one in ranked if one.score >= _REVISION * _REVISION * ranked[0].score]
    places: dict[tuple[int, int], float] = {}
    gone: set[tuple[int, int]] = set()
    for older in close:
        newer = next((one for one in close if _revises(one, older, passages, asked)), None)
        if newer is not None:
            gone.add((older.passage, older.order))
            place = newer.passage, newer.order
            places[place] = max(places.get(place, newer.score), older.score)
    kept = [one for one in ranked if (one.passage, one.order) not in gone]
    moved = [replace(one, score=places.get((one.passage, one.order), one.score)) for one in kept]
    return sorted(moved, key=lambda one: (-one.score, one.passage, one.order))


def _revises(newer: _Candidate, older: _Candidate, passages: Sequence[Passage], asked: frozenset[str]) -> bool:
    one, other = passages[newer.passage], passages[older.passage]
    return (
        newer.score >= _REVISION * older.score
        and one.document != other.document
        and is_newer(one, other)
        and says_anew(newer.own, older.own, asked)
    )


def _is_run(one: _Candidate, first: _Candidate) -> bool:
    """Items of one list belong together."""
    return one.passage == first.passage and one.unit.block == first.unit.block and one.unit.kind is Kind.ITEM


def _same(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one | other) and len(one & other) / len(one | other) >= _SAME


def _told_out(
    chosen: Sequence[_Candidate], candidates: Sequence[_Candidate], kind: Wanted, most: int
) -> list[_Candidate]:
    """Add what makes the sentences understandable: the one before "It …", the one after a very short one, and - where a
    single fact is no answer - how the paragraph goes on.
    """
    whole = list(chosen)
    by_place = {(one.passage, one.order): one for one in candidates}

    def add(one: _Candidate, step: int) -> bool:
        neighbour = by_place.get((one.passage, one.order + step))
        length = sum(len(other.unit.text) for other in whole)
        if (
            neighbour is None
            or neighbour in whole
            or len(whole) >= most
            or neighbour.unit.kind is not Kind.SENTENCE
            or neighbour.unit.block != one.unit.block
            or length + len(neighbour.unit.text) > _MOST_CHARACTERS
        ):
            return False
        whole.append(neighbour)
        return True

    for one in chosen:
        if _POINTS_BACK.match(one.unit.text):
            add(one, -1)
        if kind in _TELLING and len(one.unit.text) < _SHORT and one.unit.kind is Kind.SENTENCE:
            add(one, +1)
    if kind in _TELLING and len(chosen) == 1 and chosen[0].unit.kind is Kind.SENTENCE:
        last = whole[-1] if whole[-1].order > chosen[0].order else chosen[0]
        while len(whole) < _TOLD_OUT and add(last, +1):
            last = whole[-1]
    return whole


def _side_by_side(candidates: Sequence[_Candidate], passages: Sequence[Passage], most: int) -> list[_Candidate]:
    """The best unit of each document or attachment, of those nearly as good as the best of all."""
    ranked = sorted(candidates, key=lambda one: (-one.score, one.passage, one.order))
    best: dict[tuple[Document, int], _Candidate] = {}
    for one in ranked:
        if one.score >= _JOIN * ranked[0].score:
            best.setdefault(passages[one.passage].whole, one)
    return list(best.values())[:most]


def _in_reading_order(
    chosen: Sequence[_Candidate], passages: Sequence[Passage], *, comparing: bool
) -> list[_Candidate]:
    """Documents in the order of their best unit, or oldest first; within a document as it is written."""
    first: dict[Document, int] = {}
    for place, one in enumerate(chosen):
        first.setdefault(passages[one.passage].document, place)

    def reading_place(one: _Candidate) -> tuple[float, int, int, int]:
        passage = passages[one.passage]
        time = passage.event_time.timestamp() if comparing and passage.event_time is not None else 0.0
        return time, first[passage.document], passage.place, one.order

    return sorted(chosen, key=reading_place)
