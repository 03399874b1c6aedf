"""An answer quoted from its sources: the one to four sentences, list items or table rows that answer best. Pure, cheap.

A unit's score is the share of the question's words it holds, each weighted by its rarity among the candidates, words of
its heading at part value; plus how good its chunk is; plus whether it holds the kind of thing asked for. One document
speaks first; another joins only with something as good.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from serving.core.cues import Wanted, holds, wanted
from serving.core.passages import Passage
from serving.core.sentences import Kind, Unit, units
from serving.core.words import terms

MOST_SENTENCES = 4

_CONTEXT_VALUE = 0.55
"""What a question word counts that stands in heading, title or lead only."""
_CLOSENESS_VALUE = 0.45
_RANK_VALUE = 0.10
_CUE_VALUE = 0.22
_JOIN = 0.80
"""A further unit needs this share of the best one's score; in another document, _JOIN_ELSEWHERE."""
_JOIN_ELSEWHERE = 0.90
_NEW_WORDS = 0.15
_SAME = 0.75
_MOST_CHARACTERS = 700
_POINTS_BACK = re.compile(
    r"^(?:It|This|That|These|Those|They|He|She|Its|Their|Both|Otherwise|In that case|There|Then)\b"
)


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
    context: frozenset[str]


def extract(question: str, passages: Sequence[Passage], *, most: int = MOST_SENTENCES) -> tuple[Pick, ...]:
    """At most `most` picks: the best one's document first, within a document as it is written. Empty: no answer."""
    asked = terms(question)
    candidates = [
        _Candidate(number, order, unit, terms(unit.quote), terms(f"{passage.heading} {unit.lead}"))
        for number, passage in enumerate(passages)
        for order, unit in enumerate(units(passage.text))
    ]
    if not candidates:
        return ()
    weights = _rarity(asked, candidates)
    kind = wanted(question)
    scored = sorted(
        ((_score(candidate, passages, weights, kind), candidate) for candidate in candidates),
        key=lambda pair: (-pair[0], pair[1].passage, pair[1].order),
    )
    chosen = _choose(scored, passages, weights, kind, most)
    return tuple(
        Pick(candidate.passage, candidate.unit.text, candidate.unit.quote, candidate.unit.kind is not Kind.SENTENCE)
        for candidate in _in_reading_order(_with_antecedents(chosen, candidates, most), passages)
    )


def _rarity(asked: frozenset[str], candidates: Sequence[_Candidate]) -> dict[str, float]:
    """Weight of each question word, rare ones more; the weights add up to 1."""
    counts = Counter(term for candidate in candidates for term in asked & (candidate.own | candidate.context))
    total = len(candidates)
    raw = {term: math.log(1.0 + total / (1.0 + counts[term])) for term in asked}
    whole = sum(raw.values()) or 1.0
    return {term: weight / whole for term, weight in raw.items()}


def _score(candidate: _Candidate, passages: Sequence[Passage], weights: dict[str, float], kind: Wanted) -> float:
    passage = passages[candidate.passage]
    overlap = sum(
        weight * (1.0 if term in candidate.own else _CONTEXT_VALUE)
        for term, weight in weights.items()
        if term in candidate.own or term in candidate.context
    )
    cue = _CUE_VALUE if holds(kind, candidate.unit.quote) else 0.0
    if kind is Wanted.STEPS and candidate.unit.kind is Kind.ITEM:
        cue = _CUE_VALUE / 2
    rank = _RANK_VALUE / (1 + candidate.passage)
    return overlap + _CLOSENESS_VALUE * max(0.0, passage.cosine) + rank + cue


def _choose(
    scored: Sequence[tuple[float, _Candidate]],
    passages: Sequence[Passage],
    weights: dict[str, float],
    kind: Wanted,
    most: int,
) -> list[_Candidate]:
    best, first = scored[0]
    chosen = [first]
    covered = set(first.own)
    length = len(first.unit.text)
    for score, candidate in scored[1:]:
        if len(chosen) == most or score < _JOIN * best:
            break
        elsewhere = passages[candidate.passage].document != passages[first.passage].document
        if (
            score < (_JOIN_ELSEWHERE if elsewhere else _JOIN) * best
            or length + len(candidate.unit.text) > _MOST_CHARACTERS
        ):
            continue
        if any(_same(candidate.own, other.own) for other in chosen):
            continue
        new = sum(weight for term, weight in weights.items() if term in candidate.own and term not in covered)
        runs_on = _is_run(candidate, first, kind)
        if new < _NEW_WORDS and not runs_on:
            continue
        chosen.append(candidate)
        covered |= candidate.own
        length += len(candidate.unit.text)
    return chosen


def _is_run(candidate: _Candidate, first: _Candidate, kind: Wanted) -> bool:
    """Items of the list the best unit is in belong together where steps or several things are asked for."""
    same_block = candidate.passage == first.passage and candidate.unit.block == first.unit.block
    return same_block and candidate.unit.kind is Kind.ITEM and kind in {Wanted.STEPS, Wanted.ANYTHING}


def _same(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one | other) and len(one & other) / len(one | other) >= _SAME


def _with_antecedents(chosen: Sequence[_Candidate], candidates: Sequence[_Candidate], most: int) -> list[_Candidate]:
    """A sentence that points back ("It …") brings the one before it, where there is room."""
    whole = list(chosen)
    by_place = {(candidate.passage, candidate.order): candidate for candidate in candidates}
    for candidate in chosen:
        before = by_place.get((candidate.passage, candidate.order - 1))
        if (
            len(whole) < most
            and before is not None
            and before not in whole
            and before.unit.block == candidate.unit.block
            and _POINTS_BACK.match(candidate.unit.text)
        ):
            whole.append(before)
    return whole


def _in_reading_order(chosen: Sequence[_Candidate], passages: Sequence[Passage]) -> list[_Candidate]:
    """Documents in the order of their best unit; within a document as it is written."""
    first: dict[object, int] = {}
    for place, candidate in enumerate(chosen):
        first.setdefault(passages[candidate.passage].document, place)
    return sorted(
        chosen,
        key=lambda one: (first[passages[one.passage].document], passages[one.passage].place, one.order),
    )
