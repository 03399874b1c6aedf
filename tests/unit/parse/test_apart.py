"""What stands apart in XML and OpenDocument files stays apart, and what their attributes say is read."""

import pytest

from streams.core.blocks import ParsedDocument
from streams.parse.document import read_document
from tests.unit.parse.corpus import zipped


def xml(text: str) -> list[str]:
    return [block.text for block in read_document(text.encode(), "text/xml", "a").blocks]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<users><user name='Alice'/><remark>kept</remark></users>", ["name: Alice", "kept"]),
        ("<users><user name='Alice' role='boss'/></users>", ["name: Alice\nrole: boss"]),
        ("<user id='5'><name>Alice</name><fax to='b'>1</fax></user>", ["id: 5", "name: Alice\nfax: 1\nfax to: b"]),
        ("<order no='7'><item><title>Pump</title></item></order>", ["no: 7", "Pump"]),
        ("<para currency='EUR'>five</para>", ["five\ncurrency: EUR"]),
        ("<item id='4711'/>", ["id: 4711"]),
    ],
)  # fmt: skip
def test_attributes_are_read_as_names_and_values(text: str, said: list[str]) -> None:
    assert xml(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "<p xml:lang='en' class='note' id='p1'>words</p>",
        "<section id='s1'><title>words</title></section>",
        "<p xmlns:xlink='http://www.w3.org/1999/xlink' xlink:href='https://x.test/a'>words</p>",
    ],
)
def test_attributes_that_say_how_are_left_out(text: str) -> None:
    assert xml(text) == ["words"]


def test_elements_beside_words_are_lines_of_their_own() -> None:
    entry = "<entry>Name<phone>415-555-2671</phone><phone>415-555-2672</phone></entry>"
    assert xml(entry) == ["Name\n415-555-2671\n415-555-2672"]


def test_elements_within_words_part_nothing() -> None:
    assert xml("<p>H<sub>2</sub>O is <b>w</b>et\n and <emphasis>cold</emphasis>.</p>") == ["H2O is wet and cold."]


def test_entities_of_html_that_nothing_declares_are_understood_within_words() -> None:
    page = "<!DOCTYPE x SYSTEM 'x.dtd'><x><p>Hello&nbsp;w&ouml;rld and &odd; more</p></x>"
    assert xml(page) == ["Hello wörld and &odd; more"]


_SPACES = (
    "xmlns:office='urn:oasis:names:tc:opendocument:xmlns:office:1.0' "
    "xmlns:text='urn:oasis:names:tc:opendocument:xmlns:text:1.0' "
    "xmlns:table='urn:oasis:names:tc:opendocument:xmlns:table:1.0' "
    "xmlns:draw='urn:oasis:names:tc:opendocument:xmlns:drawing:1.0'"
)


def odt(inside: str) -> ParsedDocument:
    content = (
        f"<office:document-content {_SPACES}><office:body><office:text>{inside}</office:text></office:body>"
        "</office:document-content>"
    )
    body = zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content})
    return read_document(body, None, "a.odt")


def test_paragraphs_of_a_text_box_stay_apart() -> None:
    box = "<draw:frame><draw:text-box><text:p>4111</text:p><text:p>5500</text:p></draw:text-box></draw:frame>"
    assert odt(f"<text:p>Box: {box} and on.</text:p>").text == "Box:\n4111\n5500\nand on."


def test_items_and_paragraphs_of_a_cell_stay_apart() -> None:
    items = "".join(f"<text:list-item><text:p>{item}</text:p></text:list-item>" for item in ("4111", "5500"))
    cells = f"<table:table-cell><text:p>k</text:p></table:table-cell><table:table-cell><text:list>{items}</text:list>"
    row = f"<table:table-row>{cells}<text:p>end</text:p></table:table-cell></table:table-row>"
    assert odt(f"<table:table>{row}</table:table>").text == "k | 4111 5500 end"


def test_paragraphs_of_a_note_stay_apart() -> None:
    body = "<text:note-body><text:p>One.</text:p><text:p>Two.</text:p></text:note-body>"
    note = f"<text:note><text:note-citation>1</text:note-citation>{body}</text:note>"
    assert odt(f"<text:p>Words{note} go on.</text:p>").text == "Words (One.\nTwo.) go on."
