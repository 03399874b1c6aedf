"""Writes the picked sentences as one answer: every sentence with its citation, list items and rows as a list. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.core.extract import Pick

COMPOSER = "extractive-1"
"""How answers are made; raised when the same evidence gives another answer."""


@dataclass(frozen=True, slots=True)
class Written:
    """An answer, and for each citation number (from 1) the index of its passage and the words quoted."""

    answer: str
    cited: tuple[tuple[int, tuple[str, ...]], ...]


def write(picks: Sequence[Pick]) -> Written:
    """Number the passages in the order they speak. `picks` must not be empty."""
    quotes: dict[int, list[str]] = {}
    for pick in picks:
        quotes.setdefault(pick.passage, []).append(pick.quote)
    numbers = {passage: number for number, passage in enumerate(quotes, start=1)}
    as_list = sum(pick.is_listed for pick in picks) > 1
    answer = ""
    after_item = False
    for pick in picks:
        is_item = as_list and pick.is_listed
        gap = "" if not answer else "\n" if is_item or after_item else " "
        answer += gap + ("- " if is_item else "") + _with_citation(pick.text, numbers[pick.passage])
        after_item = is_item
    return Written(answer, tuple((passage, tuple(said)) for passage, said in quotes.items()))


def _with_citation(text: str, number: int) -> str:
    """Before the full stop; behind any other ending."""
    return f"{text[:-1]} [{number}]." if text.endswith(".") and not text.endswith("..") else f"{text} [{number}]"
