"""A document's bytes as text: which encoding they are in. The one module that knows charset-normalizer."""

import codecs
import re

from schemas.errors import UnreadableError
from streams.core.scripts import visible
from streams.parse import wide
from streams.parse.format import Format

_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:+-]+)""", re.IGNORECASE)
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:+-]+)""", re.IGNORECASE)
_XML_CHARSET = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:+-]+)""", re.IGNORECASE)
_WITHIN = 2048

# The encodings browsers read (WHATWG Encoding), by Python's names; others of Python's codecs do not hold text.
_ENCODINGS = re.compile(
    r"utf-8|utf-(16|32)(-[bl]e)?|ascii|iso8859-\d+|cp125\d|cp866|cp874|koi8-[ru]|mac-(roman|cyrillic)|"
    r"shift_jis|cp932|euc_jp|iso2022_jp|gb2312|gbk|gb18030|big5|big5hkscs|euc_kr|cp949"
)
# What is declared latin-1 or ascii is windows-1252 in practice, and browsers read it so.
_READ_AS = {"ascii": "cp1252", "iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932"}

# Guessed where nothing is declared: what is still met in the wild, the rest would only win by chance.
_GUESSED = ["cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256",
            "cp932", "euc_jp", "gb18030", "big5", "cp949"]  # fmt: skip
_GUESS_FROM = 64
_GUESS_WITHIN = 32_768
_MOST_CHAOS = 0.1
# Bytes that are whole characters of one of these are hardly there by chance; of the others every byte is a letter.
_TELLING = frozenset({"cp932", "euc_jp", "gb18030", "big5", "cp949"})
_LEAST_COHERENCE = 0.4

# Patterns: to translate a text that is not all ASCII costs 0.3 ms a kilobyte.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_END = re.compile("\r\n?")
# Looked for first: few texts have any.
_UNPLAIN = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def decode(body: bytes, content_type: str | None, kind: Format) -> str:
    """The body as text with `\\n` line ends and without control characters.

    A byte order mark decides, then the NULs of UTF-16 and UTF-32, then the charset of the content type, then (HTML,
    XML) the one the document declares, then whether it is UTF-8, then what it looks like, if that is clear.
    Raises UnreadableError, reason invalid_encoding.
    """
    charset, declared = _charset(body, content_type, kind)
    try:
        text = _decoded(body, charset)
    except UnicodeDecodeError as error:
        guessed = None if declared else _guess(body)
        if guessed is None:
            raise UnreadableError(
                f"the document is not valid {codecs.lookup(charset).name} at byte {error.start}; "
                "save it as UTF-8, or declare its charset (of a file, as content_type in .millstream.yaml)",
                reason="invalid_encoding",
            ) from None
        text = body.decode(guessed)
    return plain(text)


def plain(text: str) -> str:
    """A text with `\\n` line ends and without control characters, half surrogate pairs or characters nobody sees."""
    text = visible(text)
    if not _UNPLAIN.search(text):
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = visible(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return _CONTROL.sub(" ", _LINE_END.sub("\n", text))


def _decoded(body: bytes, charset: str) -> str:
    try:
        encoding = codecs.lookup(charset).name
        if not _ENCODINGS.fullmatch(encoding):
            raise LookupError
        return body.decode(_READ_AS.get(encoding, encoding))
    except LookupError:
        raise UnreadableError(
            "the charset that is declared is not known; send the document as UTF-8", reason="invalid_encoding"
        ) from None


def _charset(body: bytes, content_type: str | None, kind: Format) -> tuple[str, bool]:
    """A charset, and whether anything says so. Raises UnreadableError for NULs that are of no text."""
    if body.startswith(codecs.BOM_UTF8):
        return "utf-8", True
    if found := wide.encoding_of(body):
        return found, True
    declared = _CHARSET.search(content_type or "")
    if declared and declared[1].lower().startswith(("utf-16", "utf-32", "utf16", "utf32")):
        return declared[1], True
    if wide.has_many_nuls(body) or wide.is_mixed(body):
        raise UnreadableError(
            "the document's bytes are no text in one encoding (too many are 0); send it as UTF-8",
            reason="invalid_encoding",
        )
    if declared:
        return declared[1], True
    if kind in (Format.HTML, Format.XML):
        start = body[:_WITHIN]
        if within := _XML_CHARSET.search(start) or _META_CHARSET.search(start):
            found = within[1].decode("ascii")
            # A declaration that could be read byte by byte is no UTF-16.
            return "utf-8" if found.lower().startswith("utf-16") else found, True
    return "utf-8", False


def _guess(body: bytes) -> str | None:
    """The encoding that makes sense of the bytes, if one clearly does and there are enough of them to tell."""
    if len(body) < _GUESS_FROM or b"\0" in body:
        return None
    from charset_normalizer import from_bytes

    best = from_bytes(body[:_GUESS_WITHIN], cp_isolation=_GUESSED).best()
    if best is None or best.chaos > _MOST_CHAOS:
        return None
    if best.coherence < _LEAST_COHERENCE and best.encoding not in _TELLING:
        return None
    try:
        body.decode(best.encoding)
    except UnicodeDecodeError:
        return None
    return str(best.encoding)
