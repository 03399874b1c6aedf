"""One document from bytes to text with structure: the whole way, in this process. `ParserPool` runs it in another."""

from functools import cache

from schemas.errors import UnreadableError
from streams.core.blocks import ParsedDocument, Piece, assemble
from streams.parse import markdown, quiet
from streams.parse.format import Format, decode, format_of


def read_document(body: bytes, content_type: str | None, name: str) -> ParsedDocument:
    """Parse text, Markdown or HTML. Opens no connection.

    Raises UnreadableError; reason unsupported_type, invalid_encoding, empty or too_deep.
    """
    kind = format_of(body, content_type, name)
    text = decode(body, content_type, kind)
    pieces, title, language = _read(text, kind) if text.strip() else ([], None, None)
    document = assemble(pieces, title=title, language=language, kind=kind)
    if not document.blocks:
        raise UnreadableError("the document has no text", reason="empty")
    return document


def _read(text: str, kind: Format) -> tuple[list[Piece], str | None, str | None]:
    _make_ready()
    from streams.parse import html, partition

    match kind:
        case Format.HTML:
            page = html.clean(text)
            return partition.html_pieces(page), page.title, page.language
        case Format.MARKDOWN:
            source = markdown.source(text)
            pieces, heading = partition.markdown_pieces(source.text) if source.text.strip() else ([], None)
            return pieces, source.title or heading, source.language
        case Format.TEXT:
            pieces, heading = partition.text_pieces(text)
            return pieces, heading, None


@cache
def _make_ready() -> None:
    """unstructured takes seconds and 180 MB to import: only a process that parses pays for it."""
    quiet.silence()
    from streams.parse import partition

    partition.install_blank_pipeline()
