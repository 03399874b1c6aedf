"""Electronic books: the chapters in reading order, each a page of HTML; the table of contents is left out."""

import posixpath
from collections.abc import Callable
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]

from schemas.errors import UnreadableError
from streams.core.blocks import Piece
from streams.parse.archive import Archive, opened
from streams.parse.charset import decode
from streams.parse.format import Format
from streams.parse.limits import Limits
from streams.parse.reading import Reading
from streams.parse.xml import local, parsed

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"


def read(body: bytes, limits: Limits, chapter: Callable[[str], list[Piece]]) -> Reading:
    """`chapter` reads one page of HTML.

    Raises UnreadableError; reason malformed, encrypted, archive_bomb, xml_entities or too_many_pages.
    """
    archive = opened(body, limits)
    if _ENCRYPTION in archive.names and b"xmlenc#aes" in archive.read(_ENCRYPTION):
        raise UnreadableError("the book is encrypted: send it without protection", reason="encrypted")
    root = next((e.get("full-path") for e in parsed(archive.read(_CONTAINER)).iter() if local(e) == "rootfile"), None)
    if root is None:
        raise UnreadableError("the book names no content", reason="malformed")
    package = parsed(archive.read(root))
    pieces: list[Piece] = []
    chapters = _chapters(package, posixpath.dirname(root), archive)
    limits.hold_pages(len(chapters), "the book has {} chapters")
    for name in chapters:
        text = decode(archive.read(name), None, Format.HTML)
        if text.strip():
            pieces += chapter(text)
    said = {local(element): (element.text or "").strip() for element in reversed(list(package.iter()))}
    return Reading(pieces, said.get("title") or None, said.get("language", "").partition("-")[0].lower() or None)


def _chapters(package: etree._Element, folder: str, archive: Archive) -> list[str]:
    items: dict[str, str] = {}
    order: list[str] = []
    for element in package.iter():
        if local(element) == "item" and "nav" not in (element.get("properties") or "").split():
            path = unquote(element.get("href") or "").partition("#")[0]
            items[element.get("id") or ""] = posixpath.normpath(posixpath.join(folder, path))
        elif local(element) == "itemref" and element.get("linear") != "no":
            order.append(element.get("idref") or "")
    return [items[item] for item in order if item in items and items[item] in archive.names]
