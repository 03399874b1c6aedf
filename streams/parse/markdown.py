"""Markdown by markdown-it (CommonMark with GitHub's tables), without its front matter. The one module that knows it.

What a text says is taken from its tokens, at half the cost of writing them as HTML and reading that; `html` is for the
texts that have HTML or images within them. Both ways lead to the same pieces.
"""

import re
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.common.utils import mdTrim
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from streams.core.blocks import BlockKind, Piece
from streams.parse.reading import Reading

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# Fields at the margin, what belongs to them indented or as a list, comments: anything else is text between two rules.
_KEY = re.compile(r"""["']?\w[\w .-]{0,40}["']?[ \t]*:(?:[ \t]|$)""")
_OF_YAML = re.compile(rf"""\s|$|#|-(?:[ \t]|$)|[\]}}]|{_KEY.pattern}""")
_TITLE = re.compile(r"""^title:[ \t]*(["']?)(.+?)\1[ \t]*$""", re.MULTILINE)
_LANGUAGE = re.compile(r"""^lang(?:uage)?:[ \t]*["']?([A-Za-z-]{2,12})["']?[ \t]*$""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """A Markdown text without its front matter, and what that said."""

    text: str
    title: str | None
    language: str | None


def source(text: str) -> Source:
    """Take the front matter off."""
    title = language = None
    if (front := _FRONT_MATTER.match(text)) and _is_yaml(front[1]):
        title = found[2] if (found := _TITLE.search(front[1])) else None
        language = found[1].partition("-")[0].lower() if (found := _LANGUAGE.search(front[1])) else None
        text = text[front.end() :]
    return Source(text, title, language)


def _is_yaml(text: str) -> bool:
    """Whether what stands between two rules at a text's start are fields."""
    lines = text.split("\n")
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    return bool(_KEY.match(first)) and all(_OF_YAML.match(line) for line in lines)


def html(text: str) -> str:
    """The text as a fragment of HTML; HTML within it is left as it is."""
    page: str = _parser().render(text)
    return page


def read(text: str, without_bullet: Callable[[str], str | None]) -> Reading | None:
    """The pieces of a text without front matter, titled by its first heading of level 1; None where only `html` tells.

    `without_bullet`: what a paragraph says behind a bullet it begins with, None if it begins with none.
    """
    if _ODD.search(text):
        return None
    environment: MutableMapping[str, object] = {}
    tokens = _blocks().parse(text, environment)
    try:
        return _Reader(tokens, _Inlines(environment), without_bullet).read()
    except _NeedsHtmlError:
        return None


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


@cache
def _blocks() -> MarkdownIt:
    """The same, but what a block says is left as it is written."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable(["inline", "text_join"])
    parser.block.ruler.before("table", "lines_of_words", _lines_of_words)
    return parser


def _lines_of_words(state: StateBlock, start: int, _: int, silent: bool) -> bool:
    """A paragraph whose every line begins with a word: most of many a text, and no other rule would take any of it."""
    stop = start
    while stop < state.lineMax and not state.isEmpty(stop):
        if state.sCount[stop] < 0 or not _WORDS.match(state.src, state.bMarks[stop] + state.tShift[stop]):
            return False
        stop += 1
    if silent or state.is_code_block(start):
        return False
    state.line = stop
    state.push("paragraph_open", "p", 1).map = [start, stop]
    inline = state.push("inline", "", 0)
    inline.content = mdTrim(state.getLines(start, stop, state.blkIndent, False))
    inline.map = [start, stop]
    inline.children = []
    state.push("paragraph_close", "p", -1)
    return True


# What a reader of HTML drops or replaces.
_ODD = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ufdd0-\\ufdef\\ufffe\\uffff]")
# Without any of these a block says what is written: an underscore within a word, an ampersand before a space, a bracket
# that no link follows mark nothing. A bracket may refer to a link that is defined elsewhere, if any is.
_MARKUP = re.compile(r"[\\`*]|~~|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|<(?=\S)|&(?=[#A-Za-z])|\]\(")
# A number that a dot or a bracket follows begins an item.
_WORDS = re.compile(r"[^\W\d_]|[0-9]++(?![.)])")
_MOST_NESTED = 60
_MOST_DIGITS = 6
_TAGS = frozenset(
    {"em_open", "em_close", "strong_open", "strong_close", "s_open", "s_close", "link_open", "link_close"}
)
_SILENT = frozenset({"inline", "heading_close", "paragraph_close", "list_item_close", "blockquote_open",
                     "blockquote_close", "hr"})  # fmt: skip


class _NeedsHtmlError(Exception):
    """There is something in the text that only a reader of HTML understands."""


@dataclass(frozen=True, slots=True)
class _Inlines:
    """What blocks say, their markup taken out."""

    environment: MutableMapping[str, object]
    """Links that are defined somewhere in the text."""

    def text(self, token: Token) -> str:
        """In one line."""
        return " ".join("".join(self.parts(token)).split())

    def parts(self, token: Token) -> list[str]:
        """As it stands between tags."""
        written = token.content
        refers = "[" in written and "references" in self.environment
        if not refers and not _MARKUP.search(written):
            return [written]
        (parsed,) = _parser().parseInline(written, self.environment)
        return self._parts(parsed.children or [])

    def _parts(self, children: Sequence[Token]) -> list[str]:
        parts = [""]
        depth = 0
        for child in children:
            if child.type in ("text", "text_special"):
                parts[-1] += child.content
            elif child.type == "code_inline":
                parts += (child.content, "")
            elif child.type in ("softbreak", "hardbreak"):
                parts[-1] += "\n"
            elif child.type in _TAGS:
                parts.append("")
                depth += child.nesting
            else:
                raise _NeedsHtmlError
            if depth > _MOST_NESTED:
                raise _NeedsHtmlError
        if any(_ODD.search(part) for part in parts):
            raise _NeedsHtmlError
        return parts


@dataclass(slots=True)
class _Reader:
    """One text being read."""

    tokens: Sequence[Token]
    inlines: _Inlines
    without_bullet: Callable[[str], str | None]
    lists: list[int | None] = field(default_factory=list)
    """The lists that are open: the number of each one's next item, None where items have none."""
    title: str | None = None

    def read(self) -> Reading:
        pieces = list(self._pieces())
        return Reading(pieces, self.title or None)

    def _pieces(self) -> Iterator[Piece]:
        place = 0
        while place < len(self.tokens):
            token = self.tokens[place]
            match token.type:
                case "heading_open":
                    yield from self._heading(place)
                case "paragraph_open":
                    yield from self._paragraph(place)
                case "list_item_open":
                    if self.tokens[place + 1].type == "paragraph_open":
                        yield from self._item(place)
                        place += 3
                    else:
                        yield from self._listed(self._number())
                case "bullet_list_open":
                    self.lists.append(None)
                case "ordered_list_open":
                    self.lists.append(_first_number(token))
                case "bullet_list_close" | "ordered_list_close":
                    self.lists.pop()
                case "fence" | "code_block":
                    yield from _code(token)
                case "table_open":
                    end = next(n for n in range(place, len(self.tokens)) if self.tokens[n].type == "table_close")
                    yield from _table(self._rows(place, end))
                    place = end
                case other if other not in _SILENT:
                    raise _NeedsHtmlError
            place += 1

    def _heading(self, place: int) -> Iterator[Piece]:
        level = int(self.tokens[place].tag[1:])
        text = self.inlines.text(self.tokens[place + 1])
        said = text.rstrip("¶ ")
        if level == 1 and self.title is None:
            self.title = said
        if text:
            yield Piece(BlockKind.HEADING, said, level)

    def _paragraph(self, place: int) -> Iterator[Piece]:
        hidden = self.tokens[place].hidden
        if hidden and self.tokens[place + 3].hidden:
            raise _NeedsHtmlError
        yield from self._said(self.inlines.text(self.tokens[place + 1]), len(self.lists) if hidden else 1)

    def _item(self, place: int) -> Iterator[Piece]:
        """An item that begins with a paragraph, which is the item, unless it is written apart from what follows it."""
        first, inline, behind = self.tokens[place + 1], self.tokens[place + 2], self.tokens[place + 4]
        text = (self._number() + self.inlines.text(inline)).strip()
        if first.hidden and behind.hidden:
            raise _NeedsHtmlError
        if first.hidden or behind.type == "list_item_close":
            yield from self._listed(text)
        else:
            yield from self._said(text, 1)

    def _listed(self, text: str) -> Iterator[Piece]:
        if text.strip():
            yield Piece(BlockKind.LIST_ITEM, text.strip(), len(self.lists))

    def _said(self, text: str, level: int) -> Iterator[Piece]:
        """A paragraph, or an item of a list by its bullet; a single letter is nothing."""
        item = self.without_bullet(text)
        if item:
            yield Piece(BlockKind.LIST_ITEM, item, level)
        elif item is None and len(text) > 1:
            yield Piece(BlockKind.PARAGRAPH, text)

    def _number(self) -> str:
        """What stands before the words of the next item."""
        number = self.lists[-1]
        if number is None:
            return ""
        self.lists[-1] = number + 1
        return f"{number}. "

    def _rows(self, begin: int, end: int) -> Iterator[tuple[list[str], bool]]:
        """The cells of each row, and whether it is the header."""
        cells: list[str] = []
        for place in range(begin, end):
            token = self.tokens[place]
            if token.type == "tr_open":
                cells = []
            elif token.type == "inline":
                cells.append(_cell(self.inlines.parts(token)))
            elif token.type == "tr_close" and any(cells):
                yield cells, self.tokens[place - 1].tag == "th"


def _first_number(token: Token) -> int:
    start = str(token.attrs.get("start", 1))
    return int(start) if len(start) <= _MOST_DIGITS else 1


def _code(token: Token) -> Iterator[Piece]:
    if not token.info.isascii():
        raise _NeedsHtmlError
    text = token.content.removeprefix("\n")
    if text.removesuffix("\n"):
        yield Piece(BlockKind.CODE, text.strip("\n"))


def _cell(parts: Sequence[str]) -> str:
    said = (part.strip() for part in parts)
    return " ".join(" ".join(part for part in said if part).replace("\n", "").split())


def _table(rows: Iterable[tuple[list[str], bool]]) -> Iterator[Piece]:
    """A table as one line a row; tables of one column as paragraphs."""
    kept = list(rows)
    if all(sum(map(bool, cells)) <= 1 for cells, _ in kept):
        yield from (Piece(BlockKind.PARAGRAPH, " ".join(cells).strip()) for cells, _ in kept)
        return
    header = 1 if len(kept) > 1 and kept[0][1] else 0
    text = "\n".join(" | ".join(cells) for cells, _ in kept)
    yield Piece(BlockKind.TABLE, text, header_lines=header)
