"""What of a chunk's text may be quoted."""

from hypothesis import example, given
from hypothesis import strategies as st

from serving.core.sentences import Kind, units


def told(text: str) -> list[str]:
    return [unit.text for unit in units(text)]


def test_sentences_end_where_they_end() -> None:
    assert told("The limit is 2.8 metres. It holds at 08:00! Why? Nobody knows, e.g. Dr. Smith does not.") == [
        "The limit is 2.8 metres.",
        "It holds at 08:00!",
        "Nobody knows, e.g. Dr. Smith does not.",
    ]


def test_a_hard_wrapped_paragraph_is_joined() -> None:
    text = "The support line is open from Monday to Friday and\non Saturday morning. Partners have their own."
    assert told(text)[0] == "The support line is open from Monday to Friday and on Saturday morning."


def test_rows_are_told_with_their_column_names_and_quoted_as_they_stand() -> None:
    (row,) = units("Article | Number | Price\nPolar 9 | P-0900 | 6,690 EUR")
    assert row.text == "Polar 9 – Number: P-0900; Price: 6,690 EUR."
    assert row.quote == "Polar 9 | P-0900 | 6,690 EUR"
    assert row.kind is Kind.ROW
    assert told("Polar 9 | P-0900 | 6,690 EUR") == ["Polar 9 – P-0900; 6,690 EUR."]


def test_items_lose_their_marks_and_know_what_leads_them_in() -> None:
    found = units("Before your shift:\n\n1. Check the phones.\n2. Read the notes")
    assert [unit.text for unit in found] == ["Check the phones.", "Read the notes."]
    assert {unit.kind for unit in found} == {Kind.ITEM}
    assert found[0].lead == "Before your shift:"
    assert told("Written warning, kept until the end.\nRelease from work with pay.") == [
        "Written warning, kept until the end.",
        "Release from work with pay.",
    ]


def test_headings_lead_ins_rules_and_fragments_are_left_out() -> None:
    assert told("# Travel policy\n\nHotels\n\nAs follows:\n\n---\n\nA hotel costs 120 EUR.") == [
        "A hotel costs 120 EUR."
    ]
    assert told("") == told("\n\n") == told("Hotels") == []


def test_name_and_value_stand_on_their_own() -> None:
    assert told("E23: Compressor too hot") == ["E23: Compressor too hot."]


@example("1\n:\na .")
@example("1  | 1")
@given(st.text(alphabet="ab AB.|\n-1:#", max_size=200))
def test_every_quote_stands_in_the_text_white_space_aside(text: str) -> None:
    flat = " ".join(text.split())
    for unit in units(text):
        assert unit.quote in flat
        assert unit.text.strip()
