"""Mail as it is sent: every part that says something is read once."""

import base64
import quopri

import pytest

from schemas.errors import UnreadableError
from streams.core.blocks import BlockKind, ParsedDocument
from streams.parse.document import read_document
from tests.unit.parse.corpus import ENGLISH, FORMATS, message


def part(content_type: str, content: str | bytes) -> bytes:
    body = content if isinstance(content, bytes) else content.encode()
    return f"Content-Type: {content_type}\r\n\r\n".encode() + body + b"\r\n"


def multipart(subtype: str, *parts: bytes, boundary: str = "x") -> bytes:
    inside = b"".join(f"--{boundary}\r\n".encode() + one for one in parts)
    return (
        f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'.encode()
        + inside
        + (f"--{boundary}--\r\n".encode())
    )


def read(body: bytes) -> ParsedDocument:
    return read_document(b"From: a@b.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n" + body, "message/rfc822", "x")


def test_a_page_and_a_list_s_footer_behind_it_are_both_read() -> None:
    page = part("text/html; charset=utf-8", "<p>The contract ends on 31 May.</p>")
    text = read(multipart("mixed", page, part("text/plain", "To unsubscribe write to the list."))).text
    assert text.index("The contract ends on 31 May.") < text.index("To unsubscribe")


def test_texts_around_a_picture_are_all_read_in_order() -> None:
    before, behind = part("text/plain", "Before the picture."), part("text/html", "<p>Behind the picture.</p>")
    text = read(multipart("mixed", before, behind, part("text/plain", "And the end."))).text
    assert text.index("Before the picture.") < text.index("Behind the picture.") < text.index("And the end.")


def test_of_alternatives_one_is_read_and_what_stands_beside_them_as_well() -> None:
    plain, page = part("text/plain", "The same words."), part("text/html", "<p>The same words.</p>")
    both = multipart("alternative", plain, multipart("related", page, boundary="z"), boundary="y")
    text = read(multipart("mixed", both, part("text/plain", "A footer."))).text
    assert (text.count("The same words."), text.count("A footer.")) == (1, 1)


def test_what_is_attached_within_an_alternative_that_is_not_read_is_kept() -> None:
    attached = part("text/csv; name=rows.csv", "state,bar\r\nidle,2\r\n")
    rich = multipart("mixed", part("text/html", "<p>The same words.</p>"), attached, boundary="y")
    text = read(multipart("alternative", part("text/plain", "The same words."), rich)).text
    assert text.count("The same words.") == 1
    assert "idle | 2" in text


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "BASE64", "8bit"])
def test_a_message_within_is_read_in_whatever_encoding_it_was_sent(encoding: str) -> None:
    within = b"From: c@d.test\r\nSubject: The quote\r\n\r\nThe price is = 5 EUR.\r\n"
    encode = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding.lower(), bytes)
    header = f"message/rfc822\r\nContent-Transfer-Encoding: {encoding}"
    document = read(multipart("mixed", part("text/plain", "See below."), part(header, encode(within))))
    assert [one.title for one in document.parts] == ["The quote.eml"]
    assert "The price is = 5 EUR." in document.text
    assert "See below." in document.text


@pytest.mark.parametrize("kind", ["mixed; boundary=never", "mixed", "alternative"])
def test_a_multipart_whose_boundary_never_comes_keeps_its_text(kind: str) -> None:
    assert "The words of it." in read(part(f"multipart/{kind}", "The words of it.")).text


def test_a_report_about_a_message_keeps_its_fields() -> None:
    fields = "Reporting-MTA: dns; mx.test\r\n\r\nFinal-Recipient: rfc822; bob@x.test\r\nDiagnostic-Code: smtp; 550 full"
    report = multipart("report", part("text/plain", "Not delivered."), part("message/delivery-status", fields))
    text = read(report).text
    assert "Not delivered." in text
    assert "Reporting-MTA: dns; mx.test" in text
    assert "Diagnostic-Code: smtp; 550 full" in text


def test_multiparts_within_each_other_without_end_are_refused() -> None:
    body = part("text/plain", "words")
    for depth in range(60):
        body = multipart("mixed", body, boundary=f"b{depth}b")
    with pytest.raises(UnreadableError) as caught:
        read(body)
    assert caught.value.reason == "mail_loop"


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "utf-8"])
def test_the_charset_of_a_part_counts_more_than_the_one_its_page_names(charset: str) -> None:
    page = "<html><head><meta http-equiv='Content-Type' content='text/html; charset=iso-8859-1'></head>"
    page += "<body><p>Grüße aus Köln, Jürgen Müller</p></body></html>"
    text = read(part(f"text/html; charset={charset}", page.encode(charset))).text
    assert "Grüße aus Köln, Jürgen Müller" in text


def mail(number: int) -> bytes:
    return (
        f"From sender@x.test Mon Jan  1 00:00:0{number} 2024\nFrom: a@b.test\nSubject: {number}\nTo: c@d.test\n\n"
        f"Body number {number}.\nFrom here on it rains.\n\nFrom 10:30 to 11:00 as well.\n\n"
    ).encode()


@pytest.mark.parametrize("name", ["archive.mbox", "archive"])
def test_a_mailbox_of_several_messages_is_refused_with_what_to_do(name: str) -> None:
    assert "Body number 1." in read_document(mail(1), None, name).text
    with pytest.raises(UnreadableError, match="send each as a document of its own") as caught:
        read_document(mail(1) + mail(2), None, name)
    assert caught.value.reason == "unsupported_type"


def said(document: ParsedDocument, part: int) -> str:
    return " ".join(block.text for block in document.blocks if block.part == part)


def test_each_attachment_is_a_part_of_its_own_format_and_those_of_a_message_within_follow_it() -> None:
    inner = message(ENGLISH)
    inner.replace_header("Subject", "The quotes")
    inner.add_attachment("one,two\n1,2\n", subtype="csv", filename="rows.csv")
    outer = message(ENGLISH)
    for kind in ("docx", "pdf"):
        made = FORMATS[kind]
        outer.add_attachment(
            made.make(ENGLISH), maintype="application", subtype="octet-stream", filename=f"manual.{kind}"
        )
    outer.add_attachment(inner)
    outer.add_attachment("Last words.", filename="last.txt")
    document = read_document(bytes(outer), "message/rfc822", "x")
    assert [(part.title, part.kind) for part in document.parts] == [
        ("manual.docx", "docx"),
        ("manual.pdf", "pdf"),
        ("The quotes.eml", "eml"),
        ("rows.csv", "csv"),
        ("last.txt", "text"),
    ]
    assert [block.part for block in document.blocks] == sorted(block.part for block in document.blocks)
    assert {block.page for block in document.blocks if block.part == 2} == {1, 2}
    assert said(document, 3).startswith("From: Ada")
    assert "1 | 2" in said(document, 4)
    assert said(document, 5) == "Last words."
    assert not {"1 | 2", "Last words."} & {block.text for block in document.blocks if block.part == 0}


def test_an_attachment_with_nothing_to_read_leaves_its_name_in_the_message_it_is_attached_to() -> None:
    inner = message(ENGLISH)
    inner.add_attachment(b"PK", maintype="application", subtype="zip", filename="photos.zip")
    outer = message(ENGLISH)
    outer.add_attachment(inner)
    outer.add_attachment("<p> </p>", subtype="html", filename="empty.html")
    document = read_document(bytes(outer), "message/rfc822", "x")
    names = [(block.text, block.part) for block in document.blocks if block.text.startswith("Attachment:")]
    assert names == [
        ("Attachment: empty.html (not read: empty)", 0),
        ("Attachment: photos.zip (not read: unsupported_type)", 1),
    ]
    assert sorted(document.unread) == ["empty", "unsupported_type"]
    assert len(document.parts) == 1


def test_an_attachment_s_own_title_stands_in_front_of_its_text() -> None:
    mail = message(ENGLISH)
    page = "<html><head><title>Terms of 2026</title></head><body><h1>Payment</h1><p>In 30 days.</p></body></html>"
    mail.add_attachment(page, subtype="html", filename="terms.html")
    document = read_document(bytes(mail), "message/rfc822", "x")
    of_page = [(block.kind, block.text) for block in document.blocks if block.part == 1]
    assert of_page[:2] == [(BlockKind.PARAGRAPH, "Terms of 2026"), (BlockKind.HEADING, "Payment")]
