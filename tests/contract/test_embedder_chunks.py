"""Chunks cut with the default model's own word pieces are read whole by it, whatever the text."""

import pytest

from index.embedding.fastembed_model import FastembedEmbedder, load_embedder
from index.embedding.guessed_pieces import guessed_pieces
from streams.core.blocks import BlockKind, Piece, assemble
from streams.core.chunk import chunk
from tests.nasty_texts import NASTY


@pytest.fixture(scope="module")
def embedder() -> FastembedEmbedder:
    return load_embedder(threads=1)


@pytest.mark.parametrize("kind", [BlockKind.PARAGRAPH, BlockKind.CODE, BlockKind.LIST_ITEM, BlockKind.TABLE])
@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_the_model_reads_every_chunk_whole(embedder: FastembedEmbedder, text: str, kind: BlockKind) -> None:
    pieces = [Piece(BlockKind.HEADING, text[:500], 1), Piece(kind, text, header_lines=int(kind is BlockKind.TABLE))]
    document = assemble(pieces, title=None, language=None, kind="text")
    chunks = chunk(document, text[:300], embedder.token_spans, embedder.max_tokens)
    assert max(len(embedder.token_spans(cut.embedded)) + 2 for cut in chunks) <= embedder.max_tokens
    kept = "".join("".join(document.text[cut.start : cut.end].split()) for cut in chunks)
    # A heading too long for a path is a paragraph as well.
    assert kept in ("".join(text.split()), "".join((text[:500] + text).split()))


@pytest.mark.parametrize(
    "prose",
    [
        "The pump is maintained every quarter by two engineers, and a board reviews their documentation annually.",
        "Die Straßenbahnhaltestelle wird jährlich gewartet; die Überprüfung übernimmt das Bundesverkehrsministerium.",
        "Le développement de l'équipement électrique a été achevé l'été dernier, grâce à l'expérience des ingénieurs.",
        "Trạm bơm được bảo trì hàng quý bởi hai kỹ sư, và hội đồng quốc tế xem xét tài liệu của họ hàng năm.",
        "Насос обслуживается каждый квартал двумя инженерами, комиссия ежегодно проверяет документацию.",
        "تتم صيانة المضخة كل ثلاثة أشهر من قبل مهندسين اثنين",
        "我们在北京的办公室位于朝阳区建国路八十八号院内的第三栋大楼里面并且每天都会开放给所有的员工使用。",
        "ポンプは四半期ごとに二人の技術者によって保守され、国際認証委員会が毎年文書を確認します。",
        "| 2026-11-21 | 123456.78 | 99.5 % | +49 30 901820 |",
        "deadbeef0123456789cafe aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQgZW5jb2RlZA==",
    ],
)
def test_a_guess_at_the_pieces_is_no_fewer_than_the_model_makes(embedder: FastembedEmbedder, prose: str) -> None:
    assert len(guessed_pieces(prose)) >= len(embedder.token_spans(prose))
