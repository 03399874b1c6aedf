"""Which way a question takes. Pure."""

from enum import StrEnum

from serving.core.editions import asks_to_compare


class Route(StrEnum):
    """How a question is answered."""

    LOOKUP = "lookup"
    """From the edition in force."""
    COMPARISON = "comparison"
    """From old and new editions side by side."""


def route(question: str) -> Route:
    """The way a question takes."""
    return Route.COMPARISON if asks_to_compare(question) else Route.LOOKUP
