"""Responses as values: whatever comes back is counted, nothing raises."""

import orjson
import pytest

from benchmarks.client import read_reply
from benchmarks.load import Outcome

TIMES = {"timings_ms": {"total": 5.0}}


def test_an_answer_keeps_its_times_and_each_cited_document_once() -> None:
    cited: list[dict[str, str]] = [{"doc_id": "a"}, {"doc_id": "a"}, {"doc_id": "b"}]
    reply = read_reply(200, orjson.dumps({"refusal": None, "answer": "35 days", "citations": cited} | TIMES))
    assert (reply.outcome, reply.answer, reply.sources) == (Outcome.ANSWER, "35 days", ("a", "b"))
    assert reply.timings_ms == {"total": 5.0}


def test_search_results_are_sources_too() -> None:
    reply = read_reply(200, orjson.dumps({"refusal": None, "results": [{"doc_id": "a"}]} | TIMES))
    assert (reply.outcome, reply.sources) == (Outcome.ANSWER, ("a",))


@pytest.mark.parametrize(("reason", "outcome"), [("no_source", Outcome.REFUSAL), ("overloaded", Outcome.SHED)])
def test_a_refusal_because_of_load_is_not_one_because_of_documents(reason: str, outcome: Outcome) -> None:
    body: dict[str, object] = {"refusal": {"reason": reason, "detail": ""}, "answer": None, "citations": []}
    reply = read_reply(200, orjson.dumps(body | TIMES))
    assert (reply.outcome, reply.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("status", "content", "outcome"),
    [
        (429, b'{"title": "overloaded"}', Outcome.SHED),
        (503, b"{}", Outcome.ERROR),
        (200, b"<html>", Outcome.ERROR),
        (200, b"[]", Outcome.ERROR),
    ],
)
def test_problems_are_told_apart(status: int, content: bytes, outcome: Outcome) -> None:
    assert read_reply(status, content).outcome is outcome
