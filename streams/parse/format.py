"""Which format a document is in, and its bytes as text. Pure: looks at the declared type, the name, the first bytes."""

import codecs
import re
from enum import StrEnum
from pathlib import PurePosixPath

from schemas.errors import UnreadableError


class Format(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"


_BY_TYPE = {
    "text/plain": Format.TEXT,
    "text/markdown": Format.MARKDOWN,
    "text/x-markdown": Format.MARKDOWN,
    "text/html": Format.HTML,
    "application/xhtml+xml": Format.HTML,
}
_BY_SUFFIX = {
    ".txt": Format.TEXT,
    ".text": Format.TEXT,
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".xhtml": Format.HTML,
}
# What says nothing: a browser's or a library's word for "some bytes".
_VAGUE_TYPES = ("", "application/octet-stream", "binary/octet-stream")
_FOREIGN = {
    b"%PDF-": "application/pdf",
    b"PK\x03\x04": "application/zip",
    b"\x89PNG": "image/png",
    b"GIF8": "image/gif",
    b"\xff\xd8\xff": "image/jpeg",
    b"\x1f\x8b": "application/gzip",
    b"{\\rtf": "application/rtf",
    b"\xd0\xcf\x11\xe0": "application/x-ole-storage",
}
_HTML_START = re.compile(
    rb"\s*(<!--.{0,1000}?-->\s*)?<(!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE | re.DOTALL
)
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:+-]+)""", re.IGNORECASE)
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:+-]+)""", re.IGNORECASE)
_XML_CHARSET = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:+-]+)""", re.IGNORECASE)
_META_WITHIN = 2048

# The encodings browsers read (WHATWG Encoding), by Python's names; others of Python's codecs do not hold text.
_ENCODINGS = re.compile(
    r"utf-8|utf-16(-[bl]e)?|ascii|iso8859-\d+|cp125\d|cp866|cp874|koi8-[ru]|mac-(roman|cyrillic)|"
    r"shift_jis|cp932|euc_jp|iso2022_jp|gb2312|gbk|gb18030|big5|big5hkscs|euc_kr|cp949"
)
# What is declared latin-1 or ascii is windows-1252 in practice, and browsers read it so.
_READ_AS = {"ascii": "cp1252", "iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932"}

_CONTROL = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127, 0xFEFF), " ")


def format_of(body: bytes, content_type: str | None, name: str) -> Format:
    """The declared type decides; without one the name's suffix; without a known one the first bytes.

    Raises UnreadableError, reason unsupported_type.
    """
    declared = (content_type or "").partition(";")[0].strip().lower()
    if declared in _BY_TYPE:
        return _BY_TYPE[declared]
    if declared not in _VAGUE_TYPES:
        raise _unsupported(declared)
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    for start, foreign in _FOREIGN.items():
        if body.startswith(start):
            raise _unsupported(foreign)
    return Format.HTML if _HTML_START.match(body[:_META_WITHIN]) else Format.TEXT


def _unsupported(named: str) -> UnreadableError:
    shown = "".join(letter for letter in named[:80] if letter.isprintable())
    supported = ", ".join(_BY_TYPE)
    return UnreadableError(
        f"content type {shown!r} cannot be read; supported are {supported}", reason="unsupported_type"
    )


def decode(body: bytes, content_type: str | None, kind: Format) -> str:
    """The body as text with `\\n` line ends and without control characters.

    A byte order mark decides, then the charset of the content type, then (HTML) the one the document declares, else
    UTF-8.
    Raises UnreadableError, reason invalid_encoding.
    """
    charset = _charset(body, content_type, kind)
    try:
        encoding = codecs.lookup(charset).name
        if not _ENCODINGS.fullmatch(encoding):
            raise LookupError
        text = body.decode(_READ_AS.get(encoding, encoding))
    except LookupError:
        raise UnreadableError(
            f"charset {charset[:40]!r} is not known; send the document as UTF-8", reason="invalid_encoding"
        ) from None
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"the document is not valid {charset[:40]} at byte {error.start}; declare its charset or send it as UTF-8",
            reason="invalid_encoding",
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROL)


def _charset(body: bytes, content_type: str | None, kind: Format) -> str:
    if body.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if declared := _CHARSET.search(content_type or ""):
        return declared[1]
    if kind is Format.HTML:
        start = body[:_META_WITHIN]
        if within := _XML_CHARSET.search(start) or _META_CHARSET.search(start):
            found = within[1].decode("ascii")
            # A declaration that could be read byte by byte is no UTF-16.
            return "utf-8" if found.lower().startswith("utf-16") else found
    return "utf-8"
