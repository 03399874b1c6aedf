"""Runs a golden set against anything that answers, and judges the outcomes. Judging is pure.

`millstream eval` asks a running API; the rules of judgement are those of `evaluation.golden`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from evaluation.golden import GoldenQuestion

NO_SOURCE = "no_source"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back for one question. `text` is everything of the response that a reader sees."""

    answer: str | None
    refusal: str | None
    documents: tuple[str, ...]
    """`source/doc_id` of every citation."""
    text: str
    server_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A question, its outcome, and what is wrong with it; right when nothing is."""

    question: GoldenQuestion
    outcome: Outcome
    faults: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether the outcome is the expected one."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class Score:
    """How many outcomes are right, of the expected answers and of the expected refusals."""

    answers_right: int
    answers: int
    refusals_right: int
    refusals: int

    def __str__(self) -> str:
        return f"answers {self.answers_right}/{self.answers}, refusals {self.refusals_right}/{self.refusals}"


Ask = Callable[[GoldenQuestion], Awaitable[Outcome]]


def judge(question: GoldenQuestion, outcome: Outcome) -> Judged:
    """Compare an outcome with what the golden set expects."""
    faults = _answer_faults(question, outcome) if question.expect == "answer" else _refusal_faults(outcome)
    said = _flat(outcome.answer or "" if question.expect == "answer" else outcome.text)
    leaked = [f"says {text!r}" for text in question.forbidden if _flat(text) in said]
    return Judged(question, outcome, (*faults, *leaked))


def _answer_faults(question: GoldenQuestion, outcome: Outcome) -> list[str]:
    if outcome.answer is None:
        return [f"refused: {outcome.refusal}"]
    said = _flat(outcome.answer)
    faults = [f"lacks {text!r}" for text in question.contains if _flat(text) not in said]
    if not set(outcome.documents) & set(question.documents):
        faults.append("cites none of the right documents")
    return faults


def _refusal_faults(outcome: Outcome) -> list[str]:
    return [] if outcome.refusal == NO_SOURCE else [f"answered, or refused otherwise: {outcome.refusal}"]


def _flat(text: str) -> str:
    return " ".join(text.split())


def score(judged: Sequence[Judged]) -> Score:
    """Count."""
    answers = [one for one in judged if one.question.expect == "answer"]
    refusals = [one for one in judged if one.question.expect == "refusal"]
    return Score(
        sum(one.is_right for one in answers), len(answers), sum(one.is_right for one in refusals), len(refusals)
    )


async def run(questions: Sequence[GoldenQuestion], ask: Ask, *, at_once: int = 1) -> tuple[Judged, ...]:
    """Ask every question, `at_once` at the same time, and judge; in the set's order."""
    places = asyncio.Semaphore(at_once)

    async def one(question: GoldenQuestion) -> Judged:
        async with places:
            return judge(question, await ask(question))

    return tuple(await asyncio.gather(*(one(question) for question in questions)))


def is_unsafe(one: Judged) -> bool:
    """Whether something was said that must not be said: a forbidden string, or an answer where none is right."""
    return not one.is_right and (
        one.question.expect == "refusal" or any(fault.startswith("says") for fault in one.faults)
    )
