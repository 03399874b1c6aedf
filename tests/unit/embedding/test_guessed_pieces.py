"""Word pieces for a tokeniser that is not known: at least as many as tokenisers make, and not many times as many."""

import pytest

from index.embedding.guessed_pieces import guessed_pieces
from streams.core.blocks import BlockKind, Piece, assemble
from streams.core.chunk import chunk
from tests.nasty_texts import NASTY


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("我们在北京的办公室", 9, 18),
        ("ポンプは四半期ごとに", 10, 20),
        ("насос обслуживается", 18, 20),
        ("𠮷🔧", 6, 6),
        ("ปั๊มได้รับ", 10, 20),
        ("20261121", 8, 8),
        ("co_op & <b>", 7, 7),
        ("aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQgZW5jb2RlZA", 35, 46),
    ],
)
def test_a_character_beyond_latin_letters_is_a_piece_or_more(text: str, least: int, most: int) -> None:
    assert least <= len(guessed_pieces(text)) <= most


@pytest.mark.parametrize("word", ["für", "développement", "người", "vierteljährlich", "Żółć", "international"])
def test_a_latin_word_has_fewer_pieces_than_letters_but_one_for_each_accent(word: str) -> None:
    accents = sum(not letter.isascii() for letter in word)
    assert accents + (len(word) - accents) // 3 <= len(guessed_pieces(word)) <= len(word)
    assert len(guessed_pieces(word.encode("ascii", "ignore").decode())) <= len(word) // 2


def test_pieces_cover_every_character_in_order() -> None:
    text = "Straßenbahnhaltestelle 20261, 李明 & co_op\u3000🔧 насос e\u0301 " + "x" * 40
    spans = guessed_pieces(text)
    assert spans == sorted(spans)
    assert "".join(text[start:end] for start, end in dict.fromkeys(spans)) == "".join(text.split())


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("kind", [BlockKind.PARAGRAPH, BlockKind.CODE])
def test_every_chunk_has_at_most_so_many_of_them(kind: BlockKind, text: str) -> None:
    document = assemble(
        [Piece(BlockKind.HEADING, text[:500], 1), Piece(kind, text)], title=None, language=None, kind="text"
    )
    chunks = chunk(document, text[:300], guessed_pieces, 256)
    assert max(len(guessed_pieces(cut.embedded)) + 2 for cut in chunks) <= 256
    kept = "".join("".join(document.text[cut.start : cut.end].split()) for cut in chunks)
    # A heading too long for a path is a paragraph as well.
    assert kept in ("".join(text.split()), "".join((text[:500] + text).split()))
