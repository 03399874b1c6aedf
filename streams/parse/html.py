"""HTML made ready for the partitioner: title and language read, boilerplate taken out, and what unstructured would drop
(figures, details, forms around a page, deep nesting) given tags it keeps. The one module that knows lxml.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree  # type: ignore[import-untyped]

from schemas.errors import UnreadableError
from streams.core.blocks import BlockKind, Piece
from streams.parse.tables import names_columns

_REMOVED = ("nav", "script", "style", "template", "noscript", "iframe", "object", "svg", "input", "select", "button",
            "textarea", "label", "dialog", "menu")  # fmt: skip
_ROLES = frozenset({"navigation", "banner", "contentinfo", "search", "complementary", "menu", "menubar", "tablist"})
# Names that documentation generators give to what is not the document: DocBook, Sphinx, MkDocs, Doxygen, Jekyll.
_CLASSES = frozenset({"navheader", "navfooter", "sphinxsidebar", "related", "headerlink", "breadcrumb", "breadcrumbs",
                      "toc", "sidebar", "skip-link", "md-sidebar", "site-footer", "site-header"})  # fmt: skip
_NOTES = frozenset({"note", "tip", "warning", "caution", "important", "admonition", "callout", "hint", "footnote-list",
                    "footnote", "footnotes", "endnote", "rearnote"})  # fmt: skip
"""Classes, or types of EPUB, of what stands aside and is the document's all the same."""
_RENAMED = {"figure": "div", "figcaption": "p", "details": "div", "summary": "p", "form": "div", "fieldset": "div",
            "legend": "p"}  # fmt: skip
_TABLE_PARTS = ("table", "thead", "tbody", "tfoot", "tr", "td", "caption")
_INSIDE_LAYOUT = "descendant::*[self::table or self::pre or self::ul or self::ol or self::h1 or self::h2 or self::h3]"
# Deeper elements keep their text but lose their tags: unstructured recurses, and lxml cuts off silently at 255.
_DEEPEST = 100
_REFUSED_DEPTH = 2000
_MOST_DIGITS = 7
# RFC 5646: what every chunk row would carry is a language, or nothing.
_LANGUAGE = re.compile(r"[a-z]{2,8}")


@dataclass(frozen=True, slots=True)
class Page:
    """A cleaned page."""

    html: str
    title: str | None
    language: str | None


def clean(html: str) -> Page:
    """Read title and language, take out boilerplate. Raises UnreadableError, reason too_deep."""
    root = etree.fromstring(html.encode(), etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True,
                                                            huge_tree=True))  # fmt: skip
    if root is None:
        return Page("", None, None)
    title = _title(root)
    language = (root.get("lang") or "").strip().partition("-")[0].lower()
    for element in list(root.iter(etree.Element)):
        if _is_boilerplate(element):
            _remove(element)
    _settle_main(root)
    for element in list(root.iter("table")):
        if element.get("role") == "presentation" or _is_layout(element):
            _unwrap_table(element)
    for element in root.iter("ol"):
        _number(element)
    for element in root.iter(*_RENAMED):
        element.tag = _RENAMED[element.tag]
    _flatten(root)
    return Page(
        etree.tostring(root, encoding="unicode", method="html"),
        title,
        language if _LANGUAGE.fullmatch(language) else None,
    )


def table_pieces(html: str, page: int | None, *, named: bool) -> Iterator[Piece]:
    """A table of the partitioner as one line a row; its caption, and tables of one column, as paragraphs.

    Where the format marks no column names (`named` is false), a first row that reads like them is taken for them.
    """
    table = etree.fromstring(html, etree.HTMLParser(huge_tree=True))
    for caption in table.iter("caption"):
        yield Piece(BlockKind.PARAGRAPH, _line(caption), page=page)
    rows = [(row, [_line(cell) for cell in row]) for row in table.iter("tr")]
    rows = [(row, cells) for row, cells in rows if any(cells)]
    if all(len([cell for cell in cells if cell]) <= 1 for _, cells in rows):
        yield from (Piece(BlockKind.PARAGRAPH, " ".join(cells).strip(), page=page) for _, cells in rows)
        return
    header = 0
    while header < len(rows) - 1 and all(cell.tag == "th" for cell in rows[header][0]):
        header += 1
    if not named and header == 0 and len(rows) > 1 and names_columns(rows[0][1]):
        header = 1
    text = "\n".join(" | ".join(cells) for _, cells in rows)
    yield Piece(BlockKind.TABLE, text, page=page, header_lines=header)


def _line(element: etree._Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _title(root: etree._Element) -> str | None:
    for path in ("head/title", ".//h1"):
        found = root.find(path)
        if found is not None and (text := _line(found).rstrip("¶ ")):
            return text
    return None


def _is_boilerplate(element: etree._Element) -> bool:
    """Whether an element is no part of the document. Inside main or article, header and footer are."""
    tag = element.tag
    if tag in _REMOVED or element.get("role") in _ROLES or "hidden" in element.attrib:
        return True
    classes = set((element.get("class") or "").lower().split())
    if tag == "aside":
        role, types = element.get("role") or "", (element.get("epub:type") or "").lower().split()
        return role != "note" and not role.startswith("doc-") and not classes.union(types) & _NOTES
    if tag in ("header", "footer"):
        return not any(above.tag in ("main", "article", "section") for above in element.iterancestors())
    return bool(classes & _CLASSES) and tag not in ("body", "main", "article")


def _remove(element: etree._Element) -> None:
    """Take an element out, but not the text behind it, nor a main or only heading inside a page's header."""
    parent = element.getparent()
    if parent is None:
        return
    if element.tag in ("header", "form") and (heading := element.find(".//h1")) is not None:
        heading.tail = None
        element.addprevious(heading)
    before = element.getprevious()
    tail = " " + element.tail if element.tail else " "
    if before is None:
        parent.text = (parent.text or "") + tail
    else:
        before.tail = (before.tail or "") + tail
    element.tail = None
    parent.remove(element)


def _settle_main(root: etree._Element) -> None:
    """Leave of the body its main parts, unless there is more text beside them; they become parts like any other."""
    body = root.find("body")
    mains = [element for element in root.iter(etree.Element) if _is_main(element)]
    if body is None or not mains:
        return
    outermost = [main for main in mains if not any(map(_is_main, main.iterancestors()))]
    inside = sum(_letters(main) for main in outermost)
    if 2 * inside >= _letters(body):
        for main in outermost:
            main.tail = None
        body.text = None
        body[:] = outermost
    for main in root.iter("main"):
        main.tag = "div"


def _is_main(element: etree._Element) -> bool:
    return bool(element.tag == "main" or (element.get("role") == "main" and element.tag not in ("html", "body")))


def _letters(element: etree._Element) -> int:
    return len("".join("".join(element.itertext()).split()))


def _is_layout(table: etree._Element) -> bool:
    return table.find(".//th") is None and bool(table.xpath(_INSIDE_LAYOUT))


def _unwrap_table(table: etree._Element) -> None:
    """The table and its parts as plain blocks; tables within it stay what they are."""
    for part in list(table.iter(*_TABLE_PARTS)):
        if part.tag != "table" and next(part.iterancestors("table")) is table:
            part.tag = "div"
    # Last: the parts are known by it.
    table.tag = "div"


def _number(ordered: etree._Element) -> None:
    """Write the numbers of an ordered list into its text: "step 3" is asked for by its number."""
    number = _counted(ordered.get("start"), 1)
    for item in ordered.iterchildren("li"):
        number = _counted(item.get("value"), number)
        holder = item
        while not (holder.text or "").strip() and len(holder) and holder[0].tag in ("p", "div"):
            holder = holder[0]
        holder.text = f"{number}. {(holder.text or '').lstrip()}"
        number += 1


def _counted(said: str | None, otherwise: int) -> int:
    return int(said) if said and said.isdecimal() and len(said) < _MOST_DIGITS else otherwise


def _flatten(root: etree._Element) -> None:
    deep: list[etree._Element] = []
    level, depth = [root], 0
    while level:
        depth += 1
        if depth == _DEEPEST:
            deep = level
        if depth > _REFUSED_DEPTH:
            raise UnreadableError(f"the page nests over {_REFUSED_DEPTH} elements", reason="too_deep")
        level = [child for element in level for child in element]
    for element in deep:
        text, tail = " ".join(element.itertext()), element.tail
        for child in list(element):
            element.remove(child)
        element.text, element.tail = text, tail
