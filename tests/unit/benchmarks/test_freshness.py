"""Freshness figures from events and commits: stages add up, and what was not reached is counted, not measured."""

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.commits import Moments, stage_times
from benchmarks.freshness import Attempt, FreshnessPlan, figures, notice, outcome_of
from benchmarks.load import Outcome, Reply
from benchmarks.results import Machine, NothingMeasuredError, Setup
from schemas.identity import DocId, Source, Tenant
from schemas.records import Commit, Coordinates, Origin
from schemas.sources import SourceConfig
from schemas.versions import Op

PLAN = FreshnessPlan(SourceConfig(name="helpdesk", tenant="aurora", kind="webhook", default_acl=("public",)), "token")
SETUP = Setup(
    Machine(cores=2, memory_mb=24_000, cpu="a CPU", python="3.11"),
    "abc",
    datetime(2026, 1, 1, tzinfo=UTC),
    {"api": 1},
    load_before=0.0,
)
START = datetime(2026, 1, 1, tzinfo=UTC)
AT = Coordinates(topic="documents.changes", partition=0, offset=0)


def commit(doc_id: str) -> Commit:
    """Received 1 ms, prepared 11 ms, committed 31 ms after START."""
    return Commit(
        tenant=Tenant("aurora"), source=Source("helpdesk"), doc_id=DocId(doc_id), generation="g1", incarnation="i1",
        epoch=1, seq=1, batch_from=0, batch_to=1, op=Op.UPSERT, removed=(), added=("a",), acl_after=("public",),
        change=AT, mutation=AT, origin=Origin(connector="webhook", reference="m/0"),
        received_at=START + timedelta(milliseconds=1), prepared_at=START + timedelta(milliseconds=11),
        committed_at=START + timedelta(milliseconds=31),
    )  # fmt: skip


def moments() -> Moments:
    """Accepted 5 ms, answered 40 ms after START."""
    begun = START.timestamp()
    return Moments(begun, begun + 0.005, begun + 0.040)


def attempt(number: int, outcome: str = "answered") -> Attempt:
    way = PLAN.ways[number % 2]
    return Attempt(f"bench/r/{number:05d}", way, outcome, moments(), answered_ms=35.0, timings_ms={"total": 9.0})


def test_the_stages_of_a_change_follow_each_other() -> None:
    found = stage_times(moments(), commit("d"))
    expected = {
        "sent_to_accepted": 5,
        "received_to_prepared": 10,
        "prepared_to_committed": 20,
        "committed_to_answered": 9,
        "accepted_to_committed": 26,
        "sent_to_answered": 40,
    }
    assert found == pytest.approx(expected, abs=0.01)
    assert list(found) == list(expected)


def test_there_is_a_figure_for_each_way_of_asking_and_one_for_the_commit() -> None:
    attempts = [attempt(number) for number in range(6)]
    search, query, committed = figures(PLAN, attempts, {one.doc_id: commit(one.doc_id) for one in attempts}, SETUP)
    assert [one.name for one in (search, query, committed)] == [
        "freshness.webhook.search",
        "freshness.webhook.query",
        "freshness.webhook.committed",
    ]
    assert (search.n, query.n, committed.n) == (3, 3, 6)
    assert search.p50 == 35.0
    assert committed.p50 == pytest.approx(26, abs=0.01)
    assert search.stages["search.total"].p50 == 9.0
    assert {"name", "unit", "n", "p50", "p95", "p99", "machine", "commit"} <= search.published().keys()


def test_what_was_not_reached_is_counted_and_not_measured() -> None:
    attempts = [*(attempt(number) for number in range(4)), attempt(4, "unreached"), attempt(5, "not_accepted")]
    search, query, _ = figures(PLAN, attempts, {one.doc_id: commit(one.doc_id) for one in attempts[:4]}, SETUP)
    assert (search.n, search.outcomes["answered"], search.outcomes["unreached"]) == (2, 2, 1)
    assert query.outcomes["not_accepted"] == 1


def test_no_sample_at_all_is_an_error_and_no_figure() -> None:
    with pytest.raises(NothingMeasuredError, match="unreached"):
        figures(PLAN, [attempt(0, "unreached"), attempt(1, "unreached")], {}, SETUP)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(Outcome.ANSWER, sources=("other", "d")), "answered"),
        (Reply(Outcome.ANSWER, sources=("other",)), "reached_not_found"),
        (Reply(Outcome.REFUSAL, reason="no_source"), "reached_not_found"),
        (Reply(Outcome.REFUSAL, reason="not_yet_indexed"), "unreached"),
        (Reply(Outcome.SHED, reason="HTTP 429"), "shed"),
        (Reply(Outcome.ERROR, reason="HTTP 503"), "error"),
    ],
)
def test_a_change_counts_as_answered_only_where_its_document_is_a_source(reply: Reply, outcome: str) -> None:
    assert outcome_of(reply, "d") == outcome


def test_two_runs_post_different_texts_to_the_same_questions() -> None:
    first, asked = notice(PLAN, "run1", 3)
    second, again = notice(PLAN, "run2", 3)
    assert asked == again
    assert first["title"] != second["title"]
    assert asked.fact in str(first["body"])
