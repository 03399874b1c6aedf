"""The manifest of a document row: which chunk rows are the document, in order, and where each lies in it.

What depends on place (ordinal, part, page, character span) is kept here and not in the chunk rows, so that an edit near
the top of a document leaves every other chunk row as it is (ADR 0001). Packed, because a document may have 4,000
chunks and every hit reads its document's row: 44 bytes a chunk, base64. Pages that begin within a chunk follow behind a
dot, where there are any: 8 bytes each.
"""

import base64
import struct
import uuid
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NewType

from schemas.errors import BrokenIndexError

ChunkId = NewType("ChunkId", str)
"""uuid of a chunk row, lower-case with dashes."""

_ENTRY = struct.Struct(">16s16sHHII")
_PAGE_BREAK = struct.Struct(">HIH")
_MAX_PAGE = 0xFFFF
_SECOND = "."


@dataclass(frozen=True, slots=True)
class Entry:
    """One chunk of a document: row id, chunk hash (32 hex digits), page (from 1) and character span [start, end) of the
    part it is of: 0 the document itself, n its n-th attachment.
    """

    chunk_id: ChunkId
    hash: str
    page: int | None
    start: int
    end: int
    part: int = 0
    page_breaks: tuple[tuple[int, int], ...] = ()
    """Which character of the chunk's text begins which page after `page`, in order."""

    def page_at(self, place: int) -> int | None:
        """The page of a character of the chunk's text."""
        number = bisect_right(self.page_breaks, place, key=lambda each: each[0])
        return self.page_breaks[number - 1][1] if number else self.page


def pack(entries: Iterable[Entry]) -> str:
    """Entries as text for one unindexed property."""
    packed, breaks = bytearray(), bytearray()
    for place, entry in enumerate(entries):
        page = min(entry.page or 0, _MAX_PAGE)
        row, digest = uuid.UUID(entry.chunk_id).bytes, bytes.fromhex(entry.hash)
        packed += _ENTRY.pack(row, digest, entry.part, page, entry.start, entry.end)
        for at, number in entry.page_breaks:
            breaks += _PAGE_BREAK.pack(place, at, min(number, _MAX_PAGE))
    text = base64.b64encode(packed).decode()
    return f"{text}{_SECOND}{base64.b64encode(breaks).decode()}" if breaks else text


def unpack(text: str) -> tuple[Entry, ...]:
    """Read back `pack`. Raises BrokenIndexError for anything else."""
    first, _, second = text.partition(_SECOND)
    try:
        fields = list(_ENTRY.iter_unpack(base64.b64decode(first, validate=True)))
        breaks = _page_breaks(second, len(fields)) if second else {}
    except (ValueError, struct.error):
        raise BrokenIndexError("a document row's manifest is not a manifest") from None
    return tuple(
        Entry(_dashed(row.hex()), digest.hex(), page or None, start, end, part, tuple(breaks.get(place, ())))
        for place, (row, digest, part, page, start, end) in enumerate(fields)
    )


def _page_breaks(text: str, entries: int) -> Mapping[int, list[tuple[int, int]]]:
    """Of each entry that has any. Raises ValueError, struct.error."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for place, at, page in _PAGE_BREAK.iter_unpack(base64.b64decode(text, validate=True)):
        if place >= entries:
            raise ValueError(place)
        found[place].append((at, page))
    return found


def _dashed(digits: str) -> ChunkId:
    """32 hex digits as a uuid's text: four times as fast as through uuid.UUID, on the path of every hit."""
    return ChunkId(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")
