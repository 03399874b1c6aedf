"""The manifest of a document row: which chunk rows are the document, in order, and where each lies in it.

What depends on place (ordinal, part, page, character span) is kept here and not in the chunk rows, so that an edit near
the top of a document leaves every other chunk row as it is (ADR 0001). Packed, because a document may have 4,000
chunks and every hit reads its document's row: 44 bytes a chunk, base64.
"""

import base64
import struct
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from schemas.errors import BrokenIndexError

ChunkId = NewType("ChunkId", str)
"""uuid of a chunk row, lower-case with dashes."""

_ENTRY = struct.Struct(">16s16sHHII")
_MAX_PAGE = 0xFFFF


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


def pack(entries: Iterable[Entry]) -> str:
    """Entries as text for one unindexed property."""
    return base64.b64encode(
        b"".join(
            _ENTRY.pack(
                uuid.UUID(entry.chunk_id).bytes,
                bytes.fromhex(entry.hash),
                entry.part,
                min(entry.page or 0, _MAX_PAGE),
                entry.start,
                entry.end,
            )
            for entry in entries
        )
    ).decode()


def unpack(text: str) -> tuple[Entry, ...]:
    """Read back `pack`. Raises BrokenIndexError for anything else."""
    try:
        fields = list(_ENTRY.iter_unpack(base64.b64decode(text, validate=True)))
    except (ValueError, struct.error):
        raise BrokenIndexError("a document row's manifest is not a manifest") from None
    return tuple(
        Entry(_dashed(row.hex()), digest.hex(), page or None, start, end, part)
        for row, digest, part, page, start, end in fields
    )


def _dashed(digits: str) -> ChunkId:
    """32 hex digits as a uuid's text: four times as fast as through uuid.UUID, on the path of every hit."""
    return ChunkId(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")
