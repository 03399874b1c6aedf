"""What goes between the pool and its workers."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UnreadableError
from schemas.records import Part
from schemas.redaction import Kind
from streams.core.blocks import BlockKind, Piece, assemble
from streams.core.redaction import Finding, Search, Sighted
from streams.parse import wire

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)


@given(st.binary(max_size=100), st.none() | NAMES, NAMES, st.lists(st.text(max_size=20)).map(tuple))
def test_a_request_survives_the_pipe(body: bytes, content_type: str | None, name: str, texts: tuple[str, ...]) -> None:
    request = wire.Request(body, content_type, name, Search((Kind.EMAIL, Kind.IP), texts, texts[1:]))
    assert wire.decode_request(wire.encode_request(request)) == request


@given(st.lists(st.tuples(st.sampled_from(BlockKind), st.text(max_size=50)), max_size=9), st.none() | NAMES)
def test_a_document_survives_the_pipe(parts: list[tuple[BlockKind, str]], title: str | None) -> None:
    pieces = [Piece(kind, text, level, level or None) for level, (kind, text) in enumerate(parts)]
    document = assemble(pieces, title=title, language="en", kind="html")
    whole = tuple(Finding(Kind.EMAIL, 0, len(text), 0.5) for text in (document.text,) if text)
    side = (Finding(Kind.PHONE, 2, 4, 1.0), Finding(Kind.IP, 0, 1, 0.6))
    sighted = Sighted(document, whole, (), ((), side))
    assert wire.decode_answer(wire.encode_document(sighted), ("", "side")) == sighted


def test_parts_survive_the_pipe_with_what_was_found_in_their_names() -> None:
    pieces = [Piece(BlockKind.PARAGRAPH, "Hello."), Piece(BlockKind.PARAGRAPH, "Attached.", part=1)]
    parts = [Part(title="cv.pdf", kind="pdf"), Part(title="empty.pdf", kind="pdf")]
    document = assemble(pieces, title=None, language=None, kind="eml", parts=parts)
    sighted = Sighted(document, parts=((Finding(Kind.PERSON, 0, 2, 0.9),), ()))
    assert wire.decode_answer(wire.encode_document(sighted)) == sighted


def test_page_breaks_survive_the_pipe() -> None:
    piece = Piece(BlockKind.PARAGRAPH, "One and two.", page=1, page_breaks=((4, 2), (8, 3)))
    document = assemble([piece], title=None, language=None, kind="pdf")
    assert wire.decode_answer(wire.encode_document(Sighted(document))).document == document


def test_reasons_survive_the_pipe_where_they_are_reasons() -> None:
    document = replace(assemble([], title=None, language=None, kind="eml"), unread=("malformed", "A text!", "empty"))
    assert wire.decode_answer(wire.encode_document(Sighted(document))).document.unread == ("malformed", "empty")


def test_a_block_of_a_part_that_is_not_there_is_nonsense() -> None:
    document = assemble([Piece(BlockKind.PARAGRAPH, "Attached.", part=1)], title=None, language=None, kind="eml")
    with pytest.raises(UnreadableError, match="makes no sense"):
        wire.decode_answer(wire.encode_document(Sighted(document)))


def test_a_refusal_arrives_as_the_error_it_was() -> None:
    with pytest.raises(UnreadableError, match="no text") as caught:
        wire.decode_answer(wire.encode_error(UnreadableError("no text", reason="empty")))
    assert caught.value.reason == "empty"


@pytest.mark.parametrize("answer", [b"nonsense", b"[1,2]", b'{"x":1}', b"[" * 100_000, b'["t",null,"k",7,[[0]],[]]'])
def test_nonsense_is_a_crash_of_the_parser(answer: bytes) -> None:
    with pytest.raises(UnreadableError) as caught:
        wire.decode_answer(answer)
    assert caught.value.reason == "parser_crashed"


@pytest.mark.parametrize(
    "found",
    [
        [[["EMAIL", 0, 5, 1.0]], []],
        [[["EMAIL", 3, 3, 1.0]], []],
        [[["EMAIL", -1, 2, 1.0]], []],
        [[["WHAT", 0, 2, 1.0]], []],
        [[["EMAIL", 0, 2]], []],
        [[], [], []],
        [[]],
    ],
)
def test_findings_outside_their_text_are_a_crash_of_the_parser(found: object) -> None:
    with pytest.raises(UnreadableError) as caught:
        wire.decode_answer(json.dumps([None, None, "text", "four", [], found]).encode())
    assert caught.value.reason == "parser_crashed"
