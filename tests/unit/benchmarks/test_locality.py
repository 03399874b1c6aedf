"""How edit locality is counted, and that this code keeps to its figure."""

from itertools import pairwise

from benchmarks.locality import Tally, changed_chunks, histories, without_headings
from index.embedding.words import HashedWordsEmbedder
from streams.core.blocks import BlockKind, ParsedDocument, Piece, assemble
from streams.core.chunk import Chunk, chunk

WORDS = HashedWordsEmbedder()


def piece(text: str, ordinal: int = 0) -> Chunk:
    return Chunk(ordinal, text, (), None, 0, len(text), "Title")


def test_a_chunk_counts_that_holds_a_new_sentence() -> None:
    before = [piece("One. Two."), piece("Three. Four.")]
    assert changed_chunks(before, before) == 0
    assert changed_chunks(before, [piece("One. Two."), piece("Three. Four. Five.")]) == 1


def test_a_chunk_counts_that_lost_a_sentence_but_not_one_that_went_whole() -> None:
    before = [piece("One. Two."), piece("Three. Four.")]
    assert changed_chunks(before, [piece("One. Two."), piece("Three.")]) == 1
    assert changed_chunks(before, [piece("One. Two.")]) == 0


def test_sentences_that_only_moved_to_another_chunk_do_not_count_as_changed() -> None:
    before, after = [piece("One. Two."), piece("Three.")], [piece("One."), piece("Two. Three.")]
    tally = Tally()
    tally.take(before, after)
    assert (tally.changed, tally.embedded) == (0, 2)


def document(paragraphs: int) -> ParsedDocument:
    texts = (
        " ".join(f"Paragraph {number} has a sentence {part} about its pump." for part in range(8))
        for number in range(paragraphs)
    )
    return assemble((Piece(BlockKind.PARAGRAPH, text) for text in texts), title=None, language=None, kind="text")


def test_over_long_histories_little_more_is_embedded_than_was_changed() -> None:
    tally = Tally()
    for history in histories([without_headings([document(60)])], 60):
        for before, after in pairwise([chunk(version, "", WORDS.token_spans) for version in history]):
            tally.take(before, after)
    assert tally.changed > 60
    assert tally.embedded <= 1.6 * tally.changed
