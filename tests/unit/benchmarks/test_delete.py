"""The figures of `bench delete`: what counts as gone, what stands beside, and that nothing measured is an error."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from benchmarks.delete import GONE, OPS, STILL_THERE, WAYS, Attempt, DeletePlan, Surroundings, figures
from benchmarks.results import Machine, NothingMeasuredError, Setup
from schemas.identity import tenant_name
from schemas.sources import SourceConfig

SOURCE = SourceConfig(name="helpdesk", tenant=tenant_name("aurora"), kind="webhook", default_acl=("public",))
PLAN = DeletePlan(SOURCE, "bearer", samples=2)
SETUP = Setup(
    Machine(cores=2, memory_mb=1, cpu="c", python="3.11"), "abc", datetime(2026, 1, 1, tzinfo=UTC), {"api": 1.0}, 0.1
)


def attempts() -> list[Attempt]:
    """One of each operation and way, twice."""
    return [
        Attempt(f"d{number}", OPS[number % 2], WAYS[number // 2 % 2], GONE, 100.0, 40.0 + number, 4)
        for number in range(PLAN.documents)
    ]


def test_there_is_a_figure_for_each_operation_and_way_of_asking() -> None:
    found = figures(PLAN, attempts(), {"d0": 100.02}, Surroundings(), SETUP)
    names = ["delete.idle.search", "delete.idle.query", "revocation.idle.search", "revocation.idle.query"]
    assert [figure.name for figure in found] == names
    assert [figure.n for figure in found] == [2, 2, 2, 2]
    assert found[0].p50 == 42.0
    assert found[0].stages["accepted_to_hidden"].p50 == pytest.approx(20.0, abs=0.01)
    assert found[0].stages["ms_a_question"].p50 == 10.5


def test_what_is_still_there_is_counted_and_not_measured() -> None:
    first, *rest = attempts()
    plan = replace(PLAN, backlog=10_000)
    found = figures(plan, [replace(first, outcome=STILL_THERE), *rest], {}, Surroundings(9900, 9800, 3), SETUP)
    assert (found[0].name, found[0].n, found[0].outcomes[STILL_THERE]) == ("delete.backlog.search", 1, 1)
    assert (found[0].outcomes["waiting_before"], found[0].outcomes["large_commits"]) == (9900, 3)


def test_nothing_that_goes_is_an_error_and_no_figure() -> None:
    with pytest.raises(NothingMeasuredError, match="still_there"):
        figures(PLAN, [replace(one, outcome=STILL_THERE) for one in attempts()], {}, Surroundings(), SETUP)
