"""Org mode as pieces: headings, lists, tables, blocks. Pure; drawers, keywords and comments are left out."""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from streams.core.blocks import BlockKind, Piece
from streams.parse.reading import Reading
from streams.parse.tables import table_piece

_HEADING = re.compile(r"^(\*+)[ \t]+(.*)$")
_STATE = re.compile(r"^(?:TODO|DONE|NEXT|WAITING|CANCELLED)[ \t]+")
_TAGS = re.compile(r"[ \t]+:[\w@#%:]+:[ \t]*$")
_KEYWORD = re.compile(r"^[ \t]*#\+(\w+):[ \t]*(.*)$")
_BEGIN = re.compile(r"^[ \t]*#\+begin_(\w+)", re.IGNORECASE)
_DRAWER = re.compile(r"^[ \t]*:(\w+):[ \t]*$")
_PLANNING = re.compile(r"^[ \t]*(?:SCHEDULED|DEADLINE|CLOSED):")
_ITEM = re.compile(r"^([ \t]*)(?:[-+]|\d+[.)]|[ \t]\*)[ \t]+(.*)$")
_NUMBER = re.compile(r"^[ \t]*(\d+)[.)][ \t]")
_RULE = re.compile(r"^[ \t]*\|[-+|]+[ \t]*$")
_LINK = re.compile(r"\[\[[^\]]*\]\[([^\]]*)\]\]|\[\[([^\]]*)\]\]")
_END = ":end:"
_HEADED, _DRAWN = "heading", "drawer"
_CODE = frozenset({"src", "example", "export", "verse"})


def read(text: str) -> Reading:
    """An Org document; its title is `#+TITLE`, else its first heading."""
    keywords: dict[str, str] = {}
    pieces = list(_pieces(text.split("\n"), keywords))
    first = next((piece.text for piece in pieces if piece.kind is BlockKind.HEADING), None)
    language = keywords.get("language", "").partition("-")[0].partition("_")[0].lower()
    return Reading(pieces, keywords.get("title") or first, language or None)


def _pieces(lines: Sequence[str], keywords: dict[str, str]) -> Iterator[Piece]:
    ends = _Ends(lines)
    place = 0
    while place < len(lines):
        line = lines[place]
        if heading := _HEADING.match(line):
            yield Piece(BlockKind.HEADING, _plain(_TAGS.sub("", _STATE.sub("", heading[2]))), len(heading[1]))
            place += 1
        elif (begin := _BEGIN.match(line)) and (end := ends.of(place, f"#+end_{begin[1]}".lower())):
            inside = lines[place + 1 : end]
            if begin[1].lower() in _CODE:
                yield Piece(BlockKind.CODE, "\n".join(inside))
            elif begin[1].lower() != "comment":
                yield from _pieces(inside, {})
            place = end + 1
        elif _DRAWER.match(line) and (end := ends.of(place, _END)):
            place = end + 1
        elif keyword := _KEYWORD.match(line):
            keywords.setdefault(keyword[1].lower(), keyword[2].strip())
            place += 1
        elif line.lstrip().startswith("|"):
            end = _while(lines, place, lambda other: other.lstrip().startswith("|"))
            yield _table(lines[place:end])
            place = end
        elif item := _ITEM.match(line):
            end = _while(lines, place + 1, _continues)
            number = f"{found[1]}. " if (found := _NUMBER.match(line)) else ""
            words = " ".join([item[2], *(other.strip() for other in lines[place + 1 : end])])
            yield Piece(BlockKind.LIST_ITEM, number + _plain(words), len(item[1].expandtabs()) // 2 + 1)
            place = end
        elif not line.strip() or line.lstrip().startswith("# ") or _PLANNING.match(line):
            place += 1
        else:
            end = _while(lines, place + 1, lambda other: _continues(other) or bool(other.strip() and not _opens(other)))
            yield Piece(BlockKind.PARAGRAPH, _plain(" ".join(other.strip() for other in lines[place:end])))
            place = end


class _Ends:
    """Where the drawers and blocks of a text end. What does not end before the next heading has not begun."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._places: defaultdict[str, list[int]] = defaultdict(list)
        for place, line in enumerate(lines):
            mark = line.strip().lower()
            if _HEADING.match(line):
                self._places[_HEADED].append(place)
            elif mark.startswith("#+end_") or mark == _END:
                self._places[mark].append(place)
            elif _DRAWER.match(line):
                self._places[_DRAWN].append(place)

    def of(self, place: int, mark: str) -> int | None:
        """The line with the mark behind a line; a drawer lies in no other."""
        end = self._next(mark, place)
        stop = self._next(_HEADED, place)
        inner = self._next(_DRAWN, place) if mark == _END else None
        return end if end and not (stop and stop < end) and not (inner and inner < end) else None

    def _next(self, mark: str, place: int) -> int | None:
        places = self._places[mark]
        behind = bisect_right(places, place)
        return places[behind] if behind < len(places) else None


def _opens(line: str) -> bool:
    """Whether a line begins something else than more of a paragraph."""
    return bool(_HEADING.match(line) or _BEGIN.match(line) or _DRAWER.match(line) or _KEYWORD.match(line)
                or _ITEM.match(line) or line.lstrip().startswith("|"))  # fmt: skip


def _continues(line: str) -> bool:
    """Whether a line below an item belongs to it."""
    return bool(line.strip()) and line[0] in " \t" and not _opens(line)


def _while(lines: Sequence[str], place: int, belongs: Callable[[str], bool]) -> int:
    while place < len(lines) and belongs(lines[place]):
        place += 1
    return place


def _table(lines: Sequence[str]) -> Piece:
    rule = next((number for number, line in enumerate(lines) if _RULE.match(line)), None)
    above = rule if rule is not None and 0 < rule < len(lines) - 1 else 0
    rows = [(number, line.strip().strip("|").split("|")) for number, line in enumerate(lines) if not _RULE.match(line)]
    return table_piece(([_plain(cell) for cell in cells], number < above) for number, cells in rows)


def _plain(text: str) -> str:
    return _LINK.sub(lambda link: link[1] or link[2], text).strip()
