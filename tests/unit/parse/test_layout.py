"""Lines on pages as pieces: what belongs together, what is a heading, what only repeats."""

import pytest

from streams.core.blocks import BlockKind
from streams.parse.layout import pieces_of
from streams.parse.page_edges import Line, without_repeated


def line(text: str, place: int, page: int = 1, size: float = 10.0, right: float = 500.0) -> Line:
    """A line of a page, `place` lines from its top."""
    return Line(text, page, 50.0, right, 800.0 - 12.0 * place, size)


def page(number: int, *texts: str) -> list[Line]:
    return [line(text, 10 * place, number) for place, text in enumerate(texts)]


def seen(*lines: Line) -> list[tuple[str, str]]:
    return [(piece.kind.value, piece.text) for piece in pieces_of([lines])]


def test_lines_of_a_paragraph_are_joined_and_words_mended() -> None:
    lines = line("The pump is ser-", 0), line("viced every quarter", 1), line("by two engineers.", 2)
    assert seen(*lines) == [("paragraph", "The pump is serviced every quarter by two engineers.")]


def test_lines_that_end_early_stay_lines() -> None:
    lines = line("Aurora Ltd", 0, right=150), line("1 Harbour Street", 1, right=200), line("A full line of text", 2)
    assert seen(*lines) == [("paragraph", "Aurora Ltd\n1 Harbour Street\nA full line of text")]


def test_a_gap_parts_paragraphs() -> None:
    assert len(seen(line("One.", 0), line("Two.", 3))) == 2


def test_larger_lines_and_lines_in_capitals_are_headings() -> None:
    lines = (line("Manual", 0, size=20), line("Service", 3, size=14), line("The pump is serviced often.", 6),
             line("3. SAFETY RULES", 9), line("Close the valve first.", 10))  # fmt: skip
    pieces = pieces_of([lines])
    headings = [(piece.text, piece.level) for piece in pieces if piece.kind is BlockKind.HEADING]
    assert headings == [("Manual", 1), ("Service", 2), ("3. SAFETY RULES", 3)]


def test_items_begin_at_bullets_and_numbers() -> None:
    lines = line("• Close the valve", 0), line("and wait.", 1), line("2. Look at it.", 2)
    assert seen(*lines) == [("list_item", "Close the valve and wait."), ("list_item", "2. Look at it.")]


def test_headers_footers_and_page_numbers_that_repeat_are_left_out() -> None:
    pages = [page(number, "Aurora 2026", f"Words {number}.", "More.", "And.", f"Seite {number}/3")
             for number in (1, 2, 3)]  # fmt: skip
    assert [line.text for one in without_repeated(pages) for line in one if line.page == 2] == [
        "Words 2.",
        "More.",
        "And.",
    ]


def test_a_line_that_repeats_in_the_middle_of_pages_stays() -> None:
    pages = [page(number, *(f"{word} {number}{word}" for word in "abc"), "Stay.", *"defghi") for number in (1, 2)]
    assert all("Stay." in [line.text for line in one] for one in without_repeated(pages))


def test_a_single_page_loses_nothing() -> None:
    assert len(without_repeated([page(1, "Header", "Text.", "1")])[0]) == 3


def test_a_table_of_contents_is_left_out() -> None:
    contents = [
        line("Preface ....... iv", 0),
        line("1 Introduction . . . . . . . . 3", 1),
        line("2 Use ........ 14", 2),
    ]
    pages = [[*contents, line("Words.", 6)], *([] for _ in range(14))]
    assert [piece.text for piece in pieces_of(pages)] == ["Words."]


@pytest.mark.parametrize("prices", [("Espresso", 2, 250), ("Fee per year", 1, 9, 8), ("Fee per year", 1, 9, 250)])
def test_prices_behind_leaders_stay(prices: tuple[str, int]) -> None:
    name, *numbers = prices
    lines = [line(f"{name} {place} ........... {number}", place) for place, number in enumerate(numbers)]
    text = "\n".join(piece.text for piece in pieces_of([lines, [], []]))
    assert all(f"........... {number}" in text for number in numbers)


def statement(row: str) -> list[list[Line]]:
    """A table over three pages, a row of numbers a line."""
    return [
        [line(row.format(page=number, row=row_, sum=row_ * 13 + number), row_, number) for row_ in range(1, 25)]
        for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    "row",
    [
        "2024-0{page}-{row:02d} Transfer {sum}.00 EUR",
        "2024-0{page}-01 Rent 500.00",
        "{row} Widget {sum}",
        "{page}{row:02d}",
        "{sum}. Widget 5.00",
    ],
)
def test_rows_of_a_table_over_pages_stay_where_they_look_alike(row: str) -> None:
    pages = statement(row)
    assert without_repeated(pages) == pages


@pytest.mark.parametrize(
    "last", ["Total: 1500", "1500", "Civil", "Mix", "Rent 5", "5 percent", "€ 500", "(500 EUR)", "Did", "B 12", "12/a"]
)
def test_a_last_line_that_is_no_page_number_stays(last: str) -> None:
    pages = [page(1, *"abcdefgh", "Words of it."), page(2, *"ijklmnop", last)]
    assert without_repeated(pages)[1][-1].text == last


@pytest.mark.parametrize(
    "number",
    ["{0}", "- {0} -", "Page {0}", "Seite {0} von 9", "p. {0}", "{0}/9", "Page {0} of 9", "Стр. {0}", "第{0}页",
     "Aurora Ltd | Page {0} of 9", "{0} Aurora manual", "Manual 2026   {0}", "Aurora 4711 - Seite {0}"],
)  # fmt: skip
@pytest.mark.parametrize("ahead", [0, 216])
def test_page_numbers_are_left_out_wherever_they_begin(number: str, ahead: int) -> None:
    pages = [page(one, *"abcdefgh", f"Words {one * 7}.", number.format(one + ahead)) for one in (1, 2, 3)]
    assert [one[-1].text for one in without_repeated(pages)] == ["Words 7.", "Words 14.", "Words 21."]


def test_headings_that_are_numbered_like_pages_stay() -> None:
    pages = [
        [line(f"Chapter {one}", 0, one, size=18), line(f"Words of it, many of them, and {one * 7}.", 2, one)]
        for one in (1, 2, 3)
    ]
    assert [piece.text for piece in pieces_of(pages) if piece.kind is BlockKind.HEADING] == [
        "Chapter 1",
        "Chapter 2",
        "Chapter 3",
    ]


def test_a_paragraph_goes_on_over_pages_and_knows_where_each_begins() -> None:
    pages = ["It goes on and", "on and on", "to its end."]
    (piece,) = pieces_of([[line(text, 0, page=number)] for number, text in enumerate(pages, 1)])
    assert (piece.text, piece.page) == ("It goes on and on and on to its end.", 1)
    assert [(piece.text[at:], page) for at, page in piece.page_breaks] == [
        ("on and on to its end.", 2),
        ("to its end.", 3),
    ]
