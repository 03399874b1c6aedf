"""Lines as they lie on pages, made into headings, paragraphs and list items; without what is the pages' and not the
text's (page_edges.py). Pure: whatever reads pages hands its lines in.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from streams.core.blocks import BlockKind, Piece
from streams.parse.page_edges import Line, rounded, without_contents, without_repeated

_BULLET = re.compile(r"^[•‣◦▪●○■□–*·]\s+|^-\s+(?=\S)")
_NUMBERED = re.compile(r"^(?:\d{1,2}[.)]|[a-z]\))\s+\S")
_HEADING_SIZE = 1.12
_HEADING_WORDS = 16
_HEADING_LEVELS = 4
_NEXT_LINE = 1.75
"""Lines of a paragraph lie at most so many times their size apart."""
_FULL = 0.82
"""A line that ends before this part of the column's width ends on purpose: a row, an address, a verse."""


_CAPITALS = re.compile(r"(?:[\d.]{1,8}\s+)?[^\W\d_][^\d]{5,80}")


def pieces_of(pages: Sequence[Sequence[Line]]) -> list[Piece]:
    """The pieces of a document from the lines of its pages, top to bottom."""
    larger = _levels(line for page in pages for line in page)
    lines = [line for page in without_repeated(pages, larger) for line in without_contents(page, len(pages))]
    levels = _levels(lines)
    pieces: list[Piece] = []
    for run in _runs(lines, levels):
        first = run[0]
        level = _level(run, levels)
        if level:
            pieces.append(Piece(BlockKind.HEADING, " ".join(line.text for line in run), level, first.page))
        elif _BULLET.match(first.text):
            pieces.append(Piece(BlockKind.LIST_ITEM, _BULLET.sub("", _joined(run)), 1, first.page))
        elif _NUMBERED.match(first.text):
            pieces.append(Piece(BlockKind.LIST_ITEM, _joined(run), 1, first.page))
        elif pieces and _goes_on(pieces[-1], first):
            before = pieces.pop()
            breaks = (*before.page_breaks, (len(before.text) + 1, first.page))
            pieces.append(replace(before, text=f"{before.text} {_joined(run)}", page_breaks=breaks))
        else:
            pieces.append(Piece(BlockKind.PARAGRAPH, _joined(run), page=first.page))
    return pieces


def _level(run: Sequence[Line], levels: dict[float, int]) -> int:
    """A heading's level, 0 for anything else: set larger than the rest, or in capitals."""
    if not _fits_heading(run):
        return 0
    if len(run) == 1 and _in_capitals(run[0]):
        return min(max(levels.values(), default=0) + 1, _HEADING_LEVELS)
    return levels.get(rounded(run[0].size), 0)


def _in_capitals(line: Line) -> bool:
    return line.text.isupper() and bool(_CAPITALS.fullmatch(line.text))


def _levels(lines: Iterable[Line]) -> dict[float, int]:
    """Sizes that are headings' and the level of each: those above what most letters have."""
    letters: Counter[float] = Counter()
    for line in lines:
        letters[rounded(line.size)] += len(line.text)
    if not letters:
        return {}
    body = letters.most_common(1)[0][0]
    larger = sorted((size for size in letters if size >= body * _HEADING_SIZE), reverse=True)
    return {size: min(number, _HEADING_LEVELS) for number, size in enumerate(larger, 1)}


def _runs(lines: Iterable[Line], levels: dict[float, int]) -> Iterator[list[Line]]:
    """Lines that belong together: one below the other, all of a heading's size or none, in one column."""
    for _, group in groupby(lines, key=lambda line: (line.page, levels.get(rounded(line.size), 0))):
        run: list[Line] = []
        for line in group:
            if run and (not _follows(run[-1], line) or _in_capitals(line) or _in_capitals(run[-1])):
                yield run
                run = []
            run.append(line)
        yield run


def _follows(above: Line, line: Line) -> bool:
    gap = above.bottom - line.bottom
    begins_item = _BULLET.match(line.text) or _NUMBERED.match(line.text)
    same_row = abs(gap) < 0.3 * line.size
    return not begins_item and (same_row or 0 < gap <= _NEXT_LINE * max(line.size, 1)) and line.left < above.right


def _fits_heading(run: Sequence[Line]) -> bool:
    words = sum(len(line.text.split()) for line in run)
    return words <= _HEADING_WORDS and any(letter.isalpha() for line in run for letter in line.text)


def _joined(run: Sequence[Line]) -> str:
    """A paragraph's lines as one, words parted by hyphens mended; lines that end early on purpose stay lines."""
    left, right = min(line.left for line in run), max(line.right for line in run)
    text = run[0].text
    for above, line in pairwise(run):
        full = above.right - left >= _FULL * (right - left)
        if full and text.endswith(("-", "\u00ad", "\u2010")) and line.text[:1].islower():
            text = text[:-1] + line.text
        else:
            text += (" " if full else "\n") + line.text
    return text


def _goes_on(before: Piece, line: Line) -> bool:
    """Whether a paragraph goes on from the page before."""
    last = before.page_breaks[-1][1] if before.page_breaks else before.page
    return (
        last is not None
        and last < line.page
        and before.kind is not BlockKind.HEADING
        and before.text[-1:] not in ".!?:;…。！？"
        and line.text[:1].islower()
    )
