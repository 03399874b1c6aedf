"""Texts of two and four bytes a letter: read as what they are, or refused; never as letters with gaps."""

import pytest

from schemas.errors import UnreadableError
from streams.parse.document import read_document

WORDS = "Write to jane.roe@example.com, card 4111111111111111.\nТолько сегодня, nur heute: \U0001f600 done."


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("content_type", ["text/plain", "text/plain; charset=utf-8", "text/markdown", None])
def test_a_text_of_wide_letters_is_read_with_and_without_a_mark(encoding: str, content_type: str | None) -> None:
    assert (
        "jane.roe@example.com, card 4111111111111111"
        in read_document(WORDS.encode(encoding), content_type, "a.txt").text
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("content_type", ["text/html", "text/plain", None])
def test_a_page_of_wide_letters_is_read_as_a_page(encoding: str, content_type: str | None) -> None:
    page = "<html><body><h1>Pumps</h1><p>Write to jane.roe@example.com.</p></body></html>"
    assert read_document(page.encode(encoding), content_type, "a").text == "Pumps\n\nWrite to jane.roe@example.com."


def test_a_declared_wide_encoding_is_believed_where_the_bytes_do_not_tell() -> None:
    text = "泵每季度由两名工程师维修。" * 20
    assert text in read_document(text.encode("utf-16-be"), "text/plain; charset=utf-16be", "a").text


@pytest.mark.parametrize(
    "body",
    [
        b"a letter and \0\0 and \0 more \0\0\0 of them",
        b"plain words before. " * 200 + "jane.roe@example.com".encode("utf-16-le"),
        "jane.roe@example.com!".encode("utf-16-le") + b"x",
        "泵每季度由两名工程师维修。\r\n".encode("utf-16-le") * 5 + b" ",
    ],
)
@pytest.mark.parametrize("content_type", ["text/plain", "text/markdown; charset=utf-8"])
def test_a_text_whose_zero_bytes_make_no_sense_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_document(body, content_type, "a")
    assert caught.value.reason == "invalid_encoding"
