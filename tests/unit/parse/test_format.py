"""Which format a document is in, and its bytes as text."""

import pytest

from schemas.errors import UnreadableError
from streams.parse.charset import decode
from streams.parse.format import Format, format_of
from tests.unit.parse.corpus import ENGLISH, FORMATS, zipped


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
        (b"x", "text/x-python", "a.py", Format.TEXT),
        (b"<!doctype html><p>x", "text/plain", "a.txt", Format.HTML),
        (b"<?xml version='1.0'?><a/>", "text/plain", "a.txt", Format.XML),
        (b"<?xml version='1.0'?><!DOCTYPE html><html>", "application/xml", "a.xml", Format.HTML),
        (b"{\\rtf1 x}", "application/msword", "a.doc", Format.RTF),
        (b"\xef\xbb\xbf\r\n%PDF-1.7", "text/html", "a.html", Format.PDF),
        (b"junk\n%PDF-1.7", "application/pdf", "a", Format.PDF),
        (b"junk\n%PDF-1.7", None, "a.pdf", Format.PDF),
        (b"A file begins with %PDF-1.7.", "text/markdown", "a.md", Format.MARKDOWN),
        (b"A file begins with %PDF-1.7.", None, "a.txt", Format.TEXT),
        (b"%PDF-kit is a library.", "text/plain", "a.txt", Format.TEXT),
        (b"a;b\r\n1;2\r\n", "application/vnd.ms-excel", "a.csv", Format.CSV),
        (b"a\tb\r\n1\t2\r\n", "application/vnd.ms-excel", "a.tsv", Format.TSV),
        (b"<html><table>", "application/vnd.ms-excel", "a.xls", Format.HTML),
        (b"just words", "application/pdf", "a.pdf", Format.TEXT),
        (b"just words", None, "a.docx", Format.TEXT),
        (b"From: a@b.test\r\nTo: c@d.test\r\nX-Other: e\r\n f\r\n\r\nHello", None, "export", Format.EML),
        (b"From: here\nto: there\nand back", None, "letter", Format.TEXT),
        (b"Q: one\nA: two\nQ: three\n", None, "faq", Format.TEXT),
        (b"x", "application/x-ndjson", "a", Format.JSON),
    ],
)
def test_bytes_beyond_doubt_decide_then_the_declared_type_then_the_suffix_then_the_start(
    body: bytes, content_type: str | None, name: str, expected: Format
) -> None:
    assert format_of(body, content_type, name) is expected


@pytest.mark.parametrize(
    ("body", "content_type", "named"),
    [
        (b"\x89PNG\r\n\x1a\n", None, "'image/png'"),
        (b"GIF89a", "text/plain", "'image/gif'"),
        (b"\x1f\x8b\x08", "application/octet-stream", "'application/gzip'"),
        (zipped({"a.txt": "words"}), "application/octet-stream", "'application/zip'"),
        (b"\x00\x01\x02\x03" * 30, None, "'application/octet-stream'"),
        (b"x", "image/x\x1b[31m" + "y" * 500, "'image/x[31m"),
    ],
)
def test_another_type_is_refused_with_its_name_and_those_supported(
    body: bytes, content_type: str | None, named: str
) -> None:
    with pytest.raises(UnreadableError, match="supported are text, markdown") as caught:
        format_of(body, content_type, "a")
    assert caught.value.reason == "unsupported_type"
    assert named in str(caught.value)
    assert len(str(caught.value)) < 350


@pytest.mark.parametrize(
    ("body", "content_type", "kind", "expected"),
    [
        ("naïve – 泵".encode(), None, Format.TEXT, "naïve – 泵"),
        (b"\xef\xbb\xbfmark", "text/plain; charset=latin-1", Format.TEXT, "mark"),
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


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx", "odt", "epub", "msg", "rtf", "pdf"])
@pytest.mark.parametrize(("content_type", "name"), [("text/plain", "a.txt"), ("image/png", "a"), (None, "a.html")])
def test_a_file_is_what_its_bytes_say_whatever_it_is_called(kind: str, content_type: str | None, name: str) -> None:
    assert format_of(FORMATS[kind].make(ENGLISH), content_type, name) == kind


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"\x00\x00\x00\x01 no", "application/pdf", "malformed"),
        (b"\x93\xc4noise without a null\xfe", "application/pdf", "malformed"),
        (zipped({"word/document.xml": "x" * 500})[:-30], None, "malformed"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), None, "encrypted"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "WordDocument".encode("utf-16-le"), None, "unsupported_type"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", None, "unsupported_type"),
    ],
)
def test_what_is_damaged_locked_or_too_old_says_so(body: bytes, content_type: str | None, reason: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        format_of(body, content_type, "a")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Die Pumpe wird jedes Quartal von zwei Technikern gewartet, außer an Feiertagen. Größere Schäden melden.",
         "cp1252"),
        ("Насос обслуживают два инженера каждый квартал. О крупных повреждениях нужно сообщать.", "cp1251"),
        ("Čerpadlo každé čtvrtletí udržují dva technici. Větší škody je nutné ihned hlásit, kromě svátků.", "cp1250"),
        ("ポンプは四半期ごとに二人の技術者が点検します。大きな故障は直ちに報告してください。", "cp932"),
        ("泵每季度由两名工程师维修。重大损坏必须立即报告，节假日除外。联系电话见手册。", "gb18030"),
        ("펌프는 분기마다 두 명의 기술자가 점검합니다. 큰 손상은 즉시 보고해야 합니다.", "cp949"),
        ("المضخة تخضع للصيانة كل ثلاثة أشهر. يجب الإبلاغ عن الأضرار الكبيرة فورا.", "cp1256"),
    ],
)  # fmt: skip
def test_an_encoding_that_nothing_declares_is_recognised_where_it_is_clear(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), None, Format.TEXT) == text
