"""Plain text as pieces: paragraphs between blank lines, list items behind bullets, the lines that read like headings.
Pure.
"""

import re
from collections.abc import Iterator, Sequence

from streams.core.blocks import BlockKind, Piece
from streams.parse.reading import Reading

_BULLET = re.compile(r"^\s*(?:[•‣◦▪●○■□·–*+-]|\(?[a-z]\))\s+(?=\S)")
_NUMBER = re.compile(r"^\s*(?:\d{1,3}[.)]|\(\d{1,3}\))\s+\S")
_RULE = re.compile(r"^[\W_]{3,}$")
_FEWEST_BLANK = 0.1
"""With fewer blank lines than this share, every line is a paragraph: a log, a chat, one line a thought."""
_TITLE_WORDS = 10
_TITLE_LETTERS = 80


def read(text: str) -> Reading:
    """A plain text; its title is its first line, if that reads like one."""
    units = list(_units(text.split("\n")))
    pieces: list[Piece] = []
    for place, unit in enumerate(units):
        followed = place + 1 < len(units) and not _like_title(units[place + 1])
        if len(units) > 1 and (followed or place == 0) and _like_title(unit):
            pieces.append(Piece(BlockKind.HEADING, unit.text, 2 if pieces else 1))
        else:
            pieces.append(unit)
    title = pieces[0].text if pieces and pieces[0].kind is BlockKind.HEADING else None
    return Reading(pieces, title)


def _units(lines: Sequence[str]) -> Iterator[Piece]:
    blank = sum(not line.strip() for line in lines)
    each = blank < _FEWEST_BLANK * len(lines)
    run: list[str] = []
    for line in [*lines, ""]:
        starts_item = bool(_BULLET.match(line) or _NUMBER.match(line))
        if run and (each or starts_item or not line.strip()):
            yield _unit(run)
            run = []
        if line.strip() and not _RULE.match(line.strip()):
            run.append(line)


def _unit(run: Sequence[str]) -> Piece:
    text = " ".join(" ".join(line.split()) for line in run)
    if bullet := _BULLET.match(run[0]):
        return Piece(BlockKind.LIST_ITEM, text[len(bullet[0].strip()) :].lstrip(), 1)
    if _NUMBER.match(run[0]) and not _like_title(Piece(BlockKind.PARAGRAPH, text)):
        return Piece(BlockKind.LIST_ITEM, text, 1)
    return Piece(BlockKind.PARAGRAPH, text)


def _like_title(piece: Piece) -> bool:
    """Whether a paragraph reads like a heading: short, begun like one, not ended like a sentence."""
    text = piece.text
    if piece.kind is not BlockKind.PARAGRAPH or len(text) > _TITLE_LETTERS or len(text.split()) > _TITLE_WORDS:
        return False
    starts_like_one = text[0].isupper() or text[0].isdecimal()
    return starts_like_one and text[-1].isalnum() and any(letter.isalpha() for letter in text)
