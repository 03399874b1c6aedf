"""Rich text as plain text, by striprtf; the one module that knows it. Tables keep their rows and cells."""

import re
from collections.abc import Callable

from striprtf.striprtf import rtf_to_text

from schemas.errors import UnreadableError
from streams.core.blocks import Piece
from streams.parse import charset
from streams.parse.reading import Reading
from streams.parse.tables import names_columns, table_piece

_TITLE = re.compile(r"\{\\title ([^{}\\]{1,500})\}")
# striprtf passes over notes as over what nobody reads; each is read where it stands.
_NOTE = re.compile(r"(?<!\\)\{(?:\\\*)?\\footnote\b ?")
_MAC = re.compile(r"\A(\{\\rtf1?(?:\s?\\ansi)?)\s?(?:\\mac(?:\s?\\ansicpg10000)?|\\ansicpg10000)\b")
"""The Mac's own code page, of which striprtf knows nothing."""
_ROWS = re.compile(r"(?:^[^\n]*\|\n?)+", re.MULTILINE)


def read(source: bytes, prose: Callable[[str], Reading]) -> Reading:
    """`prose` reads the text between tables. Raises UnreadableError, reason malformed."""
    # Bytes above 127 are escaped or in the code page that the header names; striprtf wants them as they are.
    rtf = source.decode("latin-1")
    rtf, of_mac = _MAC.subn(r"\1", _NOTE.sub("{ ", rtf))
    encoding = "mac_roman" if of_mac else "cp1252"
    try:
        plain: str = rtf_to_text(rtf, encoding=encoding, errors="replace")  # type: ignore[no-untyped-call]
    except (ValueError, LookupError, IndexError, KeyError, TypeError):
        raise UnreadableError("the RTF is damaged: save it again and resend it", reason="malformed") from None
    pieces: list[Piece] = []
    first = None
    place = 0
    for rows in [*_ROWS.finditer(plain), None]:
        between = prose(charset.plain(plain[place : rows.start() if rows else len(plain)]))
        first = first or between.title
        pieces += between.pieces
        if rows:
            pieces.append(_table(rows[0]))
            place = rows.end()
    title = _TITLE.search(rtf)
    return Reading(pieces, title[1].strip() if title else first)


def _table(rows: str) -> Piece:
    cells = [row.rstrip("|").split("|") for row in rows.strip("\n").split("\n")]
    named = len(cells) > 1 and names_columns(cells[0])
    return table_piece((row, named and number == 0) for number, row in enumerate(cells))
