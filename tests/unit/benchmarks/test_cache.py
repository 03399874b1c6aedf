"""What the cache benchmark changes, and how it judges: every way of being wrong is told apart."""

from collections import Counter
from datetime import UTC, datetime
from itertools import islice

import pytest

from benchmarks.cache import CachePlan, _Run, figures
from benchmarks.cache_changes import AUDIENCES, Asked, Company, questions
from benchmarks.cache_oracle import Given, judge
from benchmarks.load import Outcome, Reply, Sample
from benchmarks.results import Machine, NothingMeasuredError, Setup
from schemas.identity import DocId, Source, Tenant
from schemas.records import Commit, Coordinates, Origin
from schemas.sources import SourceConfig
from schemas.versions import Op

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SALES = Asked(0, 3)
SETUP = Setup(Machine(cores=2, memory_mb=1, cpu="a CPU", python="3.11"), "abc", NOW, {}, load_before=0.0)
PLAN = CachePlan(SourceConfig(name="bench-cache", tenant="bench-cache", kind="webhook"), [], "bench")


def commit(seq: int, doc_id: str, *acl: str, before: tuple[str, ...] | None = None) -> Commit:
    at = Coordinates(topic="t", partition=0, offset=seq)
    return Commit(
        tenant=Tenant("acme"),
        source=Source("web"),
        doc_id=DocId(doc_id),
        generation="g1",
        incarnation="i1",
        epoch=1,
        seq=seq,
        batch_from=seq - 1,
        batch_to=seq,
        op=Op.UPSERT,
        removed=(),
        added=(),
        acl_before=before,
        acl_after=acl,
        change=at,
        mutation=at,
        origin=Origin(connector="webhook", reference="r"),
        received_at=NOW,
        prepared_at=NOW,
        committed_at=NOW,
    )


def reply(seq: int, answer: str = "a", *, is_cached: bool = False, doc_id: str = "d") -> Reply:
    times = {"total": 2.0}
    return Reply(Outcome.ANSWER, times, answer, (doc_id,), evidence=(doc_id,), seq=seq, is_cached=is_cached)


COMPUTED = Given(SALES, reply(5))


@pytest.mark.parametrize(
    ("given", "commits", "counts"),
    [
        ([COMPUTED, Given(SALES, reply(6, is_cached=True), reply(6))], [commit(6, "x", "board")], {"same": 1}),
        ([COMPUTED, Given(SALES, reply(6, is_cached=True))], [commit(6, "x", "sales")], {"rule_broken": 1}),
        ([COMPUTED, Given(SALES, reply(6, is_cached=True))], [commit(6, "x", before=("public",))], {"rule_broken": 1}),
        (
            [COMPUTED, Given(SALES, reply(6, is_cached=True), reply(6, "b"))],
            [commit(6, "d", "sales")],
            {"rule_broken": 1, "stale": 1},
        ),
        ([COMPUTED, Given(SALES, reply(5, is_cached=True), reply(5, "b"))], [commit(6, "d", "sales")], {"moved_on": 1}),
        ([COMPUTED, Given(SALES, reply(5, is_cached=True), reply(5, "b"))], [], {"ranked_otherwise": 1}),
        ([Given(SALES, reply(5, is_cached=True))], [], {"unknown_origin": 1}),
        ([COMPUTED, Given(SALES, reply(6)), Given(SALES, reply(7, "b"))], [], {"could_hit": 1}),
    ],
)
def test_a_verdict_tells_every_way_of_being_wrong_apart(
    given: list[Given], commits: list[Commit], counts: dict[str, int]
) -> None:
    verdict = judge(given, commits, "bench")
    ways = ("same", "stale", "moved_on", "ranked_otherwise", "rule_broken", "unknown_origin", "could_hit")
    assert {way: found for way in ways if (found := getattr(verdict, way))} == counts
    assert (not verdict.spoiled) == (not {"stale", "rule_broken", "unknown_origin"} & counts.keys())


def test_an_answer_given_again_is_measured_from_its_newest_computation() -> None:
    given = [COMPUTED, Given(SALES, reply(7)), Given(SALES, reply(8, is_cached=True))]
    assert judge(given, [commit(6, "x", "sales")], "bench").rule_broken == 0


def test_a_company_changes_in_every_way_and_only_what_is_there() -> None:
    company = Company(20, seed=1, run="r")
    assert len(company.founding()) == 20
    kinds = Counter(company.change()[0] for _ in range(500))
    assert kinds.keys() == {"edit", "delete", "recreate", "acl", "supersede", "withdraw"}
    assert len(company.closing()) == len(company.present) + len(company.newer)


def test_a_company_is_the_same_for_the_same_seed() -> None:
    one, other = Company(20, 3, "r"), Company(20, 3, "r")
    assert [one.founding(), *(one.change() for _ in range(50))] == [
        other.founding(),
        *(other.change() for _ in range(50)),
    ]


def test_few_questions_are_asked_most_of_the_time() -> None:
    asked = Counter(islice(questions(50, seed=1), 5000))
    assert sum(count for _, count in asked.most_common(40)) > 2500
    assert {one.audience for one in asked} == set(range(len(AUDIENCES)))


def sample(given: Reply) -> Sample[Asked]:
    return Sample(SALES, 0.0, 0.0, 0.01, given)


def test_the_figures_state_what_was_stale_and_how_much_was_purged_for_nothing() -> None:
    run = _Run([sample(reply(5)), sample(reply(5, is_cached=True))], [COMPUTED, Given(SALES, reply(5, is_cached=True))])
    still = [sample(reply(9, is_cached=True))]
    changing, alone, together = figures(PLAN, run, still, still, SETUP)
    assert (changing.outcomes["stale"], changing.outcomes["cached"], changing.outcomes["computed"]) == (0, 1, 1)
    assert (changing.settings["hit_rate"], changing.settings["hits_of_oracle"]) == (0.5, 1.0)
    assert (alone.name, together.name) == ("cache.one_client.server", "cache.several_clients.server")
    assert together.requests_per_s == 100.0


def test_a_run_without_a_cached_answer_is_no_measurement() -> None:
    with pytest.raises(NothingMeasuredError, match="ANSWER_CACHE_MB"):
        figures(PLAN, _Run([sample(reply(5))]), [], [], SETUP)
