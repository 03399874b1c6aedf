"""How documents are cut: structure first, limits always. One word is one token here (the hashed-words twin)."""

from dataclasses import replace

import pytest

from index.embedding.words import HashedWordsEmbedder
from schemas.errors import TooLargeError
from schemas.records import Part
from streams.core.blocks import BlockKind, ParsedDocument, Piece, assemble
from streams.core.chunk import Chunk, chunk, embedded_hash, embedded_text
from streams.core.sections import sections

WORDS = HashedWordsEmbedder()


def document(*pieces: Piece) -> ParsedDocument:
    return assemble(pieces, title=None, language=None, kind="text")


def heading(text: str, level: int = 1) -> Piece:
    return Piece(BlockKind.HEADING, text, level)


def paragraph(text: str, page: int | None = None) -> Piece:
    return Piece(BlockKind.PARAGRAPH, text, page=page)


def item(text: str) -> Piece:
    return Piece(BlockKind.LIST_ITEM, text, level=1)


def cut(*pieces: Piece, title: str = "", max_tokens: int = 256) -> list[Chunk]:
    return chunk(document(*pieces), title, WORDS.token_spans, max_tokens)


def sentences(count: int, words: int = 9) -> str:
    return " ".join(f"s{number} " + "word " * (words - 1) + "end." for number in range(count))


def test_a_short_document_is_one_chunk_that_carries_its_title_and_path() -> None:
    (only,) = cut(heading("Leave"), heading("Parents", 2), paragraph("Twelve weeks."), title="Handbook")
    assert (only.text, only.heading_path, only.ordinal) == ("Twelve weeks.", ("Leave", "Parents"), 0)
    assert only.embedded == "Handbook\nLeave > Parents\nTwelve weeks."


def test_a_heading_begins_a_new_chunk() -> None:
    chunks = cut(heading("A"), paragraph("one"), heading("B"), paragraph("two"))
    assert [(c.heading_path, c.text) for c in chunks] == [(("A",), "one"), (("B",), "two")]


def test_a_deeper_heading_keeps_those_above_it_and_a_higher_one_drops_them() -> None:
    chunks = cut(
        heading("A"), paragraph("a"), heading("B", 2), paragraph("b"), heading("C", 3), paragraph("c"),
        heading("D", 2), paragraph("d"), heading("E"), paragraph("e"),
    )  # fmt: skip
    assert [c.heading_path for c in chunks] == [("A",), ("A", "B"), ("A", "B", "C"), ("A", "D"), ("E",)]


def test_headings_nested_without_end_leave_every_section_a_short_path() -> None:
    pieces = [one for level in range(1, 5001) for one in (heading(f"H{level}", level), paragraph("words"))]
    paths = [path for path, _ in sections(document(*pieces).blocks)]
    assert len(paths) == 5000
    assert max(map(len, paths)) == 10
    assert paths[-1][-1].text == "H5000"


def test_the_title_is_not_repeated_as_the_first_heading() -> None:
    (only,) = cut(heading("Travel  policy"), heading("Rail", 2), paragraph("Second class."), title="travel policy")
    assert only.heading_path == ("Rail",)


def test_a_heading_over_nothing_joins_the_section_before() -> None:
    chunks = cut(heading("A"), paragraph("one"), heading("Empty"), heading("B"), paragraph("two"), heading("Last", 3))
    assert [(c.heading_path, c.text) for c in chunks] == [(("A",), "one\n\nEmpty"), (("B",), "two\n\nLast")]


def test_a_document_of_headings_alone_is_still_a_chunk() -> None:
    chunks = cut(heading("A"), heading("B"), heading("C", 2))
    assert [(c.heading_path, c.text) for c in chunks] == [((), "A\n\nB\n\nC")]


def test_a_long_paragraph_is_cut_between_sentences_into_chunks_of_a_third_to_the_whole_target() -> None:
    chunks = cut(paragraph(sentences(100)))
    assert all(c.text.endswith("end.") for c in chunks)
    assert all(60 <= len(WORDS.token_spans(c.text)) <= 230 for c in chunks)


def test_a_list_that_fits_stays_together_and_begins_a_chunk_if_it_must() -> None:
    intro = sentences(12)
    items = [item(f"step {number} " + "word " * 8) for number in range(10)]
    chunks = cut(paragraph(intro), *items)
    assert [c.text.count("step") for c in chunks] == [0, 10]


def test_a_line_that_announces_a_list_goes_with_it() -> None:
    items = [item(f"step {number} " + "word " * 8) for number in range(10)]
    chunks = cut(paragraph(sentences(15)), paragraph("Do as follows:"), *items)
    assert [c.text.startswith("Do as follows:") for c in chunks] == [False, True]


def test_a_list_that_is_too_long_is_cut_between_items() -> None:
    chunks = cut(*(item(f"step{number} " + "word " * 20) for number in range(40)))
    assert len(chunks) > 1
    assert all(c.text.startswith("step") for c in chunks)


def test_a_table_cut_in_parts_repeats_its_column_names() -> None:
    rows = "\n".join(f"Item {number} | {number} EUR | in stock now" for number in range(80))
    table = Piece(BlockKind.TABLE, "Name | Price | State\n" + rows, header_lines=1)
    chunks = cut(paragraph("Prices:"), table)
    assert len(chunks) > 2
    assert all(c.text.startswith("Name | Price | State\n") for c in chunks[1:])
    assert chunks[0].text.startswith("Prices:\n\nName | Price | State\nItem 0 |")
    assert all(line.count("|") == 2 for c in chunks[1:] for line in c.text.split("\n"))


def test_a_table_whose_column_names_are_huge_does_not_repeat_them() -> None:
    table = Piece(BlockKind.TABLE, "word " * 200 + "\n" + "\n".join(["a | b"] * 100), header_lines=1)
    chunks = cut(table)
    assert sum(c.text.count("word") for c in chunks) == 200


def test_code_that_fits_the_model_stays_whole_and_longer_code_is_cut_between_lines() -> None:
    code = "\n".join(f"    value_{number} = compute(value)" for number in range(30))
    assert len(cut(Piece(BlockKind.CODE, code))) == 1
    lines = {line.strip() for c in cut(Piece(BlockKind.CODE, code * 10)) for line in c.text.split("\n")}
    assert lines <= {line.strip() for line in (code * 10).split("\n")}


def test_a_small_rest_joins_the_chunk_before() -> None:
    *_, last = cut(paragraph(sentences(40)), paragraph("And that is all."))
    assert last.text.endswith("end.\n\nAnd that is all.")


def test_one_giant_word_is_cut_hard_and_loses_no_letter() -> None:
    word = "x" * 100_000
    chunks = cut(paragraph(word))
    assert "".join(c.text for c in chunks) == word


def test_a_chunk_knows_the_page_it_begins_on() -> None:
    chunks = cut(paragraph(sentences(16), page=1), paragraph(sentences(16), page=2))
    assert [c.page for c in chunks] == [1, 2]


def test_a_chunk_knows_where_in_its_text_other_pages_begin() -> None:
    (only,) = cut(*(paragraph(f"Page {page} says so.", page=page) for page in (3, 3, 4, 7)))
    assert (only.page, [only.text[each.at :] for each in only.page_breaks]) == (
        3,
        ["Page 4 says so.\n\nPage 7 says so.", "Page 7 says so."],
    )
    assert [each.page for each in only.page_breaks] == [4, 7]


def test_a_break_is_found_behind_the_column_names_of_a_cut_table_and_within_a_list() -> None:
    rows = "\n".join(["Site | Level", *(f"Reach number {number} | {number}" for number in range(120))])
    *_, last = cut(
        Piece(BlockKind.TABLE, rows, page=2, header_lines=1),
        *(Piece(BlockKind.LIST_ITEM, f"Item {page}", 1, page) for page in (3, 4)),
    )
    assert last.text.startswith("Site | Level\n")
    assert [(last.text[each.at :].split("\n")[0], each.page) for each in last.page_breaks] == [
        ("Item 3", 3),
        ("Item 4", 4),
    ]


def test_chunks_of_a_paragraph_over_two_pages_are_each_of_the_page_they_begin_on() -> None:
    text = sentences(30)
    turn = text.index("s10 ")
    chunks = cut(Piece(BlockKind.PARAGRAPH, text, page=4, page_breaks=((turn, 5),)))
    for one in chunks:
        assert one.page == (4 if one.start < turn else 5)
        assert [(one.start + each.at, each.page) for each in one.page_breaks] == (
            [(turn, 5)] if one.start < turn < one.end else []
        )
    assert {one.page for one in chunks} == {4, 5}


def test_what_has_no_pages_has_no_breaks() -> None:
    assert [c.page_breaks for c in cut(paragraph("One."), paragraph("Two."))] == [()]


def test_an_endless_title_and_endless_headings_leave_room_for_the_text() -> None:
    chunks = cut(heading("deep " * 500), paragraph(sentences(40)), title="long " * 500)
    assert all(len(WORDS.token_spans(c.embedded)) + 2 <= 256 for c in chunks)
    assert all(len(WORDS.token_spans(c.text)) >= 50 for c in chunks)


def test_of_a_long_path_the_innermost_headings_are_kept() -> None:
    levels = [heading(f"level{n} " + "word " * 10, n) for n in range(1, 9)]
    (only,) = cut(*levels, paragraph("text"))
    assert [part.split()[0] for part in only.heading_path] == ["level5", "level6", "level7", "level8"]


@pytest.mark.parametrize("title", ["", "title"])
@pytest.mark.parametrize("max_tokens", [64, 256])
def test_a_heading_too_long_for_any_path_is_text_as_well(title: str, max_tokens: int) -> None:
    words = [f"word{number}" for number in range(120)]
    long = " ".join(words)
    chunks = cut(
        paragraph(sentences(3)), heading(long), paragraph("Its text."), heading("B", 2), paragraph("More of it."),
        heading("Other"), paragraph("The end."), title=long if title else "", max_tokens=max_tokens,
    )  # fmt: skip
    said = " ".join(c.text for c in chunks).split()
    assert [word for word in said if word.startswith("word") and word != "word"] == words
    assert said[-4:] == ["of", "it.", "The", "end."]


def test_headings_above_a_long_path_are_text_once() -> None:
    levels = [heading(f"level{n} " + "word " * 20, n) for n in range(1, 5)]
    chunks = cut(*levels, paragraph("text"), heading("level5", 4), paragraph("more"))
    assert chunks[0].text.count("level1") == 1
    assert "level1" not in chunks[1].text


def test_too_many_chunks_are_refused_with_the_limit_named() -> None:
    long = document(*(piece for n in range(20) for piece in (heading(f"h{n}"), paragraph("text"))))
    with pytest.raises(TooLargeError, match="over 19 chunks") as caught:
        chunk(long, "", WORDS.token_spans, max_chunks=19)
    assert caught.value.reason == "too_large"
    assert len(chunk(long, "", WORDS.token_spans, max_chunks=20)) == 20


def test_an_edit_changes_the_chunks_of_its_section_alone() -> None:
    parts = [piece for n in range(6) for piece in (heading(f"h{n}"), paragraph(sentences(30)))]
    before = cut(*parts)
    after = cut(*parts[:5], paragraph("A new sentence. " + sentences(30)), *parts[6:])
    assert [c.embedded for c in before if c.heading_path != ("h2",)] == [
        c.embedded for c in after if c.heading_path != ("h2",)
    ]


def test_a_word_or_two_before_the_first_heading_is_no_chunk_of_its_own() -> None:
    chunks = cut(paragraph("Edit this page"), heading("A"), paragraph("one"), heading("B"), paragraph("two"))
    assert [(c.heading_path, c.text) for c in chunks] == [(("A",), "Edit this page\n\nA\n\none"), (("B",), "two")]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("泵每季度维修。必须保存记录。", "。"),
        ("هل تعمل المضخة؟ نعم تعمل. ", "؟."),
        ("पंप चालू है। वाल्व बंद है। ", "।"),
        ("ポンプは動く！弁は閉じている。", "！。"),
    ],
)
def test_sentences_of_other_scripts_stay_whole(text: str, ends: str) -> None:
    chunks = cut(paragraph(text * 60), max_tokens=64)
    assert len(chunks) > 3
    assert all(c.text[-1] in ends for c in chunks)


def test_what_is_embedded_leaves_out_what_is_missing() -> None:
    assert embedded_text("", (), "text") == "text"
    assert embedded_text("T", (), "text") == "T\ntext"
    assert embedded_text("", ("A", "B"), "text") == "A > B\ntext"


def test_the_embedded_hash_depends_on_text_and_model_alone() -> None:
    assert embedded_hash("text", "model-1") == embedded_hash("text", "model-1")
    assert len({embedded_hash("text", "m"), embedded_hash("tex", "m"), embedded_hash("text", "m2")}) == 3
    assert embedded_hash("bc", "a") != embedded_hash("c", "ab")
    assert len(embedded_hash("text", "m")) == 32


def test_text_of_dots_alone_is_cut_in_linear_time() -> None:
    assert "".join(c.text for c in cut(paragraph("." * 20_000 + "?!" * 20_000 + "a"))).endswith("?!a")


def with_attachments(*pieces: Piece) -> ParsedDocument:
    parts = [Part(title="offer.docx", kind="docx"), Part(title="Moving.eml", kind="eml")]
    return assemble(pieces, title=None, language=None, kind="eml", parts=parts)


def of_part(part: int, *pieces: Piece) -> list[Piece]:
    return [replace(piece, part=part) for piece in pieces]


def test_an_attachment_is_cut_as_a_document_of_its_own_under_the_title_of_its_message() -> None:
    whole = with_attachments(
        paragraph("From: Ada"),
        *of_part(1, heading("Prices"), paragraph("Nine euros."), heading("Terms"), paragraph("In May.")),
        *of_part(2, paragraph("Agreed.")),
    )
    chunks = chunk(whole, "Moving", WORDS.token_spans)
    assert [(c.ordinal, c.part, c.title, c.heading_path, c.text) for c in chunks] == [
        (0, 0, "Moving", (), "From: Ada"),
        (1, 1, "offer.docx", ("Moving", "Prices"), "Nine euros."),
        (2, 1, "offer.docx", ("Moving", "Terms"), "In May."),
        (3, 2, "Moving.eml", ("Moving",), "Agreed."),
    ]
    assert all(whole.text[c.start : c.end] == c.text for c in chunks)


def test_a_chunk_never_holds_words_of_two_parts_however_short_they_are() -> None:
    whole = with_attachments(paragraph("Hi."), *of_part(1, item("a")), *of_part(2, item("b"), item("c")))
    assert [(c.part, c.text) for c in chunk(whole, "T", WORDS.token_spans)] == [(0, "Hi."), (1, "a"), (2, "b\nc")]


def test_an_edit_of_one_attachment_leaves_what_is_embedded_of_the_others() -> None:
    def embedded(middle: str) -> list[str]:
        whole = with_attachments(
            paragraph("From: Ada"), *of_part(1, paragraph(middle)), *of_part(2, paragraph("Agreed."))
        )
        return [c.embedded for c in chunk(whole, "Moving", WORDS.token_spans)]

    before, after = embedded("Nine euros."), embedded(sentences(60))
    assert (before[0], before[-1]) == (after[0], after[-1])


def test_an_attachment_named_as_its_message_does_not_say_it_twice_and_its_own_headings_come_first() -> None:
    long = " ".join(f"word{number}" for number in range(60))
    whole = with_attachments(*of_part(1, heading("Prices"), paragraph("Nine euros.")))
    assert [c.heading_path for c in chunk(whole, "Offer.docx", WORDS.token_spans)] == [("Prices",)]
    assert [c.heading_path for c in chunk(whole, long, WORDS.token_spans)] == [("Prices",)]
