"""How outcomes of golden questions are judged."""

from evaluation.golden import GoldenQuestion
from evaluation.run import Outcome, judge, run, score

ANSWER = GoldenQuestion(
    id="hotel",
    tenant="acme",
    groups=("staff",),
    question="How much?",
    expect="answer",
    documents=("web/a", "web/b"),
    contains=("120 EUR per night",),
    forbidden=("80 EUR",),
)
REFUSAL = GoldenQuestion(
    id="secret", tenant="acme", groups=("staff",), question="What?", expect="refusal", forbidden=("vault",)
)


def said(answer: str | None, *documents: str, refusal: str | None = None, text: str = "") -> Outcome:
    return Outcome(answer, refusal, documents, text or (answer or ""))


def test_an_answer_is_right_with_every_string_and_a_right_document() -> None:
    assert judge(ANSWER, said("Up to 120 EUR\nper  night [1].", "web/b", "web/z")).is_right


def test_an_answer_is_wrong_without_a_string_a_document_or_an_answer_or_with_a_forbidden_string() -> None:
    assert not judge(ANSWER, said("Up to 120 GBP per night.", "web/a")).is_right
    assert not judge(ANSWER, said("Up to 120 EUR per night.", "web/z")).is_right
    assert not judge(ANSWER, said(None, refusal="no_source")).is_right
    assert not judge(ANSWER, said("120 EUR per night, 80 EUR before.", "web/a")).is_right


def test_a_refusal_is_right_for_want_of_a_source_and_says_nothing_forbidden() -> None:
    assert judge(REFUSAL, said(None, refusal="no_source", text="Nothing here.")).is_right
    assert not judge(REFUSAL, said(None, refusal="overloaded")).is_right
    assert not judge(REFUSAL, said("It is 7.", "web/a")).is_right
    assert not judge(REFUSAL, said(None, refusal="no_source", text="the vault is closed to you")).is_right


async def test_a_run_keeps_the_sets_order_and_is_counted() -> None:
    async def ask(question: GoldenQuestion) -> Outcome:
        if question.expect == "answer":
            return said("120 EUR per night", "web/a")
        return said("It is 7.")

    judged = await run([REFUSAL, ANSWER], ask, at_once=2)
    assert [one.question.id for one in judged] == ["secret", "hotel"]
    assert str(score(judged)) == "answers 1/1, refusals 0/1"
