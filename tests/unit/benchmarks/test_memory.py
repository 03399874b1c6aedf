"""The documents and the arithmetic of the benchmark of memory."""

import pytest

from benchmarks.memory import slope
from benchmarks.mixed import mixed
from schemas.errors import UnreadableError
from streams.parse.document import read_document

LETTERS = [f"Dear Ann Lee, letter {number} is on its way." for number in range(9)]


@pytest.mark.parametrize(
    ("number", "kind"),
    [(1, "text"), (2, "html"), (3, "csv"), (4, "json"), (5, "xml"), (6, "eml"), (7, "docx"), (9, "markdown")],
)
def test_a_document_is_of_its_format(number: int, kind: str) -> None:
    one = mixed(number, LETTERS)
    document = read_document(one.body, None, one.doc_id)
    assert document.kind == kind
    assert len(document.text) > 100


def test_every_tenth_document_is_broken() -> None:
    one = mixed(18, LETTERS)
    with pytest.raises(UnreadableError):
        read_document(one.body, None, one.doc_id)


def test_the_slope_is_that_of_the_second_half() -> None:
    documents = [1000, 2000, 3000, 4000]
    assert slope(documents, [100, 300, 310, 312]) == pytest.approx(2.0)
    assert slope(documents[:2], [100, 300]) == 0.0
    assert slope(list(range(1, 11)), [0, 0, 0, 0, 0, 10, 10, 10, 10, 70]) == 0.0
