"""Which format a document is in, and its bytes as text."""

import pytest

from schemas.errors import UnreadableError
from streams.parse.format import Format, decode, format_of


@pytest.mark.parametrize(
    ("body", "content_type", "name", "expected"),
    [
        (b"x", "text/plain", "a.html", Format.TEXT),
        (b"x", "TEXT/Markdown; charset=utf-8", "a", Format.MARKDOWN),
        (b"x", "application/xhtml+xml", "a", Format.HTML),
        (b"x", None, "notes/README.md", Format.MARKDOWN),
        (b"x", "", "a.MARKDOWN", Format.MARKDOWN),
        (b"x", "application/octet-stream", "a.htm", Format.HTML),
        (b"<p>x", None, "a.txt", Format.TEXT),
        (b"  <!DOCTYPE html><p>x", None, "page", Format.HTML),
        (b"<!-- made by hand -->\n<html><p>x", None, "page.php", Format.HTML),
        (b"a < b and <html", None, "page", Format.TEXT),
        (b"# x", None, "42", Format.TEXT),
        (b"", None, "", Format.TEXT),
    ],
)
def test_the_declared_type_decides_then_the_suffix_then_the_first_bytes(
    body: bytes, content_type: str | None, name: str, expected: Format
) -> None:
    assert format_of(body, content_type, name) is expected


@pytest.mark.parametrize(
    ("body", "content_type", "named"),
    [
        (b"x", "application/pdf", "'application/pdf'"),
        (b"%PDF-1.7", None, "'application/pdf'"),
        (b"PK\x03\x04", "application/octet-stream", "'application/zip'"),
        (b"x", "image/x\x1b[31m" + "y" * 500, "'image/x[31m"),
    ],
)
def test_another_type_is_refused_with_its_name_and_those_supported(
    body: bytes, content_type: str | None, named: str
) -> None:
    with pytest.raises(UnreadableError, match="text/markdown") as caught:
        format_of(body, content_type, "a")
    assert caught.value.reason == "unsupported_type"
    assert named in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("body", "content_type", "kind", "expected"),
    [
        ("naïve – 泵".encode(), None, Format.TEXT, "naïve – 泵"),
        (b"\xef\xbb\xbfmark", "text/plain; charset=latin-1", Format.TEXT, " mark"),
        ("mark".encode("utf-16"), None, Format.TEXT, "mark"),
        (b"caf\xe9", "text/plain; charset=ISO-8859-1", Format.TEXT, "café"),
        (b"5 \x80", 'text/html; charset="latin1"', Format.HTML, "5 €"),
        (b"<meta charset='windows-1251'>\xcf", None, Format.HTML, "<meta charset='windows-1251'>П"),
        (
            b'<?xml version="1.0" encoding="iso-8859-15"?>\xa4',
            None,
            Format.HTML,
            '<?xml version="1.0" encoding="iso-8859-15"?>€',
        ),
        ("<meta charset=utf-16>é".encode(), None, Format.HTML, "<meta charset=utf-16>é"),
        (b"a\r\nb\rc\x00d\x1be", None, Format.TEXT, "a\nb\nc d e"),
    ],
)
def test_marks_declarations_and_utf8_decide_the_encoding(
    body: bytes, content_type: str | None, kind: Format, expected: str
) -> None:
    assert decode(body, content_type, kind) == expected


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"caf\xe9", None),
        (b"\xef\xbb\xbf\xff", None),
        (b"x", "text/plain; charset=klingon"),
        (b"78", "text/plain; charset=hex"),
        (b"x", "text/plain; charset=unicode_escape"),
        (b"\x81", "text/plain; charset=shift_jis"),
    ],
)
def test_bytes_that_are_not_what_they_claim_are_refused(body: bytes, content_type: str | None) -> None:
    with pytest.raises(UnreadableError, match="UTF-8") as caught:
        decode(body, content_type, Format.TEXT)
    assert caught.value.reason == "invalid_encoding"
