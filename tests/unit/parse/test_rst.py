"""reStructuredText with what docutils does not know or takes for an error: its words stay."""

import pytest

from streams.parse.document import read_document


def read(body: str) -> str:
    return read_document(f"Title\n=====\n\nBefore it.\n\n{body}\n\nAfter it.\n".encode(), "text/x-rst", "a").text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (".. mybox:: Heads up\n   :class: wide\n\n   Kept words\n   of it.\n\n   And more.",
         ["Heads up", "Kept words of it.", "And more."]),
        ("===== =====\nA     B\n===== =====\none two and far too long for it\nthree four\n===== =====",
         ["two and far too long", "three four"]),
        ("+----+----+\n| a  | b |\n+----+----+\n| kept words | c |\n+----+----+", ["kept words"]),
        ("A\n-\n\ntext a\n\nOdd heading\n^^^^^^^^^^^\n\ntext b\n\nB\n-\n\nWrong level\n~~~~~~~~~~~\n\ntext c",
         ["Odd heading", "text b", "Wrong level", "text c"]),
        ("   Quoted.\n\n   Kept title\n   ----------\n\n   More.", ["Quoted.", "Kept title", "More."]),
        (".. table:: bad\n\n   kept words", ["kept words"]),
        (".. image::\n\n   kept words", ["kept words"]),
        ("Kept words of\nOver\n----\nall.", ["Kept words", "Over", "all."]),
        ("=====\nKept\n\nwords.", ["Kept", "words."]),
    ],
)  # fmt: skip
def test_what_docutils_takes_for_an_error_keeps_its_words(body: str, said: list[str]) -> None:
    text = read(body)
    places = [text.index(one) for one in ["Before it.", *said, "After it."]]
    assert places == sorted(places)
    assert "directive" not in text


def test_a_title_with_a_short_rule_is_read_once() -> None:
    assert read("A longer title\n---\n\nWords.").count("A longer title") == 1
