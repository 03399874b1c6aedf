"""XML that may be hostile, parsed without entities, external files or a network; and documents of any vocabulary as
pieces: titles are headings, records of plain fields and attributes are "field: value" lines, everything else is
paragraphs.
"""

import re
from collections.abc import Iterator
from html import unescape

from lxml import etree  # type: ignore[import-untyped]

from schemas.errors import UnreadableError
from streams.core.blocks import BlockKind, Piece
from streams.parse.reading import Reading

_ENTITY = "<!ENTITY"
_SPACE = re.compile(r"\s+")
_TITLES = frozenset({"title", "head", "heading", "headline", "caption"})
# Elements within words, of the usual vocabularies (XHTML, DocBook, DITA, TEI, JATS); any other parts what it holds.
_INLINE = frozenset({"a", "abbr", "acronym", "b", "bold", "cite", "code", "command", "em", "emph", "emphasis",
                     "filename", "foreign", "g", "hi", "i", "italic", "keyword", "link", "literal", "mark", "monospace",
                     "ph", "phrase", "q", "quote", "ref", "s", "small", "sc", "span", "strong", "sub", "subscript",
                     "sup", "superscript", "term", "tspan", "tt", "u", "ulink", "uicontrol", "underline",
                     "xref"})  # fmt: skip
# Attributes that say how and not what, where text or a title says what.
_PLUMBING = frozenset({"class", "style", "id", "role"})
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def parsed(source: bytes | str) -> etree._Element:
    """The root of an XML document. Raises UnreadableError; reason malformed, xml_entities or too_deep."""
    if isinstance(source, str):
        source = source.encode()
    if any(_ENTITY.encode(encoding) in source for encoding in ("ascii", "utf-16-le", "utf-16-be")):
        raise UnreadableError(
            "the XML declares entities, which are never expanded: send it without", reason="xml_entities"
        )
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(source, parser)
    except etree.XMLSyntaxError as error:
        if "depth" in str(error).lower():
            raise UnreadableError("the XML nests over 256 elements", reason="too_deep") from None
        line = error.position[0] if error.position else 0
        raise UnreadableError(f"the XML is not well-formed at line {line}", reason="malformed") from None


def local(element: etree._Element) -> str:
    """An element's name without its namespace."""
    return str(etree.QName(element).localname) if isinstance(element.tag, str) else ""


def line(element: etree._Element) -> str:
    """All text of an element in one line."""
    return " ".join(_spoken(element).split())


def _spoken(element: etree._Element) -> str:
    """All text of an element; what is no part of a word stands in lines of its own."""
    parts: list[str] = []
    for event, inside in etree.iterwalk(element, events=("start", "end")):
        text = inside.text if event == "start" else inside.tail if inside is not element else ""
        if not isinstance(inside.tag, str):
            # An entity that nothing declares: those of HTML are understood.
            text = unescape(text or "")
        elif inside is not element and local(inside).lower() not in _INLINE:
            parts.append("\n")
        parts.append(_SPACE.sub(" ", text or ""))
    lines = "".join(parts).split("\n")
    return "\n".join(said for one in lines if (said := " ".join(one.split())))


def read(text: str) -> Reading:
    """A document of any vocabulary. Raises UnreadableError as `parsed` does."""
    # The declaration's encoding was right for the bytes, not for this text.
    start = text.find("?>") + 2 if text.lstrip().startswith("<?xml") else 0
    root = parsed(text[start:].strip() or "<empty/>")
    pieces = list(_pieces(root, 1))
    title = next((piece.text for piece in pieces if piece.kind is BlockKind.HEADING), None)
    return Reading(pieces, title, (root.get(_LANGUAGE) or "").partition("-")[0].lower() or None)


def _pieces(element: etree._Element, level: int) -> Iterator[Piece]:
    children = [child for child in element if isinstance(child.tag, str)]
    mixed = not children or _is_mixed(element, children)
    title = None if mixed else next((one for one in children if local(one).lower() in _TITLES and line(one)), None)
    if title is not None:
        yield Piece(BlockKind.HEADING, line(title), level)
        children.remove(title)
    said = _spoken(element) if mixed else ""
    attributes = _attributes(element, told=bool(said) or title is not None)
    yield Piece(BlockKind.PARAGRAPH, "\n".join([said, *attributes]).strip())
    if mixed:
        return
    if len(children) > 1 and not any(len(child) for child in children) and _is_record(children):
        yield Piece(BlockKind.PARAGRAPH, "\n".join(field for child in children for field in _fields(child)))
    else:
        for child in children:
            yield from _pieces(child, min(level + 1, 6) if title is not None else level)


def _fields(child: etree._Element) -> Iterator[str]:
    """What a field of a record says: its text, and its attributes behind its name."""
    value = line(child)
    if value:
        yield f"{local(child)}: {value}"
    yield from (f"{local(child)} {attribute}" for attribute in _attributes(child, told=bool(value)))


def _attributes(element: etree._Element, *, told: bool) -> Iterator[str]:
    """Attributes as "name: value", but for those of a namespace (links, schemas, languages)."""
    for name, value in element.attrib.items():
        said = " ".join(value.split())
        if said and not name.startswith("{") and not (told and name.lower() in _PLUMBING):
            yield f"{name}: {said}"


def _is_mixed(element: etree._Element, children: list[etree._Element]) -> bool:
    """Whether text stands between the children: then they are words of it."""
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in children)


def _is_record(children: list[etree._Element]) -> bool:
    """Whether the fields are told apart by their names; paragraphs are not."""
    names = [local(child) for child in children]
    empty = sum(not (child.text or "").strip() and len(child.attrib) > 0 for child in children)
    return len(set(names)) * 2 > len(names) and not empty
