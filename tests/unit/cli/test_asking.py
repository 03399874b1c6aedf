"""Questions from the command line: what is sent, in whose name, and how an answer is shown."""

from datetime import UTC, datetime

import pytest

from cli.asking import position_of, render_answer, render_search, request_body

POSITION = {"seq": 17, "generation": "g1", "incarnation": "i1"}


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ((None, None, None, None, None), {}),
        ((3, None, None, None, None), {"top_k": 3}),
        ((None, ["wiki", "desk"], None, None, None), {"filters": {"source": ["wiki", "desk"]}}),
        ((None, [], None, [], None), {}),
        ((None, None, 0, None, 0), {"as_of": 0, "wait_ms": 0}),
        ((None, None, None, ["token"], 50), {"at_least": ["token"], "wait_ms": 50}),
    ],
)
def test_a_request_holds_what_was_asked_for_and_nothing_else(
    arguments: tuple[int | None, list[str] | None, int | None, list[str] | None, int | None], body: dict[str, object]
) -> None:
    assert request_body("Why?", *arguments) == {"question": "Why?"} | body


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ("0", 0),
        ("17", 17),
        ("90s", "2026-11-21T11:58:30+00:00"),
        ("10m", "2026-11-21T11:50:00+00:00"),
        ("1d", "2026-11-20T12:00:00+00:00"),
        ("2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z"),
        ("yesterday", "yesterday"),
    ],
)
def test_as_of_is_a_seq_a_time_or_so_long_ago(given: str | None, sent: int | str | None) -> None:
    assert position_of(given, datetime(2026, 11, 21, 12, tzinfo=UTC)) == sent


def test_an_answer_is_shown_with_its_sources_and_its_position(capsys: pytest.CaptureFixture[str]) -> None:
    citation = {
        "n": 1,
        "title": "Travel [2026]",
        "source": "handbook",
        "doc_id": "policies/travel.md",
        "version": "1.4.0",
        "url": None,
        "quote": "A hotel may cost 120 EUR.",
        "part_of": "mail/7.eml",
        "origin": {"topic": "documents.changes", "partition": 2, "offset": 4, "page": 3},
    }
    render_answer(
        {
            "answer": "120 EUR [1].",
            "refusal": None,
            "citations": [citation],
            "position": POSITION,
            "timings_ms": {"total": 7.04},
        }
    )
    shown = capsys.readouterr().out
    assert shown.startswith("120 EUR [1].\n")
    assert "[1] Travel [2026]  (handbook/policies/travel.md)" in shown
    assert "attached to mail/7.eml\n" in shown
    assert "page 3  version 1.4.0  log documents.changes/2/4" in shown
    assert "“A hotel may cost 120 EUR.”" in shown
    assert shown.endswith("position 17 of g1-i1 · 7.0 ms\n")


def test_a_refusal_is_shown_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    render_answer({"answer": None, "refusal": {"reason": "no_source", "detail": "Nothing fits."}, "citations": []})
    assert capsys.readouterr().out == "No answer (no_source): Nothing fits.\n"


def test_results_are_shown_best_first_and_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"title": "Leave", "source": "handbook", "doc_id": "leave", "text": "y" * 400}
    render_search({"results": [result], "position": POSITION, "timings_ms": {}})
    shown = capsys.readouterr().out
    assert shown.startswith("1. Leave  (handbook/leave)\n   " + "y" * 300 + "\n")
    assert "position 17" in shown
    render_search({"results": []})
    assert capsys.readouterr().out == "nothing found\n"
