"""What goes between the pool and its workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UnreadableError
from streams.core.blocks import BlockKind, Piece, assemble
from streams.parse import wire

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)


@given(st.binary(max_size=100), st.none() | NAMES, NAMES)
def test_a_request_survives_the_pipe(body: bytes, content_type: str | None, name: str) -> None:
    request = wire.Request(body, content_type, name)
    assert wire.decode_request(wire.encode_request(request)) == request


@given(st.lists(st.tuples(st.sampled_from(BlockKind), st.text(max_size=50)), max_size=9), st.none() | NAMES)
def test_a_document_survives_the_pipe(parts: list[tuple[BlockKind, str]], title: str | None) -> None:
    pieces = [Piece(kind, text, level, level or None) for level, (kind, text) in enumerate(parts)]
    document = assemble(pieces, title=title, language="en", kind="html")
    assert wire.decode_answer(wire.encode_document(document)) == document


def test_a_refusal_arrives_as_the_error_it_was() -> None:
    with pytest.raises(UnreadableError, match="no text") as caught:
        wire.decode_answer(wire.encode_error(UnreadableError("no text", reason="empty")))
    assert caught.value.reason == "empty"


@pytest.mark.parametrize("answer", [b"nonsense", b"[1,2]", b'{"x":1}', b"[" * 100_000, b'["t",null,"k",7,[[0]]]'])
def test_nonsense_is_a_crash_of_the_parser(answer: bytes) -> None:
    with pytest.raises(UnreadableError) as caught:
        wire.decode_answer(answer)
    assert caught.value.reason == "parser_crashed"
