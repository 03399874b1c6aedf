"""Every format in every language: the words, the headings, the rows, and nothing else."""

import pytest

from schemas.records import Part
from streams.core.blocks import BlockKind, ParsedDocument
from streams.parse.document import read_document
from tests.unit.parse.corpus import ENGLISH, FORMATS, STORIES, Story

FLAT = frozenset({"csv", "tsv"})
WITHOUT_TABLES = frozenset({"text", "xml", "json", "pdf"})
HEADED = frozenset({"markdown", "html", "xml", "rst", "org", "docx", "odt", "epub", "pdf"})
TITLED = frozenset(FORMATS) - FLAT - {"text", "xlsx", "rtf"}


@pytest.fixture(params=sorted(FORMATS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read(kind: str, story: Story) -> ParsedDocument:
    return read_document(FORMATS[kind].make(story), FORMATS[kind].content_type, "x")


def said(document: ParsedDocument) -> str:
    return " ".join(f"{document.title or ''} {document.text}".split())


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.language)
def test_every_word_of_every_language_is_read_and_the_language_known(kind: str, story: Story) -> None:
    document = read(kind, story)
    text = said(document)
    assert document.kind == kind
    for row in story.table[1:]:
        assert all(cell in text for cell in row)
    if kind not in FLAT:
        assert story.text in text
        assert all(item.rstrip(".。") in text for item in story.items)
        assert document.language == story.language


@pytest.mark.parametrize("kind", sorted(TITLED))
def test_the_title_is_known(kind: str) -> None:
    assert read(kind, ENGLISH).title == ENGLISH.title


@pytest.mark.parametrize("kind", sorted(HEADED))
def test_headings_stand_in_their_order(kind: str) -> None:
    headings = [block for block in read(kind, ENGLISH).blocks if block.kind is BlockKind.HEADING]
    assert [block.text for block in headings][-2:] == [ENGLISH.first, ENGLISH.second]
    assert headings[-1].level == headings[-2].level


@pytest.mark.parametrize("kind", sorted(frozenset(FORMATS) - WITHOUT_TABLES))
def test_tables_keep_rows_and_column_names(kind: str) -> None:
    (table,) = [block for block in read(kind, ENGLISH).blocks if block.kind is BlockKind.TABLE]
    first, *rows = (line.split(" | ") for line in table.text.split("\n"))
    assert (first[:2], [row[:2] for row in rows]) == (["State", "Pressure"], [["idle", "2 bar"], ["running", "7 bar"]])
    assert table.header_lines == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("html", ("Home",)),
        ("docx", ("Confidential",)),
        ("xlsx", ("hidden",)),
        ("odt", ("struck",)),
        ("epub", ("Contents",)),
        ("pdf", ("Aurora", "4711", "Page")),
    ],
)
def test_what_is_not_the_document_is_left_out(kind: str, words: tuple[str, ...]) -> None:
    assert not any(word in read(kind, ENGLISH).text for word in words)


@pytest.mark.parametrize(("kind", "pages"), [("pdf", {1, 2}), ("pptx", {1, 2}), ("xlsx", {1, 2})])
def test_pages_slides_and_sheets_are_numbered(kind: str, pages: set[int]) -> None:
    assert {block.page for block in read(kind, ENGLISH).blocks} == pages


def test_a_message_says_who_wrote() -> None:
    first = read("eml", ENGLISH).blocks[0]
    assert first.text.split("\n")[:2] == ["From: Ada <ada@example.test>", "To: ben@example.test"]


@pytest.mark.parametrize("kind", ["eml", "msg"])
def test_an_attachment_is_a_part_with_its_own_name_kind_and_headings(kind: str) -> None:
    document = read(kind, ENGLISH)
    headings = [(block.text, block.part) for block in document.blocks if block.kind is BlockKind.HEADING]
    assert {block.part for block in document.blocks} == {0, 1}
    assert document.parts == (Part(title="Before you start.md", kind="markdown"),)
    assert headings == [("Pump manual", 1), ("Service", 1), ("Before you start", 1)]
    assert [block.level for block in document.blocks if block.kind is BlockKind.HEADING] == [1, 2, 2]
