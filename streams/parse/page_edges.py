"""What is a page's and not the text's: headers and footers that repeat, page numbers, tables of contents. Pure.

A number may differ from page to page only where it is the page's: rows of a table that runs over pages are alike as
well, and are what the document says.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

_EDGE_LINES = 3
_NUMBER = re.compile(r"\d+")
_LONGEST_NUMBER = 6
# A page in the languages of Europe and East Asia; what stands before its number.
_PAGE = (r"(?:pages?|seiten?|p[aá]ginas?|p[aá]g|pp?|pg|s|str(?:ona|ana|[aá]nka)?|sid[ae]?|sivu|oldal|sayfa|"
         r"halaman|trang|стр(?:аница)?|σελ(?:ίδα)?|pagina|blz|lk|lpp|第|頁|页|ページ|페이지|쪽|صفحة|עמוד)")  # fmt: skip
_OF_PAGES = r"(?:/|of|von|de|di|sur|van|av|af|z|ze|od|iz|из|от|από)"
_OF = rf"(?:\||-|–|{_OF_PAGES})"
_ROMAN = r"(?=[ivxl])(?:xl|l?x{0,3})(?:ix|iv|v?i{0,3})"
_PAGE_LINE = re.compile(
    rf"\W*{_PAGE}\W{{0,3}}(?:\d{{1,4}}|{_ROMAN})(?:\s*{_OF}\s*\d{{1,4}})?\W*|[(\[]?\d{{1,4}}\s*{_OF_PAGES}\s*\d{{1,4}}[)\]]?",
    re.IGNORECASE,
)
_AROUND = r"[\s\-–—·•|\[\]()]*"
_ROMAN_LINE = re.compile(rf"{_AROUND}{_ROMAN}{_AROUND}")
_ROMAN_CAPITALS = re.compile(_ROMAN_LINE.pattern, re.IGNORECASE)
_NUMBER_LINE = re.compile(rf"{_AROUND}(\d{{1,4}}){_AROUND}")
# Where the number of a page stands in a line of other words: behind its word, or alone at either end.
_BEHIND_PAGE = re.compile(rf"(?:^|\W){_PAGE}\W{{0,3}}$")
_FIRST = re.compile(r"\W*$")
_BEHIND_FIRST = re.compile(r"(?:\s|$|\W+$)")
_LAST = re.compile(r"(?:^|[\s|·•(\[–—])$")
_BEHIND_LAST = re.compile(rf"\W*(?:{_OF}\s*\0\W*)?$")
_LEADER = re.compile(rf"(?:\.\s?){{5,}}\s*(\d{{1,4}}|{_ROMAN}|)$", re.IGNORECASE)
_FEWEST_LEADERS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; coordinates in points, `bottom` growing upwards, `size` the height of its letters."""

    text: str
    page: int
    left: float
    right: float
    bottom: float
    size: float


def rounded(size: float) -> float:
    """A size of letters, to the half point."""
    return round(size * 2) / 2


def without_repeated(pages: Sequence[Sequence[Line]], larger: Iterable[float] = ()) -> list[list[Line]]:
    """The pages without page numbers and the headers and footers that at least half of them share.

    `larger`: sizes of headings (rounded); in one of these a number is the heading's.
    """
    if len(pages) < 2:
        return [list(page) for page in pages]
    repeated = _repeated(pages, frozenset(larger))
    edges = [_edges(page, _EDGE_LINES) for page in pages]
    outermost = [_edges(page, 1) for page in pages]
    numbered = _numbered(page[place] for page, places in zip(pages, outermost, strict=True) for place in places)
    return [
        [
            line
            for place, line in enumerate(page)
            if not ((place in inner and repeated.holds(line)) or (place in outer and numbered.holds(line)))
        ]
        for page, inner, outer in zip(pages, edges, outermost, strict=True)
    ]


def without_contents(page: Sequence[Line], pages: int) -> Iterator[Line]:
    """A page without its table of contents: several lines with leaders to numbers that grow and are pages'."""
    for leads, group in groupby(page, key=lambda line: bool(_LEADER.search(line.text))):
        lines = list(group)
        if not (leads and _is_contents(lines, pages)):
            yield from lines


def _is_contents(lines: Sequence[Line], pages: int) -> bool:
    found = (match[1] for line in lines if (match := _LEADER.search(line.text)))
    numbers = [int(number) for number in found if number.isdecimal()]
    grow = all(number <= following for number, following in pairwise(numbers))
    return len(lines) >= _FEWEST_LEADERS and bool(numbers) and grow and numbers[-1] <= pages


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Page numbers that are a line of their own: what a number is ahead of its page, on several pages."""

    ahead: frozenset[int]

    def holds(self, line: Line) -> bool:
        if number := _NUMBER_LINE.fullmatch(line.text):
            return int(number[1]) - line.page in self.ahead
        return bool(_PAGE_LINE.fullmatch(line.text) or _is_roman(line.text))


def _numbered(lines: Iterable[Line]) -> _Numbered:
    ahead = Counter(
        int(number[1]) - line.page for line in lines if (number := _NUMBER_LINE.fullmatch(line.text)) is not None
    )
    return _Numbered(frozenset(by for by, count in ahead.items() if count > 1))


def _is_roman(text: str) -> bool:
    return bool(_ROMAN_LINE.fullmatch(text) or (text.isupper() and _ROMAN_CAPITALS.fullmatch(text)))


@dataclass(frozen=True, slots=True)
class _Rule:
    """What the numbers of a line that repeats are: each the same everywhere, but for one that may run with the page."""

    numbers: tuple[str | None, ...]
    ahead: int = 0
    """By how much the number that runs is ahead of the page's."""

    def holds(self, line: Line) -> bool:
        found = _NUMBER.findall(line.text)
        return len(found) == len(self.numbers) and all(
            number == same if same is not None else _ahead(number, line.page) == self.ahead
            for number, same in zip(found, self.numbers, strict=True)
        )


@dataclass(frozen=True, slots=True)
class _Repeated:
    rules: dict[str, _Rule]
    larger: frozenset[float]

    def holds(self, line: Line) -> bool:
        rule = self.rules.get(_shape(line))
        if rule is None or (None in rule.numbers and rounded(line.size) in self.larger):
            return False
        return rule.holds(line)


def _repeated(pages: Sequence[Sequence[Line]], larger: frozenset[float]) -> _Repeated:
    """The rule of each line that repeats, by its shape."""
    alike: defaultdict[str, list[Line]] = defaultdict(list)
    for page in pages:
        # Of a short page less is edge: its few lines may resemble other pages' and still be what it says.
        for place in _edges(page, min(_EDGE_LINES, -(-len(page) // 8))):
            alike[_shape(page[place])].append(page[place])
    rules: dict[str, _Rule] = {}
    for shape, lines in alike.items():
        if len(lines) < 2 or len(lines) * 2 < len(pages):
            continue
        rule = _rule(shape, lines)
        shared = len({line.page for line in lines if rule.holds(line)})
        if shared >= 2 and shared * 2 >= len(pages):
            rules[shape] = rule
    return _Repeated(rules, larger)


def _rule(shape: str, lines: Sequence[Line]) -> _Rule:
    """What most of the lines of one shape have in common."""
    numbers: list[str | None] = []
    ahead = 0
    parts = shape.split("\0")
    for place, column in enumerate(zip(*(_NUMBER.findall(line.text) for line in lines), strict=True)):
        same, times = Counter(column).most_common(1)[0]
        runs = Counter(_ahead(number, line.page) for number, line in zip(column, lines, strict=True))
        by, together = runs.most_common(1)[0]
        may_run = None not in numbers and by is not None and together > times
        if may_run and _is_page_s("\0".join(parts[: place + 1]), "\0".join(parts[place + 1 :])):
            numbers.append(None)
            ahead = by or 0
        else:
            numbers.append(same)
    return _Rule(tuple(numbers), ahead)


def _is_page_s(before: str, behind: str) -> bool:
    """Whether a number between these stands where a page's does."""
    return bool(
        _BEHIND_PAGE.search(before)
        or (_FIRST.match(before) and "\0" not in before and _BEHIND_FIRST.match(behind))
        or (_LAST.search(before) and _BEHIND_LAST.match(behind))
    )


def _ahead(number: str, page: int) -> int | None:
    return int(number) - page if len(number) <= _LONGEST_NUMBER else None


def _shape(line: Line) -> str:
    """A line with its numbers aside."""
    return _NUMBER.sub("\0", line.text.replace("\0", " ").casefold())


def _edges(page: Sequence[Line], lines: int) -> set[int]:
    """Places of so many first and so many last lines of a page, but for rows: lines that differ from one next to them
    in their numbers alone.
    """
    order = sorted(range(len(page)), key=lambda place: -page[place].bottom)
    edge = sorted({*range(len(order))[:lines], *range(len(order))[-lines:]}) if lines else []
    return {order[rank] for rank in edge if not _is_row(page, order, rank)}


def _is_row(page: Sequence[Line], order: Sequence[int], rank: int) -> bool:
    shape = _shape(page[order[rank]])
    return "\0" in shape and shape in (_shape(page[place]) for place in _beside(order, rank))


def _beside(order: Sequence[int], rank: int) -> Sequence[int]:
    return [*order[max(rank - 1, 0) : rank], *order[rank + 1 : rank + 2]]
