"""The generated corpus: exact in size, the same everywhere, and its questions have their answers in it."""

import pytest

from benchmarks.corpus import SECTIONS, document, documents, question, questions, subject
from benchmarks.subjects import KINDS
from index.embedding.words import HashedWordsEmbedder
from streams.core.blocks import BlockKind, Piece, assemble
from streams.core.chunk import chunk


@pytest.mark.parametrize("chunks", [1, SECTIONS, 95, 2000])
def test_a_corpus_has_exactly_the_sections_asked_for(chunks: int) -> None:
    found = list(documents(chunks))
    assert sum(one.sections for one in found) == chunks
    assert sum(one.body.count("\n## ") for one in found) == chunks
    assert len({one.doc_id for one in found}) == len(found)


def test_a_smaller_corpus_is_part_of_a_larger_one() -> None:
    assert list(documents(200)) == list(documents(2000))[: 200 // SECTIONS]


def test_every_kind_has_as_many_sections_and_no_brace_is_left_open() -> None:
    assert {len(kind.topics) for kind in KINDS} == {SECTIONS}
    assert not any(sign in document(number).body for number in range(len(KINDS)) for sign in "{}")


def test_no_two_documents_share_a_subject() -> None:
    numbers = [*range(9000), *range(100_000, 101_000)]
    assert len({subject(number) for number in numbers}) == len(numbers)


def test_every_section_states_what_its_question_asks_for() -> None:
    for section in range(3 * SECTIONS):
        number, place = divmod(section, SECTIONS)
        asked, text = question(section), document(number).body.split("\n## ")[1 + place]
        assert asked.fact in text
        assert subject(number) in text
        assert subject(number) in asked.text
        assert asked.doc_id == document(number).doc_id


def test_questions_are_drawn_by_seed_and_none_comes_twice_while_there_are_others() -> None:
    asked = questions(2000, 500, seed=1)
    assert len({one.text for one in asked}) == 500
    assert asked == questions(2000, 500, seed=1) != questions(2000, 500, seed=2)
    assert len(questions(10, 25, seed=1)) == 25


def test_a_section_becomes_one_chunk() -> None:
    generated = document(0)
    pieces = [Piece(BlockKind.HEADING, generated.title, 1, None, 0)]
    for section in generated.body.split("\n## ")[1:]:
        heading, text = section.split("\n\n", 1)
        pieces += [Piece(BlockKind.HEADING, heading, 2, None, 0), Piece(BlockKind.PARAGRAPH, text, 0, None, 0)]
    parsed = assemble(pieces, title=generated.title, language="en", kind="text")
    assert len(chunk(parsed, generated.title, HashedWordsEmbedder().token_spans)) == SECTIONS
