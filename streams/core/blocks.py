"""A document as read: its plain text, and what each stretch of it is. Pure values, the same whatever the format was."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from schemas.records import Part

_DEEPEST_HEADING = 10
"""Deeper ones are side by side: every section carries the headings above it."""


class BlockKind(StrEnum):
    """What a stretch of text is to a reader."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE = "table"
    """One line a row, cells parted by ` | `."""
    CODE = "code"


PageBreaks = tuple[tuple[int, int], ...]
"""Where in a text other pages begin, in order: which character, which page."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A block before it has its place: what a parser hands to `assemble`."""

    kind: BlockKind
    text: str
    level: int = 0
    """Headings: 1 is the outermost. List items: how deep they are nested, from 1. Otherwise 0."""
    page: int | None = None
    header_lines: int = 0
    """Tables: how many of the first lines name the columns."""
    part: int = 0
    """0: the document's own. n: of its n-th attachment."""
    page_breaks: PageBreaks = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch [start, end) of the document's text, in characters. Blocks are in order and never overlap."""

    kind: BlockKind
    text: str
    level: int
    page: int | None
    start: int
    end: int
    header_lines: int = 0
    part: int = 0
    page_breaks: PageBreaks = ()

    @property
    def page_starts(self) -> PageBreaks:
        """Where in the document's text it and each page in it begins; nothing of what has no pages."""
        if self.page is None:
            return ()
        return (self.start, self.page), *((self.start + at, page) for at, page in self.page_breaks)


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document as plain text with its structure beside it: `block.text == text[block.start : block.end]`."""

    title: str | None
    language: str | None
    """A bare code (`en`, `pt`): as the document declares it, else as its text reads, if that is clear."""
    kind: str
    """The format it was read from, such as markdown or pdf."""
    text: str
    blocks: tuple[Block, ...]
    """In the order of their parts."""
    parts: tuple[Part, ...] = ()
    """The attachments that were read, part 1 first."""
    unread: tuple[str, ...] = ()
    """Why others were not: a reason each."""


def assemble(
    pieces: Iterable[Piece], *, title: str | None, language: str | None, kind: str, parts: Sequence[Part] = ()
) -> ParsedDocument:
    """Lay pieces out as one text, blank lines between them but for the items of a list; empty ones are left out.

    `pieces` come in the order of their parts.
    """
    blocks: list[Block] = []
    text: list[str] = []
    place = 0
    for piece in _filled(pieces):
        if blocks:
            before = blocks[-1]
            both_items = before.kind is piece.kind is BlockKind.LIST_ITEM and before.part == piece.part
            gap = "\n" if both_items else "\n\n"
            text.append(gap)
            place += len(gap)
        end = place + len(piece.text)
        of_table, breaks = piece.header_lines, piece.page_breaks
        blocks.append(
            Block(piece.kind, piece.text, _level(piece), piece.page, place, end, of_table, piece.part, breaks)
        )
        text.append(piece.text)
        place = end
    return ParsedDocument(title, language, kind, "".join(text), tuple(blocks), tuple(parts))


def _level(piece: Piece) -> int:
    return min(piece.level, _DEEPEST_HEADING) if piece.kind is BlockKind.HEADING else piece.level


def _filled(pieces: Iterable[Piece]) -> Iterator[Piece]:
    return (piece for piece in pieces if piece.text.strip())
