"""Refusals are values: the question was understood as a request, and there is no answer to give.

The words never tell a forbidden document from an absent one.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why there is no answer; stable words for clients and metrics."""

    NO_SOURCE = "no_source"
    UNSAFE_INPUT = "unsafe_input"
    UNSUPPORTED_QUESTION = "unsupported_question"
    NOT_YET_INDEXED = "not_yet_indexed"
    HISTORY_UNAVAILABLE = "history_unavailable"
    OVERLOADED = "overloaded"


_DETAILS = {
    Reason.NO_SOURCE: "Nothing you may read answers this question. Try other words or fewer filters.",
    Reason.UNSAFE_INPUT: "The text asks to set rules aside instead of asking about documents. Ask about their content.",
    Reason.UNSUPPORTED_QUESTION: "Only questions to documents are answered here. Ask what a document could state.",
    Reason.NOT_YET_INDEXED: "The change named by at_least was not answerable within wait_ms. Ask again in a moment.",
    Reason.HISTORY_UNAVAILABLE: "The index does not hold that position any more, or it belongs to another build.",
    Reason.OVERLOADED: "Too many questions at once. Ask again in a second.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """No answer: the reason and one sentence for people."""

    reason: Reason
    detail: str


def refusal(reason: Reason, detail: str | None = None) -> Refusal:
    """A refusal with the reason's usual detail, or with one that says more."""
    return Refusal(reason, detail or _DETAILS[reason])
