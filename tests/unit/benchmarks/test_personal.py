"""The generated personal data: the same everywhere, where it is said to be, and valid where validity is asked for."""

from benchmarks.personal_texts import personal_texts
from benchmarks.personal_words import FORMATS
from schemas.redaction import Kind


def test_texts_are_the_same_again_and_differ_by_seed() -> None:
    assert list(personal_texts(20, 1)) == list(personal_texts(20, 1))
    assert list(personal_texts(20, 1)) != list(personal_texts(20, 2))


def test_every_format_and_every_kind_is_there() -> None:
    texts = list(personal_texts(100, 1))
    assert {text.format for text in texts} == FORMATS.keys()
    kinds = {truth.kind for text in texts for truth in text.truths}
    assert kinds == set(Kind) - {Kind.PRIVATE}


def test_values_lie_where_they_are_said_to_and_nothing_is_left_to_fill_in() -> None:
    for text in personal_texts(200, 3):
        assert "{" not in text.text
        values = {text.text[truth.start : truth.end] for truth in text.truths}
        assert all(value.strip() == value and value for value in values)
        assert all("@" in text.text[t.start : t.end] for t in text.truths if t.kind is Kind.EMAIL)
