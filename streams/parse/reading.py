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


ReadInner = Callable[[bytes, str | None, str], Reading]
"""Reads a document within a document: its bytes, declared type and name. Raises UnreadableError."""
