"""Thresholds, editions, context and routes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from serving.core.context import choose, distinct
from serving.core.editions import in_force
from serving.core.rerank import rerank
from serving.core.route import Route, route
from serving.core.threshold import Thresholds, designations, support
from serving.core.words import terms
from tests.unit.serving.passages import passage

OLD, NEW = datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cosine", "support_", "is_about", "accepted"),
    [
        (0.70, 0.0, True, True),
        (0.60, 0.0, True, False),
        (0.60, 0.2, True, True),
        (0.40, 0.6, True, True),
        (0.40, 0.5, True, False),
        (0.24, 1.0, True, False),
        (0.90, 1.0, False, False),
    ],
)
def test_a_source_is_close_or_close_enough_with_the_questions_words(
    cosine: float, support_: float, is_about: bool, accepted: bool
) -> None:
    assert Thresholds().accepts(passage("x", cosine=cosine, support=support_, is_about=is_about)) is accepted


def test_support_is_the_share_of_content_words_found_anywhere() -> None:
    asked = terms("How long is the warranty of a pump?")
    assert support(asked, ["Warranties", "pumps and more"]) == 1.0
    assert support(asked, ["Warranty"]) == 0.5
    assert support(frozenset(), ["x"]) == 0.0


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("What does E23 mean?", {"e23"}),
        ("What is the price of a Polar 16?", {"16"}),
        ("What was decided in case 2026-017?", {"2026", "017"}),
        ("Which gateways do not receive Lumen 4.7?", {"4.7"}),
        ("What happened on 14 March 2026?", set()),
        ("How far is it in 2026?", set()),
        ("How many of 30 days are left?", set()),
    ],
)
def test_codes_and_model_numbers_name_what_a_source_must_be_about(question: str, named: set[str]) -> None:
    assert {word for word in designations(question) if any(char.isdigit() for char in word)} == named


def test_the_more_relevant_passage_is_read_first_ties_in_fused_order() -> None:
    assert rerank([passage("a", cosine=0.5, support=0.2), passage("b", cosine=0.4, support=1.0)]) == (1, 0)
    assert rerank([passage("a"), passage("b")]) == (0, 1)


def test_the_newer_edition_replaces_the_older() -> None:
    old = passage("The hotel costs 80 EUR.", doc="old", title="Travel 2025", time=OLD)
    new = passage("The hotel costs 120 EUR.", doc="new", title="Travel 2026", time=NEW)
    assert in_force("How much is a hotel?", [old, new]) == (new,)
    assert in_force("How much was a hotel in 2025?", [old, new]) == (old,)
    assert in_force("How did the hotel price change?", [old, new]) == (old, new)


def test_without_times_the_number_of_the_title_decides() -> None:
    old, new = (
        passage("One.", doc="a", title="Limits, revision 6"),
        passage("One.", doc="b", title="Limits, revision 7"),
    )
    assert in_force("What is the limit?", [old, new]) == (new,)


def test_a_replaced_attachment_is_left_out_and_its_message_is_not() -> None:
    subject = ("Travel",)
    letter = passage("We met on Monday.", doc="m1", title="Travel", time=OLD)
    old = replace(passage("A hotel is 90.", doc="m1", title="Prices.xlsx", heading=subject, time=OLD, place=1), part=1)
    new = replace(passage("A hotel is 120.", doc="m2", title="Prices.xlsx", heading=subject, time=NEW), part=1)
    assert in_force("How much is a hotel?", [letter, old, new]) == (letter, new)


def test_attachments_of_one_message_replace_none_of_each_other() -> None:
    first = replace(passage("A hotel is 90.", doc="m", title="Offer 1.pdf"), part=1)
    second = replace(passage("A hotel is 120.", doc="m", title="Offer 2.pdf", place=1), part=2)
    assert in_force("How much is a hotel?", [first, second]) == (first, second)


def test_a_word_that_only_one_title_has_decides_before_time() -> None:
    summer = passage("The last ferry leaves at 22:15.", doc="s", title="Timetable summer", time=OLD)
    winter = passage("The last ferry leaves at 20:00.", doc="w", title="Timetable winter", time=NEW)
    assert in_force("When does the last ferry leave in summer?", [summer, winter]) == (summer,)


def test_documents_about_other_things_are_no_editions() -> None:
    one = passage("The hotel costs 80 EUR.", doc="a", title="Travel", time=OLD)
    other = passage("The pump weighs 90 kg.", doc="b", title="Pumps", time=NEW)
    assert in_force("How much?", [one, other]) == (one, other)


def test_a_much_less_relevant_newer_section_replaces_nothing() -> None:
    old = passage("The gateway learned to sing.", doc="a", title="Release 4.6", heading=("New",), time=OLD)
    new = passage("Nothing.", doc="b", title="Release 4.7", heading=("Fixed",), cosine=0.3, support=0.5, time=NEW)
    assert in_force("When did the gateway learn to sing?", [old, new]) == (old, new)


def test_near_duplicates_collapse_into_the_first_and_few_are_kept() -> None:
    text = "The warranty of the pump is seven years and covers all parts of it."
    first, again = passage(text, doc="a"), passage(text + " ", doc="b", title="Other")
    other = passage("The canteen serves soup on Monday and pasta on Tuesday.", doc="c", title="Menu")
    assert distinct([first, again, other]) == (first, other)
    assert choose("What is the warranty?", [first, other], 1) == (first,)


def test_questions_about_change_compare() -> None:
    assert route("How did the price change since last year?") is Route.COMPARISON
    assert route("What is the difference between revision 6 and 7?") is Route.COMPARISON
    assert route("What is the price?") is Route.LOOKUP
    assert route("What must I check before my shift?") is Route.LOOKUP
