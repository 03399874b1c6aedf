"""What holds for every document whatever: nothing lost, nothing over the limit, spans that point at the text."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from index.embedding.words import HashedWordsEmbedder
from streams.core.blocks import BlockKind, ParsedDocument, Piece, assemble
from streams.core.chunk import chunk

WORDS = HashedWordsEmbedder()

TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="ab ,.!?\n", max_size=1000),
    st.text(alphabet="泵每季度维修。！ ", max_size=400),
    st.text(alphabet="👩‍🔧🚰é\u0301 한글", max_size=400),
    st.sampled_from([1, 99, 101, 390, 4000]).map(lambda size: "w" * size),
    st.integers(1, 600).map(lambda size: "word " * size),
    st.integers(1, 900).map(lambda size: "!?" * size),
)
PIECES = st.builds(
    lambda kind, text, level, header: Piece(kind, text, level, None, header if kind is BlockKind.TABLE else 0),
    st.sampled_from(BlockKind),
    TEXTS,
    st.integers(1, 6),
    st.integers(0, 2),
)
DOCUMENTS = st.lists(PIECES, max_size=8).map(lambda pieces: assemble(pieces, title=None, language=None, kind="text"))
LIMITS = st.sampled_from([32, 64, 256])


def characters(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
def test_blocks_lie_in_the_text_in_order(document: ParsedDocument) -> None:
    place = 0
    for block in document.blocks:
        assert block.start >= place
        assert document.text[block.start : block.end] == block.text
        place = block.end
    assert place == len(document.text)


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.text(max_size=200), LIMITS)
@example(assemble([Piece(BlockKind.PARAGRAPH, "x" * 100_000)], title=None, language=None, kind="text"), "t", 256)
@example(
    assemble(
        [
            Piece(BlockKind.PARAGRAPH, "Edit this page"),
            Piece(BlockKind.HEADING, "0:0:0:0:0:0;0;0;0;0;0;0", 1),
            Piece(BlockKind.PARAGRAPH, "a word"),
        ],
        title=None,
        language=None,
        kind="text",
    ),
    "",
    32,
)
def test_no_chunk_is_empty_or_longer_than_the_model_reads(document: ParsedDocument, title: str, limit: int) -> None:
    for ordinal, cut in enumerate(chunk(document, title, WORDS.token_spans, limit)):
        assert cut.ordinal == ordinal
        assert cut.text.strip()
        assert len(WORDS.token_spans(cut.embedded)) + 2 <= limit
        assert len(cut.text) <= 12 * limit


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, LIMITS)
def test_spans_point_at_the_text_in_order_without_overlap(document: ParsedDocument, limit: int) -> None:
    place = 0
    for cut in chunk(document, "", WORDS.token_spans, limit):
        assert cut.start >= place
        assert cut.text.endswith(document.text[cut.start : cut.end])
        place = cut.end


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, LIMITS)
def test_every_character_outside_headings_is_in_a_chunk(document: ParsedDocument, limit: int) -> None:
    covered: set[int] = set()
    for cut in chunk(document, "", WORDS.token_spans, limit):
        covered.update(range(cut.start, cut.end))
    for block in document.blocks:
        if block.kind is not BlockKind.HEADING:
            missed = "".join(document.text[i] for i in range(block.start, block.end) if i not in covered)
            assert not missed.strip()


@given(st.lists(st.tuples(st.integers(0, 4), st.text(alphabet="abc !", min_size=1, max_size=6)), max_size=12))
def test_a_heading_is_in_a_path_or_in_a_text(parts: list[tuple[int, str]]) -> None:
    pieces = [Piece(BlockKind.HEADING if level else BlockKind.PARAGRAPH, text, level) for level, text in parts]
    document = assemble(pieces, title=None, language=None, kind="text")
    chunks = chunk(document, "", WORDS.token_spans)
    seen = [characters(part) for cut in chunks for part in (*cut.heading_path, cut.text)]
    for block in document.blocks:
        if block.kind is BlockKind.HEADING:
            assert any(characters(block.text) in part for part in seen)


HEADINGS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 90).map(lambda size: "word " * size)), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(HEADINGS, LIMITS, st.booleans())
def test_a_heading_of_any_length_is_whole_in_a_path_the_title_or_a_text(
    parts: list[tuple[int, str]], limit: int, titled: bool
) -> None:
    texts = [f"h{number}b {words}h{number}e" for number, (_, words) in enumerate(parts)]
    pieces = [
        Piece(BlockKind.HEADING if level else BlockKind.PARAGRAPH, text, level)
        for (level, _), text in zip(parts, texts, strict=True)
    ]
    document = assemble(pieces, title=None, language=None, kind="text")
    chunks = chunk(document, texts[0] if titled else "", WORDS.token_spans, limit)
    whole = {part for cut in chunks for part in (*cut.heading_path, cut.title)}
    said = {word for cut in chunks for word in cut.text.split()}
    for number, text in enumerate(texts):
        assert text in whole or {f"h{number}b", f"h{number}e"} <= said


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
def test_the_same_document_is_cut_alike_again(document: ParsedDocument) -> None:
    assert chunk(document, "t", WORDS.token_spans) == chunk(document, "t", WORDS.token_spans)
