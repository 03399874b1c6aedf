"""XML that may be hostile, parsed without entities, external files or a network; and documents of any vocabulary as
pieces: titles are headings, records of plain fields are "field: value" lines, everything else is paragraphs.
"""

from collections.abc import Iterator

from lxml import etree  # type: ignore[import-untyped]

from schemas.errors import UnreadableError
from streams.core.blocks import BlockKind, Piece
from streams.parse.reading import Reading

_ENTITY = "<!ENTITY"
_TITLES = frozenset({"title", "head", "heading", "headline", "caption"})
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
    return " ".join("".join(element.itertext()).split())


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
    if not children or _is_mixed(element, children):
        yield Piece(BlockKind.PARAGRAPH, line(element))
        return
    title = next((child for child in children if local(child).lower() in _TITLES and line(child)), None)
    if title is not None:
        yield Piece(BlockKind.HEADING, line(title), level)
        children.remove(title)
    if len(children) > 1 and not any(len(child) for child in children) and _is_record(children):
        fields = ((local(child), line(child)) for child in children)
        yield Piece(BlockKind.PARAGRAPH, "\n".join(f"{name}: {value}" for name, value in fields if value))
    else:
        for child in children:
            yield from _pieces(child, min(level + 1, 6) if title is not None else level)


def _is_mixed(element: etree._Element, children: list[etree._Element]) -> bool:
    """Whether text stands between the children: then they are words of it."""
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in children)


def _is_record(children: list[etree._Element]) -> bool:
    """Whether the fields are told apart by their names; paragraphs are not."""
    names = [local(child) for child in children]
    return len(set(names)) * 2 > len(names)
