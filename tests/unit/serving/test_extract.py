"""Extractive answers: what is picked, what belongs together, what must not be mixed."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from serving.core.compose import write
from serving.core.extract import MOST_SENTENCES, Pick, extract
from serving.core.guards import supported
from serving.core.passages import Passage
from tests.unit.serving.passages import passage


def said(question: str, *passages: Passage, comparing: bool = False) -> str:
    picks = extract(question, passages, comparing=comparing)
    assert supported(picks, [one.text for one in passages]) == picks
    return write(picks).answer if picks else ""


def test_the_sentence_that_holds_the_questions_words_answers() -> None:
    text = "The restaurant is closed. A hotel may cost up to 120 EUR per night. Flights are booked early."
    assert said("How much may a hotel cost?", passage(text)) == "A hotel may cost up to 120 EUR per night [1]."


def test_the_kind_of_thing_asked_for_decides_between_like_sentences() -> None:
    text = "The primary hands the rota over. The hand-over of the rota is on Wednesday at 10:00."
    assert said("When is the hand-over of the rota?", passage(text)).startswith("The hand-over of the rota is on Wed")
    text = "The report names causes. Daniel Kovac reads the report aloud."
    assert said("Who reads the report?", passage(text)) == "Daniel Kovac reads the report aloud [1]."


def test_the_row_that_the_question_names_answers_with_its_column_names() -> None:
    table = "Article | Order number | List price\nPolar 6 | P-0600 | 5,490 EUR\nPolar 9 | P-0900 | 6,690 EUR"
    answer = said("What is the list price of a Polar 9?", passage(table, title="List prices"))
    assert answer == "Polar 9 – Order number: P-0900; List price: 6,690 EUR [1]."


def test_a_sentence_that_points_back_brings_the_one_before() -> None:
    text = "Electric cars are welcome. They stand in lanes 1 and 2 near the drencher."
    answer = said("In which lanes near the drencher do cars stand?", passage(text))
    assert answer == "Electric cars are welcome [1]. They stand in lanes 1 and 2 near the drencher [1]."


def test_steps_are_given_as_a_list() -> None:
    text = "1. Check that both phones ring.\n2. Renew the key's certificate.\n3. Read the hand-over notes."
    answer = said("How do I prepare before a shift?", passage(text, heading=("Prepare before your shift",)))
    assert answer.splitlines() == [
        "- Check that both phones ring [1].",
        "- Renew the key's certificate [1].",
        "- Read the hand-over notes [1].",
    ]


def test_where_a_single_fact_is_no_answer_the_paragraph_goes_on() -> None:
    text = "The ferry touched the linkspan. The wind was 34 knots. Three passengers fell."
    answer = said("What happened to the ferry?", passage(text))
    assert answer == "The ferry touched the linkspan [1]. The wind was 34 knots [1]. Three passengers fell [1]."


def test_another_document_is_not_mixed_in_unless_both_are_asked_for() -> None:
    old = passage("The warranty is five years.", doc="old", time=datetime(2024, 1, 1, tzinfo=UTC))
    new = passage("The warranty is seven years.", doc="new", time=datetime(2026, 1, 1, tzinfo=UTC))
    assert said("How long is the warranty?", new, old) == "The warranty is seven years [1]."
    both = said("How did the warranty change?", new, old, comparing=True)
    assert both == "The warranty is five years [1]. The warranty is seven years [2]."


def test_the_same_said_twice_is_said_once() -> None:
    one = passage("The warranty of the pump is seven years.", doc="a")
    other = passage("The warranty of the pump is seven years long.", doc="b")
    assert said("How long is the warranty of the pump?", one, other).count("seven") == 1


def test_without_anything_quotable_there_is_no_answer() -> None:
    assert extract("What?", [passage("Hotels")]) == ()
    assert extract("What?", []) == ()


def test_the_guard_drops_what_the_source_does_not_contain() -> None:
    good = Pick(0, "A hotel costs 120 EUR.", "A hotel costs 120 EUR.")
    for bad in (
        Pick(0, "A hotel costs 80 EUR.", "A hotel costs 80 EUR."),
        Pick(0, "A hotel costs 120 EUR and more.", "A hotel costs 120 EUR."),
        Pick(1, "A hotel costs 120 EUR.", "A hotel costs 120 EUR."),
        Pick(-1, "A hotel costs 120 EUR.", "A hotel costs 120 EUR."),
    ):
        assert supported([good, bad], ["Indeed.\nA hotel\ncosts 120 EUR."]) == (good,)


texts = st.lists(st.text(alphabet="abc ABC.|\n-1:", max_size=120), min_size=1, max_size=4)


@given(texts, st.text(alphabet="abc ABC1", max_size=30), st.booleans())
def test_every_pick_is_supported_by_its_passage_and_there_are_few(some: list[str], question: str, both: bool) -> None:
    passages = [passage(text, doc=f"d{number}") for number, text in enumerate(some)]
    picks = extract(question, passages, comparing=both)
    assert len(picks) <= MOST_SENTENCES
    assert supported(picks, some) == picks
    assert picks == extract(question, passages, comparing=both)


OLD, NEW = datetime(2026, 6, 2, tzinfo=UTC), datetime(2026, 11, 16, tzinfo=UTC)
OLD_HOURS = "The support line is open Monday to Friday from 08:00 to 18:00."
NEW_HOURS = "Since 16 November the support line is open Monday to Saturday from 07:00 to 20:00."


def test_a_newer_document_that_says_the_same_with_other_values_answers_alone() -> None:
    told = [passage(OLD_HOURS, doc="handbook", time=OLD, cosine=0.8), passage(NEW_HOURS, doc="news", time=NEW)]
    assert [pick.text for pick in extract("When is the support line open?", told)] == [NEW_HOURS]
    assert [pick.text for pick in extract("When is the support line open?", told[::-1])] == [NEW_HOURS]


def test_what_revises_the_best_sentence_takes_its_place_before_its_neighbours() -> None:
    beside = "Partners have a support line of their own, open Monday to Friday from 07:00 to 17:00."
    told = [
        passage(f"{OLD_HOURS} {beside}", doc="handbook", time=OLD, cosine=0.9),
        passage(NEW_HOURS, doc="news", time=NEW, cosine=0.5),
    ]
    assert extract("When is the support line open?", told)[0].text == NEW_HOURS


def test_a_value_that_the_question_names_decides_for_the_older_document() -> None:
    told = [passage(OLD_HOURS, doc="handbook", time=OLD), passage(NEW_HOURS, doc="news", time=NEW)]
    assert extract("Is the support line open until 18:00?", told)[0].text == OLD_HOURS


def test_a_newer_document_about_something_else_replaces_nothing() -> None:
    other = "The partner desk is open Monday to Friday from 07:00 to 17:00."
    told = [passage(OLD_HOURS, doc="handbook", time=OLD), passage(other, doc="news", time=NEW)]
    assert extract("When is the support line open?", told)[0].text == OLD_HOURS
