"""The text layer of PDFs as lines with their places. The one module that knows pypdfium2; nothing is rendered and
nothing in the file is run.
"""

import math
from collections.abc import Iterator

import pypdfium2
from pypdfium2 import raw

from schemas.errors import UnreadableError
from streams.parse.layout import pieces_of
from streams.parse.limits import Limits
from streams.parse.page_edges import Line
from streams.parse.reading import Reading

_NOT_TITLES = (
    "microsoft",
    "untitled",
    "powerpoint",
    "unbenannt",
    ".doc",
    ".indd",
    ".ppt",
    ".xls",
    ".tex",
    ".pdf",
    ":\\",
)
_FEWEST_LETTERS = 2


def read(body: bytes, limits: Limits) -> Reading:
    """Raises UnreadableError; reason encrypted, malformed, no_text_layer or too_many_pages."""
    try:
        document = pypdfium2.PdfDocument(body)
    except pypdfium2.PdfiumError:
        if raw.FPDF_GetLastError() in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            raise UnreadableError("the PDF is encrypted: send it without a password", reason="encrypted") from None
        raise UnreadableError("the PDF is truncated or damaged: send it again", reason="malformed") from None
    try:
        limits.hold_pages(len(document), "the PDF has {} pages")
        pages = [list(_lines(document, number)) for number in range(len(document))]
        title = _title(document)
    finally:
        document.close()
    if not pages:
        raise UnreadableError("the PDF is damaged: it has no pages", reason="malformed")
    if sum(map(str.isalnum, "".join(line.text for page in pages for line in page[:50]))) < _FEWEST_LETTERS:
        raise UnreadableError(
            "the PDF has no text layer (a scan): run text recognition over it first", reason="no_text_layer"
        )
    pieces = pieces_of(pages)
    return Reading(pieces, title or next((piece.text for piece in pieces[:1] if piece.level == 1), None))


def _lines(document: pypdfium2.PdfDocument, number: int) -> Iterator[Line]:
    try:
        page = document[number]
        letters = page.get_textpage()
    except pypdfium2.PdfiumError:
        # A single broken page costs itself, not the document.
        return
    text = letters.get_text_range() if letters.count_chars() else ""
    place = 0
    for part in text.split("\r\n"):
        stripped = part.strip()
        if stripped:
            first = place + part.index(stripped)
            yield _line(letters, stripped, first, number + 1)
        place += len(part) + 2
    letters.close()
    page.close()


def _line(letters: pypdfium2.PdfTextPage, text: str, first: int, page: int) -> Line:
    """A line with its place; where PDFium cannot tell, it lies at the page's foot and has no size."""
    begin = raw.FPDFText_GetCharIndexFromTextIndex(letters, first)
    end = raw.FPDFText_GetCharIndexFromTextIndex(letters, first + len(text) - 1)
    shown = " ".join(text.replace("\ufffe", "-").replace("\x02", "-").split())
    # A bullet or a quote may be set in another size than the words behind it.
    letter = next((place for place, one in enumerate(text) if one.isalnum()), 0)
    telling = raw.FPDFText_GetCharIndexFromTextIndex(letters, first + letter)
    try:
        left = letters.get_charbox(max(begin, 0), loose=True)[0]
        _, bottom, _, top = letters.get_charbox(max(telling, 0), loose=True)
        right = letters.get_charbox(max(end, 0), loose=True)[2]
    except pypdfium2.PdfiumError:
        return Line(shown, page, 0.0, 0.0, 0.0, 0.0)
    size = top - bottom
    return Line(shown, page, left, right, bottom, size if math.isfinite(size) else 0.0)


def _title(document: pypdfium2.PdfDocument) -> str | None:
    """What the file says its title is, if that is one: programs write file names there."""
    title = " ".join(document.get_metadata_value("Title").split())
    return title if title and not any(word in title.lower() for word in _NOT_TITLES) else None
