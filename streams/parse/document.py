"""One document from bytes to text with structure: the whole way, in this process. `ParserPool` runs it in another."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from schemas.errors import UnreadableError
from schemas.records import Part
from streams.core.blocks import BlockKind, ParsedDocument, Piece, assemble
from streams.parse import quiet
from streams.parse.charset import decode, plain
from streams.parse.format import Format, format_of
from streams.parse.limits import Limits
from streams.parse.reading import Reading

_LANGUAGE = re.compile(r"[a-z]{2,8}")
_MOST_PARTS = 1000
"""Every document row says the names of all."""


def read_document(body: bytes, content_type: str | None, name: str, limits: Limits | None = None) -> ParsedDocument:
    """Parse a document of any supported format. Opens no connection.

    Raises UnreadableError; reason unsupported_type, invalid_encoding, empty, encrypted, malformed, no_text_layer,
    archive_bomb, xml_entities, too_deep, too_many_pages, too_many_elements or mail_loop.
    """
    _make_ready()
    from streams.parse import language

    kind = format_of(body, content_type, name)
    reading = _Reader(limits or Limits()).read(kind, body, content_type)
    parts = [Part(title=plain(one.title), kind=one.kind) for one in reading.attached]
    title = plain(reading.title) if reading.title else None
    document = assemble(_pieces(reading), title=title, language=_code(reading.language), kind=kind, parts=parts)
    if not document.blocks:
        raise UnreadableError(
            "there is no text in the document: fill it at its source, or delete it there", reason="empty"
        )
    document = replace(document, unread=tuple(reading.unread))
    if document.language is None:
        document = replace(document, language=language.detected(document.blocks))
    return document


def _pieces(reading: Reading) -> Iterator[Piece]:
    """All of it as plain text, the documents within it behind it as its parts."""
    yield from map(_plain, reading.pieces)
    for part, one in enumerate(reading.attached, start=1):
        for piece in one.pieces:
            yield replace(_plain(piece), part=part)


def _plain(piece: Piece) -> Piece:
    text = plain(piece.text)
    if text == piece.text:
        return piece
    breaks = tuple((len(plain(piece.text[:at])), page) for at, page in piece.page_breaks)
    return replace(piece, text=text, page_breaks=breaks)


def _code(language: str | None) -> str | None:
    """What every chunk row would carry is a language (RFC 5646's primary subtag), or nothing."""
    return language if language and _LANGUAGE.fullmatch(language) else None


@dataclass(slots=True)
class _Reader:
    """One document and all within it, under one set of limits."""

    limits: Limits
    depth: int = 0
    elements: int = 0

    def read(self, kind: Format, body: bytes, content_type: str | None) -> Reading:
        reading = self._binary(kind, body) or self._text(kind, decode(body, content_type, kind))
        if self.depth == 0:
            self._count(reading)
        return reading

    def _inner(self, body: bytes, content_type: str | None, name: str) -> Reading:
        """A document within this one."""
        self.depth += 1
        try:
            if self.depth > self.limits.nesting:
                raise UnreadableError(
                    f"messages and attachments lie over {self.limits.nesting} deep within each other "
                    "(MILLSTREAM_PARSE_NESTING)",
                    reason="mail_loop",
                )
            if not body.strip():
                return Reading([])
            kind = format_of(body, content_type, name)
            reading = self.read(kind, body, content_type)
            self._count(reading)
            return replace(reading, kind=kind)
        finally:
            self.depth -= 1

    def _count(self, reading: Reading) -> None:
        if len(reading.attached) > _MOST_PARTS:
            raise UnreadableError(
                f"the message has over {_MOST_PARTS} attachments: split it", reason="too_many_elements"
            )
        self.elements += sum(_elements(piece) for piece in reading.pieces)
        if self.elements > self.limits.elements:
            raise UnreadableError(
                f"the document has over {self.limits.elements} paragraphs and rows (MILLSTREAM_PARSE_ELEMENTS): "
                "split it",
                reason="too_many_elements",
            )

    def _binary(self, kind: Format, body: bytes) -> Reading | None:
        """What is not read as one text."""
        from streams.parse import archive, epub, mail, odt, partition, pdf, rtf, sheets, text, word

        match kind:
            case Format.PDF:
                return pdf.read(body, self.limits)
            case Format.DOCX:
                return _titled(partition.docx_pieces(word.plain_paragraphs(archive.opened(body, self.limits), body)))
            case Format.PPTX:
                self.limits.hold_pages(archive.opened(body, self.limits).slides(), "the presentation has {} slides")
                return _titled(partition.pptx_pieces(body))
            case Format.XLSX:
                return sheets.read_workbook(body, self.limits)
            case Format.ODT:
                return odt.read(body, self.limits)
            case Format.EPUB:
                return epub.read(body, self.limits, lambda text: list(_html(text).pieces))
            case Format.EML:
                return mail.read_eml(body, self._inner)
            case Format.MSG:
                return mail.read_msg(body, self._inner)
            case Format.RTF:
                return rtf.read(body, text.read)
        return None

    def _text(self, kind: Format, text: str) -> Reading:
        from streams.parse import json_text, org, rst, sheets, xml
        from streams.parse import text as prose

        if not text.strip():
            return Reading([])
        match kind:
            case Format.HTML:
                return _html(text)
            case Format.MARKDOWN:
                return _markdown(text)
            case Format.RST:
                return _html(rst.html(text))
            case Format.ORG:
                return org.read(text)
            case Format.XML:
                return xml.read(text)
            case Format.CSV:
                return sheets.read_delimited(text)
            case Format.TSV:
                return sheets.read_delimited(text, "\t")
            case Format.JSON:
                return json_text.read(text)
        return prose.read(text)


def _elements(piece: Piece) -> int:
    return piece.text.count("\n") + 1 if piece.kind is BlockKind.TABLE else 1


def _html(text: str) -> Reading:
    from streams.parse import html, partition

    page = html.clean(text)
    return Reading(partition.html_pieces(page), page.title, page.language)


def _markdown(text: str) -> Reading:
    from streams.parse import markdown, partition

    source = markdown.source(text)
    if not source.text.strip():
        return Reading([])
    reading = markdown.read(source.text, partition.without_bullet) or _html(markdown.html(source.text))
    return Reading(reading.pieces, source.title or reading.title, source.language)


def _titled(pieces: list[Piece]) -> Reading:
    """A document whose title is its first heading."""
    return Reading(pieces, next((piece.text for piece in pieces if piece.kind is BlockKind.HEADING), None))


@cache
def _make_ready() -> None:
    """unstructured takes seconds and 180 MB to import: only a process that parses pays for it."""
    quiet.silence()
    from streams.parse import partition

    partition.make_ready()
