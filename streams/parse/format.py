"""Which format a document is in. Pure: the bytes decide where they are unmistakable, then the declared type, then the
name's suffix, then how the text begins.
"""

import io
import re
import zipfile
from codecs import getincrementaldecoder
from enum import StrEnum
from pathlib import PurePosixPath

from schemas.errors import UnreadableError
from streams.parse import wide


class Format(StrEnum):
    """What a document was read from; the index keeps it as the chunk's kind."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    XML = "xml"
    RST = "rst"
    ORG = "org"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    DOCX = "docx"
    PPTX = "pptx"
    XLSX = "xlsx"
    ODT = "odt"
    EPUB = "epub"
    EML = "eml"
    MSG = "msg"
    RTF = "rtf"
    PDF = "pdf"


SUPPORTED = ", ".join(Format)
_OFFICE = "application/vnd.openxmlformats-officedocument."
_BY_TYPE = {
    "text/plain": Format.TEXT,
    "text/markdown": Format.MARKDOWN,
    "text/x-markdown": Format.MARKDOWN,
    "text/html": Format.HTML,
    "application/xhtml+xml": Format.HTML,
    "text/xml": Format.XML,
    "application/xml": Format.XML,
    "text/x-rst": Format.RST,
    "text/prs.fallenstein.rst": Format.RST,
    "text/org": Format.ORG,
    "text/x-org": Format.ORG,
    "text/csv": Format.CSV,
    "text/tab-separated-values": Format.TSV,
    "application/json": Format.JSON,
    "application/x-ndjson": Format.JSON,
    "application/jsonl": Format.JSON,
    f"{_OFFICE}wordprocessingml.document": Format.DOCX,
    f"{_OFFICE}presentationml.presentation": Format.PPTX,
    f"{_OFFICE}spreadsheetml.sheet": Format.XLSX,
    "application/vnd.oasis.opendocument.text": Format.ODT,
    "application/epub+zip": Format.EPUB,
    "message/rfc822": Format.EML,
    "application/vnd.ms-outlook": Format.MSG,
    "application/rtf": Format.RTF,
    "text/rtf": Format.RTF,
    "application/pdf": Format.PDF,
}
_BY_SUFFIX = {
    **{f".{kind}": kind for kind in Format},
    ".txt": Format.TEXT,
    ".md": Format.MARKDOWN,
    ".htm": Format.HTML,
    ".xhtml": Format.HTML,
    ".tab": Format.TSV,
    ".jsonl": Format.JSON,
    ".ndjson": Format.JSON,
    ".mbox": Format.EML,
}
# Formats of bytes: a text that is declared as one of them is not.
_BINARY = frozenset({Format.DOCX, Format.PPTX, Format.XLSX, Format.ODT, Format.EPUB, Format.MSG, Format.PDF})
# What says nothing: a browser's or a library's word for "some bytes".
_VAGUE_TYPES = ("", "application/octet-stream", "binary/octet-stream")
_FOREIGN = {
    b"\x89PNG\r\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"\x1f\x8b\x08": "application/gzip",
    b"BZh": "application/x-bzip2",
    b"\xfd7zXZ\x00": "application/x-xz",
    b"7z\xbc\xaf\x27\x1c": "application/x-7z-compressed",
    b"Rar!\x1a\x07": "application/vnd.rar",
    b"\x7fELF": "application/x-executable",
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Names of an OLE file's streams lie in it as UTF-16.
_OLE_STREAMS = {
    "EncryptedPackage": "encrypted",
    "__properties_version1.0": "message",
    "WordDocument": ".doc",
    "PowerPoint Document": ".ppt",
    "Workbook": ".xls",
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_MEMBERS = {"word/": Format.DOCX, "ppt/": Format.PPTX, "xl/": Format.XLSX}
_MIMETYPES = {b"application/vnd.oasis.opendocument.text": Format.ODT, b"application/epub+zip": Format.EPUB}
_PDF_START = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,1024}%PDF-\d")
# Readers of PDF accept anything before its mark; a text may be about PDF.
_PDF_WITHIN = 1024
_EXCEL = "application/vnd.ms-excel"
_TABLES = {".tsv": Format.TSV, ".tab": Format.TSV}
_START = 2048
_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(<\?xml[^>]{0,200}>\s*)?(<!--.{0,1000}?-->\s*)?<(!doctype\s+html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_XML_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml\s")
_MAIL_HEADER = re.compile(
    rb"^(?:from|to|cc|subject|date|received|return-path|message-id|mime-version|content-type|delivered-to|reply-to):"
    rb"[^\n]*\n",
    re.IGNORECASE,
)
_MAIL_START = re.compile(rb"(?:From [^\n]+\n)?((?:[A-Za-z][A-Za-z0-9-]{0,60}:[^\n]*\n(?:[ \t][^\n]*\n)*){3})")


def format_of(body: bytes, content_type: str | None, name: str) -> Format:
    """The format of a document; a declared one that the bytes contradict is not believed.

    Raises UnreadableError; reason unsupported_type, encrypted or malformed.
    """
    if kind := _by_bytes(body):
        return kind
    declared = (content_type or "").partition(";")[0].strip().lower()
    suffix = PurePosixPath(name).suffix.lower()
    if declared == _EXCEL and not _is_binary(body):
        # What browsers on Windows call a .csv where Excel is installed; workbooks are known by their bytes.
        return _by_start(body, None, else_=_TABLES.get(suffix, Format.CSV))
    if b"%PDF-" in body[:_PDF_WITHIN] and (declared == "application/pdf" or suffix == ".pdf"):
        return Format.PDF
    kind = _BY_TYPE.get(declared) or (Format.TEXT if declared.startswith("text/") else None)
    if kind is None and declared not in _VAGUE_TYPES:
        raise _unsupported(declared)
    if kind is None:
        kind = _BY_SUFFIX.get(suffix)
        if kind in (None, Format.TEXT) and _is_binary(body):
            raise _unsupported("application/octet-stream")
    if kind in _BINARY or kind is Format.RTF:
        if _is_binary(body) or not _begins_in_unicode(body):
            raise UnreadableError(f"the file is no {kind}, or is damaged at its start", reason="malformed")
        kind = None
    return _by_start(body, kind)


def _by_bytes(body: bytes) -> Format | None:
    """What the bytes are beyond doubt. Raises UnreadableError for what is beyond doubt not supported."""
    if _PDF_START.match(body):
        return Format.PDF
    if body.startswith(_ZIP):
        return _zipped(body)
    if body.startswith(_OLE):
        return _ole(body)
    if body.lstrip()[:5] == b"{\\rtf":
        return Format.RTF
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        raise _unsupported("image/webp")
    for start, foreign in _FOREIGN.items():
        if body.startswith(start):
            raise _unsupported(foreign)
    return None


def _zipped(body: bytes) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = archive.namelist()
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 100:
                kind = _MIMETYPES.get(archive.read("mimetype").strip())
                if kind is not None:
                    return kind
    except Exception:  # noqa: BLE001 - zipfile raises a dozen kinds of error over damaged archives
        raise UnreadableError("the archive is truncated or damaged: send the file again", reason="malformed") from None
    for start, kind in _MEMBERS.items():
        if any(member.startswith(start) for member in names):
            return kind
    raise _unsupported("application/zip")


def _ole(body: bytes) -> Format:
    found = next((what for name, what in _OLE_STREAMS.items() if name.encode("utf-16-le") in body), "")
    match found:
        case "message":
            return Format.MSG
        case "encrypted":
            raise UnreadableError("the file is encrypted: send it without a password", reason="encrypted")
        case "":
            raise _unsupported("application/x-ole-storage")
        case old:
            raise UnreadableError(
                f"files of Office before 2007 ({old}) cannot be read: save it as {old}x", reason="unsupported_type"
            )


def _by_start(body: bytes, kind: Format | None, *, else_: Format = Format.TEXT) -> Format:
    """A text's format: what it unmistakably begins like, where it is declared as nothing more than text."""
    if kind not in (None, Format.TEXT, Format.XML):
        return kind
    start = body[:_START]
    if encoding := wide.encoding_of(body):
        start = start.decode(encoding, "ignore").encode()
    if _HTML_START.match(start):
        return Format.HTML
    if _XML_START.match(start):
        return Format.XML
    if kind is None and (headers := _MAIL_START.match(start.replace(b"\r\n", b"\n"))):
        lines = re.split(rb"\n(?![ \t])", headers[1])
        if sum(bool(_MAIL_HEADER.match(line + b"\n")) for line in lines) >= 2:
            return Format.EML
    return kind or else_


def _is_binary(body: bytes) -> bool:
    """Whether this cannot be text in any encoding: NULs, but not those of UTF-16 and UTF-32."""
    start = body[:_START]
    return wide.has_many_nuls(start) and wide.encoding_of(body) is None


def _begins_in_unicode(body: bytes) -> bool:
    """Whether a file that is not what its name says can at least be a text."""
    if wide.encoding_of(body) is not None:
        return True
    try:
        getincrementaldecoder("utf-8")().decode(body[:_START])
    except UnicodeDecodeError:
        return False
    return True


def _unsupported(named: str) -> UnreadableError:
    shown = "".join(letter for letter in named[:80] if letter.isprintable())
    advice = "; images and scans need text recognition first" if named.startswith("image/") else ""
    return UnreadableError(
        f"content type {shown!r} cannot be read; supported are {SUPPORTED}{advice}", reason="unsupported_type"
    )
