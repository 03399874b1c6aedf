"""A chunk's text cut into what an answer may quote: whole sentences, list items and table rows.

A chunk's blocks are parted by blank lines; the lines of one block are list items, the rows of a table (cells parted by
` | `, column names first) or a hard-wrapped paragraph. Headings, lead-ins ("as follows:") and fragments are left out.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, pairwise

_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-Z0-9ÀÖØ-Þ])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|approx|ca|cf|resp|incl|excl|min|max|nos?|art|sec|fig|dr|mr|mrs|ms|prof|st|inc|ltd|co|jr|sr)"
    r"|(?<![A-Za-z])[A-Z])\.$",
    re.IGNORECASE,
)
_MARKER = re.compile(r"^(?:[-*•‣–]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+")
_HEADING = re.compile(r"^#{1,6}\s")
_RULE = re.compile(r"^[\s|:=+_*-]+$")
_TERMINAL = re.compile(r"[.!?…][\"'”’)\]]*$")
_CELLS = " | "
_EDGE_MARKS = " \t*_`"
_FRAGMENT_WORDS = 12


class Kind(StrEnum):
    """What a unit is."""

    SENTENCE = "sentence"
    ITEM = "item"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class Unit:
    """Something quotable."""

    quote: str
    """As it stands in the chunk, white space aside."""
    text: str
    """As an answer says it: a row with its column names, everything ending like a sentence."""
    kind: Kind
    block: int
    """Which block of the chunk it is in."""
    lead: str = ""
    """The line that introduces a list or names the columns: for scoring, never quoted alone."""


def units(text: str) -> list[Unit]:
    """The quotable units of a chunk's text, in order."""
    found: list[Unit] = []
    lead = ""
    for number, block in enumerate(re.split(r"\n\s*\n", text)):
        lines = [line.strip() for line in block.splitlines() if line.strip() and not _RULE.match(line)]
        if not lines or _HEADING.match(lines[0]):
            lead = ""
        elif len(lines) == 1 and lines[0].endswith(":"):
            lead = lines[0]
        elif any(_CELLS in line for line in lines):
            found += _rows(lines, number)
        elif _is_list(lines):
            if lines[0].endswith(":"):
                lead = lines.pop(0)
            found += _items(lines, number, lead)
        else:
            for paragraph in _paragraphs(block):
                found += [Unit(sentence, _ended(sentence), Kind.SENTENCE, number) for sentence in _sentences(paragraph)]
                lead = paragraph if paragraph.endswith(":") else ""
    return found


def _paragraphs(block: str) -> list[str]:
    """Hard-wrapped lines joined; a rule parts what stands before it from what stands behind it."""
    parts = groupby(
        (line.strip() for line in block.splitlines() if line.strip()), key=lambda line: bool(_RULE.match(line))
    )
    return [" ".join(lines) for is_rule, lines in parts if not is_rule]


def _is_list(lines: list[str]) -> bool:
    """Lines that carry markers, or several of which none runs on into the next."""
    if _MARKER.match(lines[0]):
        return True
    runs_on = any(rest[:1].islower() and not _TERMINAL.search(line) for line, rest in pairwise(lines))
    return len(lines) > 1 and not runs_on


def _items(lines: list[str], block: int, lead: str) -> list[Unit]:
    items = [_clean(_MARKER.sub("", line, count=1)) for line in lines]
    return [Unit(item, _ended(item), Kind.ITEM, block, lead) for item in items if len(item.split()) > 1]


def _rows(lines: list[str], block: int) -> list[Unit]:
    header, *body = lines if len(lines) > 1 else ["", *lines]
    names = _split_cells(header)
    rows = [" ".join(row.split()) for row in body if _CELLS in row]
    return [Unit(row, _told(names, _split_cells(row)), Kind.ROW, block, header) for row in rows]


def _split_cells(row: str) -> list[str]:
    return [_clean(cell) for cell in row.strip("| ").split("|")] if row else []


def _told(names: list[str], cells: list[str]) -> str:
    """A row as a sentence: its first cell, then every other with the name of its column."""
    named = [f"{name}: {cell}" if name else cell for name, cell in zip(names[1:], cells[1:], strict=False) if cell]
    rest = named or [cell for cell in cells[1:] if cell]
    return _ended(f"{cells[0]} – {'; '.join(rest)}" if cells[0] and rest else cells[0] or "; ".join(rest))


def _sentences(block: str) -> list[str]:
    whole: list[str] = []
    start = 0
    for match in _END.finditer(block):
        if _ABBREVIATION.search(block[start : match.start()]):
            continue
        whole.append(block[start : match.end()])
        start = match.end()
    whole.append(block[start:])
    return [sentence for sentence in map(_clean, whole) if _is_whole(sentence)]


def _clean(text: str) -> str:
    return " ".join(text.strip(_EDGE_MARKS).split())


def _ended(text: str) -> str:
    return text if _TERMINAL.search(text) else text.rstrip(",;:") + "."


def _is_whole(sentence: str) -> bool:
    """Whether a line stands on its own: ends like a sentence, or is long, or states `name: value`."""
    count = len(sentence.split())
    if _TERMINAL.search(sentence):
        return count >= 3
    if sentence.endswith(":"):
        return False
    return count > _FRAGMENT_WORDS or (count >= 3 and ": " in sentence)
