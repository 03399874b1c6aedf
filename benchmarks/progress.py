"""How a benchmark tells what it is doing; the command line shows it, scripts need not."""

from typing import Protocol


class Progress(Protocol):
    """Where progress goes."""

    def __call__(self, step: str, done: float, total: float) -> None:
        """`step` has come to `done` of `total`; a step is over when they are equal."""
        ...


def silent(step: str, done: float, total: float) -> None:
    """Tells nobody."""
    del step, done, total
