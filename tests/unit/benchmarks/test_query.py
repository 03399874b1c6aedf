"""Query figures from samples: which step is the top, what counts as right."""

from datetime import UTC, datetime

import pytest

from benchmarks.corpus import Question
from benchmarks.load import Outcome, Reply, Sample
from benchmarks.preparation import Prepared
from benchmarks.query import Measured, QueryPlan, client_levels, figures, is_right, is_saturated
from benchmarks.results import Machine, NothingMeasuredError, Setup
from schemas.sources import SourceConfig

ASKED = Question("How long?", "d", "35 days")
PLAN = QueryPlan(SourceConfig(name="bench-200", tenant="bench-200", kind="webhook"), "token", chunks=200)
SETUP = Setup(
    Machine(cores=2, memory_mb=24_000, cpu="a CPU", python="3.11"),
    "abc",
    datetime(2026, 1, 1, tzinfo=UTC),
    {"api": 1},
    load_before=0.0,
)


def step(rate: int, outcome: Outcome = Outcome.ANSWER) -> list[Sample[Question]]:
    """`rate` samples within one second, the last of them with `outcome`."""
    answered = Reply(Outcome.ANSWER, {"embed": 3.0, "total": 8.0}, "It is 35 days.", ("d",))
    samples = [Sample(ASKED, number / rate, number / rate, (number + 1) / rate, answered) for number in range(rate)]
    last = samples[-1]
    return [*samples[:-1], Sample(ASKED, last.due, last.sent, last.done, Reply(outcome, {"total": 8.0}))]


@pytest.mark.parametrize(("most", "levels"), [(1, (1,)), (4, (1, 2, 4)), (32, (1, 2, 4, 8, 16, 32)), (5, (1, 2, 4, 5))])
def test_clients_double_up_to_the_most(most: int, levels: tuple[int, ...]) -> None:
    assert client_levels(most) == levels


def test_the_top_is_found_when_throughput_stops_rising_or_requests_are_turned_away() -> None:
    assert not is_saturated([step(10)])
    assert not is_saturated([step(10), step(20)])
    assert is_saturated([step(10), step(20), step(20)])
    assert is_saturated([step(10), step(40, Outcome.SHED)])


@pytest.mark.parametrize(
    ("sources", "answer", "right"),
    [(("d",), "Kept for 35 days.", True), (("e",), "Kept for 35 days.", False), (("d",), "Kept for long.", False)],
)
def test_an_answer_is_right_when_it_cites_the_document_and_states_the_fact(
    sources: tuple[str, ...], answer: str, right: bool
) -> None:
    assert is_right(ASKED, Reply(Outcome.ANSWER, answer=answer, sources=sources)) is right


def test_the_figures_name_the_highest_rate_and_count_every_outcome() -> None:
    measured = Measured(step(10), step(10, Outcome.SHED), [(1, step(10)), (2, step(30)), (4, step(20))])
    server, request, opened, top = figures(PLAN, Prepared(20, 200, 0.0), measured, SETUP)
    assert [one.name for one in (server, request, opened, top)] == [
        "query.one_client.server",
        "query.one_client.request",
        "query.open_loop.request",
        "query.saturation.request",
    ]
    assert (server.p50, server.stages["embed"].p50) == (8.0, 3.0)
    assert request.p50 == pytest.approx(100)
    assert (opened.n, opened.outcomes["shed"], opened.outcomes["right"]) == (9, 1, 9)
    assert top.requests_per_s == pytest.approx(30)
    assert top.settings["clients"] == 2
    assert top.steps is not None
    assert [one.clients for one in top.steps] == [1, 2, 4]


def test_a_run_without_answers_is_an_error_that_names_what_came_back() -> None:
    failed = [Sample(ASKED, 0, 0, 1, Reply(Outcome.ERROR, reason="HTTP 503"))]
    with pytest.raises(NothingMeasuredError, match="HTTP 503"):
        figures(PLAN, Prepared(20, 200, 0.0), Measured(failed, failed, [(1, failed)]), SETUP)
