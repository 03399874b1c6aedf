"""Words as the deciders compare them."""

import pytest

from serving.core.words import ordered_terms, terms, words


@pytest.mark.parametrize(
    "family",
    [
        ("warranty", "warranties"),
        ("code", "codes"),
        ("acknowledge", "acknowledges", "acknowledged", "acknowledgement"),
        ("release", "released", "releases"),
        ("transfer", "transferred", "transfers"),
        ("install", "installed", "installer", "installation"),
        ("pay", "paid", "pays"),
        ("city", "cities"),
        ("seven", "7"),
        ("Café", "cafe"),
    ],
)
def test_words_of_one_family_share_a_stem(family: tuple[str, ...]) -> None:
    assert len({frozenset(terms(word)) for word in family}) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("hotel", "hospital"), ("price", "prize"), ("E23", "E24"), ("2025", "2026")]
)
def test_other_words_do_not(one: str, other: str) -> None:
    assert terms(one) != terms(other)


def test_numbers_keep_their_marks() -> None:
    assert words("5,490 EUR at 08:30, 0.35 each") == ["5,490", "eur", "at", "08:30", "0.35", "each"]


def test_stop_words_are_left_out_and_order_is_kept() -> None:
    assert terms("What is the of") == frozenset()
    assert ordered_terms("the pump and the pump") == ["pump", "pump"]
