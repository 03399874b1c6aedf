"""What a long step tells whoever watches: one value a report, passed to a callback."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`fraction` is 0..1, or None where the end is not known. `message` is one short line."""

    part: str
    phase: str
    message: str
    fraction: float | None = None


ProgressSink = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Drops every report."""
    del progress
