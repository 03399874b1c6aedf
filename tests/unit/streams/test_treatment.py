"""What of a change besides its text is treated: title, url and labels; and which kinds each chunk is said to have."""

from dataclasses import replace

import pytest

from schemas.records import DocumentChange, Part
from schemas.redaction import Kind, Redaction, policy_of
from streams.core.blocks import BlockKind, ParsedDocument, Piece, assemble
from streams.core.chunk import Chunk
from streams.core.redaction import Finding, Sighted, pseudonyms
from streams.core.treatment import Treated, Treatment, named_after, search_for, treat
from streams.parse.document import read_document
from streams.redact.find import sighted
from tests.unit.streams.records import change

STRICT = policy_of(Redaction(profile="strict", kinds={Kind.PERSON: "ignore"}))
TREATMENT = Treatment(STRICT, pseudonyms(b"key", "acme"), "")


def treated(**fields: object) -> DocumentChange:
    """A change after its treatment, the text of its document beside the point."""
    given = change(body=b"").model_copy(update={"title": None, "url": None, "labels": {}} | fields)
    search = search_for(given, STRICT)
    document = read_document(b"Nothing in here.", "text/plain", "a.txt")
    return treat(given, search, sighted(document, search), TREATMENT).change


@pytest.mark.parametrize(
    ("doc_id", "title"),
    [
        ("hr/Jane_Roe_contract.docx", "[PRIVATE]_contract"),
        ("hr/Jane%20Roe.pdf", "[PRIVATE]"),
        ("hr/jane-roe.md", "[PRIVATE]"),
        ("hr/JaneRoe.md", "[PRIVATE]"),
        ("hr/Jane%E2%80%8BRoe%0A.md", "[PRIVATE]"),
        ("hr/janet-roelle.md", "janet-roelle"),
    ],
)
def test_a_title_made_of_the_doc_id_has_no_declared_name_however_it_is_written_there(doc_id: str, title: str) -> None:
    assert treated(doc_id=doc_id, private=("Jane Roe",)).title == title


@pytest.mark.parametrize(
    ("doc_id", "title"), [("a/50%25%20off.html", "50% off"), ("a/%00", "a/%00"), ("a/b%2Fc%ff.txt", "b/c\ufffd")]
)
def test_a_title_made_of_the_doc_id_reads_as_people_write_it(doc_id: str, title: str) -> None:
    assert named_after(doc_id) == title


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("contract_536-22-8726_final.pdf", "contract_[SSN]_final"),
        ("card_4111111111111111.pdf", "card_[CREDIT_CARD]"),
        ("call_+12125550187.txt", "call_[PHONE]"),
        ("ip_10.0.0.1_log.txt", "ip_[IP]_log"),
    ],
)
def test_a_title_made_of_the_doc_id_has_no_value_that_underscores_join_to_other_words(name: str, title: str) -> None:
    assert treated(doc_id=f"hr/{name}").title == title


def test_a_url_with_a_declared_name_in_its_path_is_left_out() -> None:
    assert treated(url="https://x.example/people/jane-roe", private=("Jane Roe",)).url is None


def test_characters_nobody_sees_hide_nothing_in_titles_and_labels() -> None:
    seen = treated(
        title="Mail jane.roe@exam\u00adple.com",
        labels={
            "owner": "jane.roe@\u2060example.com",
            "ca\u200brd 4111\u200b111111111111": "x",
            "p\u200be": "4\u200b2",
        },
    )
    assert seen.title == "Mail [EMAIL]"
    assert seen.labels == {"owner": "[EMAIL]", "p\u200be": "42"}


def _treated(document: ParsedDocument, value: str, kind: Kind = Kind.EMAIL) -> Treated:
    given = change(body=b"").model_copy(update={"title": "T", "url": None, "labels": {}})
    places = []
    place = document.text.find(value)
    while place >= 0:
        places.append(place)
        place = document.text.find(value, place + 1)
    found = tuple(Finding(kind, place, place + len(value), 1.0) for place in places)
    search = search_for(given, STRICT)
    return treat(given, search, Sighted(document, found, sides=((),) * len(search.sides)), TREATMENT)


def _piece(start: int, end: int, *path: str) -> Chunk:
    return Chunk(0, "", path, None, start, end, "T")


def test_a_chunk_has_the_kinds_of_its_headings_and_of_the_table_it_was_cut_from() -> None:
    document = assemble(
        [
            Piece(BlockKind.HEADING, "Ticket of u@x.co and more", 1),
            Piece(BlockKind.PARAGRAPH, "Plain."),
            Piece(BlockKind.TABLE, "u@x.co | n\na | 1\nb | 2", header_lines=1),
            Piece(BlockKind.PARAGRAPH, "Behind."),
        ],
        title=None,
        language=None,
        kind="text",
    )
    after = _treated(document, "u@x.co")
    _, plain, table, behind = after.document.blocks
    assert after.kinds_of(
        [
            _piece(plain.start, plain.end, "Ticket of [EMAIL]"),
            _piece(plain.start, plain.end, "Tickets"),
            _piece(table.end - 5, table.end),
            _piece(behind.start, behind.end),
        ]
    ) == [("EMAIL",), (), ("EMAIL",), ()]


def test_the_kinds_of_thousands_of_chunks_under_thousands_of_headings_are_a_matter_of_moments() -> None:
    pieces = [
        Piece(kind, text, 1)
        for number in range(10_000)
        for kind, text in ((BlockKind.HEADING, f"Ticket {number} of u@x.co"), (BlockKind.PARAGRAPH, "Solved."))
    ]
    after = _treated(assemble(pieces, title=None, language=None, kind="text"), "u@x.co")
    chunks = [
        _piece(block.start, block.end, f"Ticket {number} of [EMAIL]")
        for number, block in enumerate(after.document.blocks[1::2])
    ]
    assert set(after.kinds_of(chunks)) == {("EMAIL",)}


def with_attachment(name: str, text: str = "Nothing in here.") -> Treated:
    given = change(body=b"").model_copy(update={"title": "T", "url": None, "labels": {}})
    pieces = [Piece(BlockKind.PARAGRAPH, "From: jane.roe@example.com"), Piece(BlockKind.PARAGRAPH, text, part=1)]
    document = assemble(pieces, title=None, language=None, kind="eml", parts=[Part(title=name, kind="text")])
    search = search_for(given, STRICT)
    return treat(given, search, sighted(document, search), TREATMENT)


@pytest.mark.parametrize(
    ("name", "shown", "kinds"),
    [
        ("jane.roe@example.com.txt", "[EMAIL]", ("EMAIL",)),
        ("Offer for ada@b.example (2).txt", "Offer for [EMAIL] (2).txt", ("EMAIL",)),
        ("notes.txt", "notes.txt", ()),
    ],
)
def test_an_attachment_s_name_has_no_personal_data_and_its_chunks_say_what_it_had(
    name: str, shown: str, kinds: tuple[str, ...]
) -> None:
    after = with_attachment(name)
    (part,) = after.document.parts
    message, text = after.document.blocks
    pieces = [_piece(message.start, message.end), replace(_piece(text.start, text.end), part=1)]
    assert (part.title, part.kind) == (shown, "text")
    assert after.kinds_of(pieces) == [("EMAIL",), kinds]
    assert sum(count for (kind, _), count in after.counts.items() if kind in kinds) >= len(kinds)


def test_a_chunk_of_an_attachment_lies_where_it_does_in_the_attachment_as_parsed() -> None:
    after = with_attachment("notes.txt", "Ask a@b.example or wait.")
    block = after.document.blocks[1]
    assert block.text == "Ask [EMAIL] or wait."
    assert after.span_of(replace(_piece(block.start, block.end), part=1)) == (0, len("Ask a@b.example or wait."))
