"""What every reader of a format gives back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streams.core.blocks import Piece


@dataclass(frozen=True, slots=True)
class Reading:
    """The pieces of a document in reading order, and what it says about itself."""

    pieces: Sequence[Piece]
    title: str | None = None
    language: str | None = None
    """Declared, as a bare code (`en`, `pt`)."""
    kind: str = ""
    """The format, of a document within another."""
    attached: Sequence["Attached"] = ()
    """The documents within it that were read, theirs behind each."""
    unread: Sequence[str] = ()
    """Why documents within it were not: a reason each."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A document within a document: its name, the format it was read as, its pieces in reading order."""

    title: str
    kind: str
    pieces: Sequence[Piece]


ReadInner = Callable[[bytes, str | None, str], Reading]
"""Reads a document within a document: its bytes, declared type and name. Raises UnreadableError."""
