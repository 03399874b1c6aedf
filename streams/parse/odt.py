"""OpenDocument text: the pieces of its content, its title and language. Changes that were struck out, notes of
reviewers and generated indexes are left out; page numbers are those LibreOffice last laid out.
"""

import re
from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]

from schemas.errors import UnreadableError
from streams.core.blocks import BlockKind, Piece
from streams.parse.archive import opened
from streams.parse.limits import Limits
from streams.parse.reading import Reading
from streams.parse.tables import table_piece
from streams.parse.xml import local, parsed

_SKIPPED = frozenset({"tracked-changes", "annotation", "annotation-end", "table-of-content", "alphabetical-index",
                      "illustration-index", "table-index", "forms", "sequence-decls", "ruby-text"})  # fmt: skip
_SPACES = {"s": " ", "tab": "\t", "line-break": "\n"}
# What stands apart from the words around it: within boxes, notes and the cells of tables.
_BLOCKS = frozenset({"p", "h", "list", "list-item", "frame", "text-box", "section", "table", "table-row",
                     "table-cell"})  # fmt: skip
_EMPTY_LINES = re.compile(r"\s*\n\s*")
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_MOST_REPEATS = 50


def read(body: bytes, limits: Limits) -> Reading:
    """Raises UnreadableError; reason malformed, encrypted, archive_bomb, xml_entities or too_deep."""
    archive = opened(body, limits)
    if "META-INF/manifest.xml" in archive.names and b"encryption-data" in archive.read("META-INF/manifest.xml"):
        raise UnreadableError("the file is encrypted: send it without a password", reason="encrypted")
    root = parsed(archive.read("content.xml"))
    content = next((element for element in root.iter() if local(element) == "text"), None)
    if content is None:
        raise UnreadableError("the file is no OpenDocument text", reason="malformed")
    title = language = None
    if "meta.xml" in archive.names:
        for element in parsed(archive.read("meta.xml")).iter():
            if local(element) == "title":
                title = (element.text or "").strip() or None
            elif local(element) == "language":
                language = (element.text or "").partition("-")[0].lower() or None
    return Reading(list(_Walk().pieces(content)), title, language)


class _Walk:
    """One document being walked through; counts its pages."""

    def __init__(self) -> None:
        self._page: int | None = None

    def pieces(self, parent: etree._Element, list_level: int = 0) -> Iterator[Piece]:
        for element in parent:
            page = self._page  # where it begins: its text may go on behind the next break
            match local(element):
                case "h":
                    level = element.get(f"{_TEXT}outline-level") or "1"
                    yield Piece(BlockKind.HEADING, self._text(element), int(level) if level.isdecimal() else 1,
                                page)  # fmt: skip
                case "p":
                    kind = BlockKind.LIST_ITEM if list_level else BlockKind.PARAGRAPH
                    yield Piece(kind, self._text(element), list_level, page)
                case "list":
                    yield from self.pieces(element, list_level + 1)
                case "table":
                    yield table_piece(self._rows(element), page=page)
                case "soft-page-break":
                    self._turn()
                case name if name not in _SKIPPED:
                    yield from self.pieces(element, list_level)

    def _rows(self, table: etree._Element) -> Iterator[tuple[list[str], bool]]:
        """Rows, and whether each is a header's."""
        for row in table.iter(f"{_TABLE}table-row"):
            cells: list[str] = []
            for cell in row:
                if local(cell) in ("table-cell", "covered-table-cell"):
                    repeated = cell.get(f"{_TABLE}number-columns-repeated") or "1"
                    text = "\n".join(self._text(paragraph) for paragraph in cell)
                    cells += [text] * (min(int(repeated), _MOST_REPEATS) if repeated.isdecimal() else 1)
            yield cells, local(row.getparent()) == "table-header-rows"

    def _text(self, element: etree._Element) -> str:
        return _EMPTY_LINES.sub("\n", "".join(self._parts(element)).strip())

    def _parts(self, element: etree._Element) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            name = local(child)
            if name in _SPACES:
                count = child.get(f"{_TEXT}c") or "1"
                yield _SPACES[name] * (min(int(count), _MOST_REPEATS) if count.isdecimal() else 1)
            elif name == "soft-page-break":
                self._turn()
            elif name == "note":
                yield f" ({' '.join(self._text(part) for part in child if local(part) == 'note-body')})"
            elif name in _BLOCKS:
                yield "\n"
                yield from self._parts(child)
                yield "\n"
            elif name not in _SKIPPED:
                yield from self._parts(child)
            yield child.tail or ""

    def _turn(self) -> None:
        self._page = (self._page or 1) + 1
