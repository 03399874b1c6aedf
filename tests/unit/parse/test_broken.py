"""Files as they should not be: each is read or refused with a reason, whatever is wrong with it."""

import io
import random
import struct
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from schemas.errors import UnreadableError
from streams.parse.document import read_document
from streams.parse.limits import Limits
from tests.unit.parse.corpus import ENGLISH, FORMATS, docx, epub, markdown, message, odt, pdf, xlsx, zipped
from tests.unit.parse.pdf_file import pdf_file

REASONS = frozenset({"empty", "malformed", "encrypted", "invalid_encoding", "unsupported_type", "archive_bomb",
                     "xml_entities", "too_deep", "no_text_layer", "mail_loop"})  # fmt: skip


def reason(body: bytes, content_type: str | None = None, limits: Limits | None = None) -> str:
    with pytest.raises(UnreadableError) as caught:
        read_document(body, content_type, "x", limits)
    assert len(str(caught.value)) < 400
    return caught.value.reason


def outcome(body: bytes, content_type: str) -> str:
    try:
        read_document(body, content_type, "x")
    except UnreadableError as error:
        return error.reason
    return "read"


def damaged(good: bytes, seed: int) -> Iterator[bytes]:
    """Cut off at every tenth, bits flipped, a part lost, a part three times."""
    dice = random.Random(seed)
    yield from (good[: len(good) * tenth // 10] for tenth in range(10))
    for flips in (1, 1, 1, 3, 3, 20, 20, 200):
        flipped = bytearray(good)
        for _ in range(flips):
            flipped[dice.randrange(len(good))] ^= 1 << dice.randrange(8)
        yield bytes(flipped)
    for _ in range(4):
        begin, end = sorted((dice.randrange(len(good)), dice.randrange(len(good))))
        yield good[:begin] + good[end:]
        yield good[:begin] + good[begin:end] * 3 + good[end:]


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_a_damaged_file_is_read_or_refused_with_a_reason(kind: str) -> None:
    for body in damaged(FORMATS[kind].make(ENGLISH), seed=20261121):
        assert outcome(body, FORMATS[kind].content_type) in {*REASONS, "read"}


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_a_file_of_another_kind_than_declared_is_read_as_what_it_is(kind: str) -> None:
    assert read_document(docx(ENGLISH), FORMATS[kind].content_type, "x").kind == "docx"
    assert read_document(pdf(ENGLISH), FORMATS[kind].content_type, "x").kind == "pdf"


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_a_file_without_a_byte_is_empty_whatever_it_is_called(kind: str) -> None:
    assert reason(b"", FORMATS[kind].content_type) == "empty"


def bomb(member: str, megabytes: int) -> bytes:
    return zipped({"[Content_Types].xml": "<Types/>", member: b"0" * (megabytes * 1024 * 1024)})


@pytest.mark.parametrize("member", ["word/document.xml", "xl/workbook.xml", "ppt/presentation.xml"])
def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(member: str) -> None:
    assert reason(bomb(member, 3), limits=Limits(unpacked_mb=2)) == "archive_bomb"
    assert reason(bomb(member, 8)) == "archive_bomb"


def test_an_archive_of_very_many_members_is_a_bomb() -> None:
    assert reason(zipped({f"word/{number}": "" for number in range(20_001)})) == "archive_bomb"


def test_a_member_that_unpacks_to_more_than_it_says_is_read_no_further() -> None:
    body = bytearray(zipped({"mimetype": "application/epub+zip", "META-INF/container.xml": b"<a>" * 2_000_000}))
    size = struct.pack("<I", 6_000_000)
    assert body.count(size) == 2
    assert reason(bytes(body).replace(size, struct.pack("<I", 100))) == "malformed"


def locked(body: bytes) -> bytes:
    """An archive whose members say they need a password."""
    marked = bytearray(body)
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = marked.find(signature)
        while at >= 0:
            marked[at + place] |= 1
            at = marked.find(signature, at + 1)
    return bytes(marked)


@pytest.mark.parametrize("make", [docx, xlsx])
def test_a_locked_archive_says_it_is_encrypted(make: object) -> None:
    assert callable(make)
    assert reason(locked(make(ENGLISH))) == "encrypted"


def test_a_locked_document_of_open_office_says_it_is_encrypted() -> None:
    manifest = "<manifest:manifest xmlns:manifest='x'><manifest:encryption-data/></manifest:manifest>"
    assert reason(with_member(odt(ENGLISH), "META-INF/manifest.xml", manifest)) == "encrypted"


def test_a_protected_book_says_it_is_encrypted() -> None:
    method = "<EncryptionMethod Algorithm='http://www.w3.org/2001/04/xmlenc#aes256-cbc'/>"
    assert reason(with_member(epub(ENGLISH), "META-INF/encryption.xml", method)) == "encrypted"


def with_member(body: bytes, name: str, content: str) -> bytes:
    file = io.BytesIO(body)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def test_a_pdf_with_a_password_says_it_is_encrypted() -> None:
    secret = b"<" + b"11" * 32 + b">"
    lock = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O %s/U %s>>/ID[<11><11>]" % (secret, secret)
    assert reason(pdf(ENGLISH).replace(b"/Root 1 0 R", b"/Root 1 0 R" + lock)) == "encrypted"


def test_a_scan_says_it_has_no_text() -> None:
    assert reason(pdf_file([[], []])) == "no_text_layer"


def test_a_pdf_of_too_many_pages_names_the_limit() -> None:
    assert reason(pdf(ENGLISH), limits=Limits(pages=1)) == "too_many_pages"


def test_a_document_of_too_many_parts_names_the_limit() -> None:
    assert reason(b"one\n\ntwo\n\nthree", "text/plain", Limits(elements=2)) == "too_many_elements"
    assert reason(b"a,b\n1,2\n3,4\n", "text/csv", Limits(elements=2)) == "too_many_elements"


LAUGHS = (
    "<!DOCTYPE a [<!ENTITY b 'ha'>" + "".join(f"<!ENTITY b{n} '{f'&b{n - 1 or str()};' * 10}'>" for n in range(1, 10))
    + "]><a>&b9;</a>"
)  # fmt: skip
OUTSIDE = "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"


@pytest.mark.parametrize("xml", [LAUGHS, OUTSIDE])
def test_entities_are_never_expanded(xml: str) -> None:
    assert reason(b"<?xml version='1.0'?>" + xml.encode(), "application/xml") == "xml_entities"
    assert reason(f"<?xml version='1.0' encoding='utf-16'?>{xml}".encode("utf-16"), "text/xml") == "xml_entities"
    inside = zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": xml})
    assert reason(inside) == "xml_entities"


@pytest.mark.parametrize("xml", [LAUGHS, OUTSIDE])
def test_entities_in_office_files_and_pages_bring_nothing_in(xml: str) -> None:
    member = xml.replace("<a>", "<w:document xmlns:w='x'><w:body>").replace("</a>", "</w:body></w:document>")
    body = zipped({**members(docx(ENGLISH)), "word/document.xml": member})
    assert reason(body) in ("malformed", "empty")
    assert "root:" not in read_document(xml.encode() + b"<p>words", "text/html", "x").text


def members(body: bytes) -> dict[str, str | bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_nesting_beyond_reason_is_refused() -> None:
    assert reason(b"<?xml version='1.0'?>" + b"<a>" * 5000, "application/xml") == "too_deep"
    assert reason(b"[" * 100_000, "application/json") == "too_deep"
    assert reason(b'{"a":' * 500 + b"1" + b"}" * 500, "application/json") == "too_deep"


def wrapped(mail: EmailMessage, times: int) -> EmailMessage:
    for _ in range(times):
        outer = message(ENGLISH)
        outer.add_attachment(mail)
        mail = outer
    return mail


def test_messages_within_messages_are_read_as_deep_as_the_limit() -> None:
    assert len(read_document(bytes(wrapped(message(ENGLISH), 3)), "message/rfc822", "x").parts) == 3
    assert reason(bytes(wrapped(message(ENGLISH), 8)), "message/rfc822") == "mail_loop"


def test_a_message_of_very_many_parts_is_refused() -> None:
    many = b"".join(b"--x\r\n\r\na\r\n" for _ in range(2000))
    body = b"From: a@b.test\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + many + b"--x--\r\n"
    assert reason(body, "message/rfc822") == "mail_loop"


def test_an_attachment_that_cannot_be_read_leaves_its_name() -> None:
    mail = message(ENGLISH)
    mail.add_attachment(b"\x89PNG\r\n\x1a\n", maintype="image", subtype="png", filename="pump.png")
    mail.add_attachment(markdown(ENGLISH), maintype="text", subtype="markdown", filename="manual.md")
    document = read_document(bytes(mail), "message/rfc822", "x")
    left = "Attachment: pump.png (not read: unsupported_type)"
    assert [block.part for block in document.blocks if block.text == left] == [0]
    assert document.unread == ("unsupported_type",)
    assert [part.title for part in document.parts] == ["manual.md"]
    assert "Close the large valve." in document.text


def test_a_message_of_messages_with_over_a_thousand_attachments_in_all_is_refused() -> None:
    outer = message(ENGLISH)
    for _ in range(4):
        inner = message(ENGLISH)
        for number in range(260):
            inner.add_attachment("words", filename=f"{number}.txt")
        outer.add_attachment(inner)
    assert reason(bytes(outer), "message/rfc822") == "too_many_elements"


def test_a_message_in_an_unknown_charset_is_still_read() -> None:
    body = b"From: a@b.test\r\nSubject: x\r\nContent-Type: text/plain; charset=klingon\r\n\r\nwords of it \xff\r\n"
    assert "words of it" in read_document(body, "message/rfc822", "x").text
