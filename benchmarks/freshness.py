"""How soon a change is answerable: writes one-chunk documents at an idle pace, through a webhook or as rows of a
captured table, and asks for each at once.

A sample begins when the 202 has been read, or the row's transaction is committed, and ends when the answer to a
question that carries its token has been read. So it contains the question itself: an upper bound of the time until the
change could be answered from.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from benchmarks.arrivals import jittered
from benchmarks.client import Client, Json, Posted
from benchmarks.commits import CommitReader, Moments, stage_times
from benchmarks.corpus import SECTIONS, Question, document, question
from benchmarks.load import Outcome, Reply
from benchmarks.progress import Progress
from benchmarks.quantiles import by_name, quantiles
from benchmarks.results import Figure, NothingMeasuredError, Setup
from runtime.settings import Settings
from schemas.errors import TransientError
from schemas.records import Commit
from schemas.sources import SourceConfig

Way = Literal["search", "query"]

SHORTEST_GAP = 0.15
LONGEST_GAP = 0.30
"""Seconds between events: idle, and out of step with anything that polls."""

_NAMES_FROM = 100_000
"""Documents from this number on lie in no benchmark's corpus, so their subjects are theirs alone."""
_DELETES = 50
_CLEANING_WAIT_MS = 10_000
_COMMITS_SECONDS = 5.0

UNREACHED = "unreached"
NOT_FOUND = "reached_not_found"
ANSWERED = "answered"
NOT_ACCEPTED = "not_accepted"


class Feed(Protocol):
    """Where the benchmark's documents go in."""

    async def put(self, event: Json) -> Posted:
        """One document; what it said, with a token, once it is safe there."""
        ...

    async def delete(self, doc_ids: Sequence[str]) -> Posted:
        """Take documents away."""
        ...

    def doc_id(self, doc_id: str) -> str:
        """What Millstream calls a document that was put."""
        ...


@dataclass(frozen=True, slots=True)
class WebhookFeed:
    """Signed posts."""

    client: Client
    source: SourceConfig

    async def put(self, event: Json) -> Posted:
        return await self.client.post(self.source.name, [event])

    async def delete(self, doc_ids: Sequence[str]) -> Posted:
        version = {"version": 2} if self.source.versioning == "source" else {}
        return await self.client.post(
            self.source.name, [{"op": "delete", "doc_id": doc_id, **version} for doc_id in doc_ids]
        )

    def doc_id(self, doc_id: str) -> str:
        return doc_id


@dataclass(frozen=True, slots=True)
class FreshnessPlan:
    """What to do; `bearer` may read what `source` brings in."""

    source: SourceConfig
    bearer: str
    events: int = 200
    warm_up: int = 10
    ways: tuple[Way, ...] = ("search", "query")
    wait_ms: int = 5000
    seed: int = 1
    keep: bool = False

    @property
    def feed(self) -> str:
        """How the documents go in, as figures are named by it."""
        return "cdc" if self.source.kind == "postgres" else "webhook"

    @property
    def begin(self) -> str:
        """Where a sample begins."""
        return "committing the row" if self.source.kind == "postgres" else "reading the webhook's 202"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One posted document and the question for it."""

    doc_id: str
    way: Way
    outcome: str
    moments: Moments | None = None
    answered_ms: float = 0.0
    """From the 202 to the answer, on a monotonic clock."""
    timings_ms: Mapping[str, float] | None = None
    reason: str = ""
    """Why there is no answer, in the receiver's or the API's word."""


async def measure(
    settings: Settings,
    plan: FreshnessPlan,
    setup: Callable[[], Setup],
    progress: Progress,
    feed: Feed | None = None,
) -> list[Figure]:
    """Run the plan, through the webhook unless there is another feed. Raises TransientError when nothing runs or no
    change at all became answerable.
    """
    async with Client(settings) as client:
        await client.check_ready()
        source = plan.source
        feed = feed or WebhookFeed(client, source)
        commits = await asyncio.to_thread(CommitReader, settings, source.owner, source.source, from_now=True)
        run = uuid.uuid4().hex[:8]
        attempts = await _attempts(client, feed, plan, run, progress)
        rss = setup()
        by_document = await _commits(commits, attempts)
        if not plan.keep:
            await _clean_up(client, feed, plan, run)
    return figures(plan, attempts[plan.warm_up :], by_document, rss)


async def _attempts(client: Client, feed: Feed, plan: FreshnessPlan, run: str, progress: Progress) -> list[Attempt]:
    """Post and ask, one after the other; the ways take turns, so that both meet the same moods of the machine."""
    count = plan.warm_up + plan.events * len(plan.ways)
    due = jittered(count, SHORTEST_GAP, LONGEST_GAP, plan.seed)
    begun = time.perf_counter()
    attempts: list[Attempt] = []
    for number, at in enumerate(due):
        await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
        attempts.append(await _attempt(client, feed, plan, run, number))
        progress("posting and asking", number + 1, count)
    return attempts


async def _attempt(client: Client, feed: Feed, plan: FreshnessPlan, run: str, number: int) -> Attempt:
    way = plan.ways[number % len(plan.ways)]
    event, asked = notice(plan, run, number)
    sent = time.time()
    posted = await feed.put(event)
    accepted, started = time.time(), time.perf_counter()
    doc_id = feed.doc_id(str(event["doc_id"]))
    if not posted.accepted:
        return Attempt(doc_id, way, NOT_ACCEPTED, reason=f"{posted.status} {posted.problem}")
    body = {"question": asked.text, "at_least": list(posted.tokens), "wait_ms": plan.wait_ms}
    reply = await client.ask(f"/v1/{way}", plan.bearer, body)
    moments = Moments(sent, accepted, time.time())
    answered_ms = 1000 * (time.perf_counter() - started)
    return Attempt(doc_id, way, outcome_of(reply, doc_id), moments, answered_ms, reply.timings_ms, reply.reason)


def notice(plan: FreshnessPlan, run: str, number: int) -> tuple[dict[str, object], Question]:
    """A document of one chunk as an event, and the question it answers.

    The run's mark in the title makes the embedded text new: no vector of an earlier run is reused.
    """
    named = _NAMES_FROM + plan.seed * 10_000 + number
    generated = document(named, sections=1)
    event: dict[str, object] = {
        "op": "upsert",
        "doc_id": f"bench/{run}/{number:05d}",
        "title": f"{generated.title} {run}",
        "content_type": "text/markdown",
        "body": generated.body,
    }
    if plan.source.versioning == "source":
        event["version"] = 1
    return event, question(named * SECTIONS)


def outcome_of(reply: Reply, doc_id: str) -> str:
    """What became of a change as its answer shows."""
    if reply.reason == "not_yet_indexed":
        return UNREACHED
    if reply.outcome in (Outcome.ERROR, Outcome.SHED):
        return reply.outcome.value
    return ANSWERED if doc_id in reply.sources else NOT_FOUND


async def _commits(reader: CommitReader, attempts: Sequence[Attempt]) -> dict[str, Commit]:
    """The first commit of each document, waiting a little for those of changes that were answered from."""
    found: dict[str, Commit] = {}
    wanted = {attempt.doc_id for attempt in attempts if attempt.outcome == ANSWERED}
    until = time.monotonic() + _COMMITS_SECONDS
    while True:
        for commit in await asyncio.to_thread(lambda: list(reader.read())):
            found.setdefault(commit.doc_id, commit)
        if wanted <= found.keys() or time.monotonic() > until:
            return found
        await asyncio.sleep(0.2)


async def _clean_up(client: Client, feed: Feed, plan: FreshnessPlan, run: str) -> None:
    """Delete what was written, and wait until it is gone."""
    count = plan.warm_up + plan.events * len(plan.ways)
    doc_ids = [str(notice(plan, run, number)[0]["doc_id"]) for number in range(count)]
    for first in range(0, count, _DELETES):
        posted = await feed.delete(doc_ids[first : first + _DELETES])
        if not posted.accepted:
            raise TransientError(f"the bench documents of source {plan.source.name} were not deleted: {posted.problem}")
        body = {"question": "bench", "at_least": list(posted.tokens), "wait_ms": _CLEANING_WAIT_MS}
        await client.ask("/v1/search", plan.bearer, body)


def figures(
    plan: FreshnessPlan, attempts: Sequence[Attempt], commits: Mapping[str, Commit], setup: Setup
) -> list[Figure]:
    """One figure for each way of asking, and one for the commit itself. Raises NothingMeasuredError."""
    found = [_of_way(plan, way, [one for one in attempts if one.way == way], commits, setup) for way in plan.ways]
    return [*found, _of_commits(plan, attempts, commits, setup)]


def _of_way(
    plan: FreshnessPlan, way: Way, attempts: Sequence[Attempt], commits: Mapping[str, Commit], setup: Setup
) -> Figure:
    answered = [attempt for attempt in attempts if attempt.outcome == ANSWERED]
    _check(answered, attempts)
    measures = f"from {plan.begin} to reading the answer of /v1/{way} asked with its token"
    stages = by_name(_spans(attempt, commits) for attempt in answered)
    steps = by_name(attempt.timings_ms or {} for attempt in answered)
    return setup.figure(
        f"freshness.{plan.feed}.{way}",
        quantiles(attempt.answered_ms for attempt in answered),
        f"{measures}: the question itself included, so an upper bound of answerable",
        stages=stages | {f"{way}.{name}": found for name, found in steps.items()},
        outcomes=_counted(attempts),
        settings=_settings(plan),
    )


def _of_commits(
    plan: FreshnessPlan, attempts: Sequence[Attempt], commits: Mapping[str, Commit], setup: Setup
) -> Figure:
    spans = [found for attempt in attempts if (found := _spans(attempt, commits))]
    _check(spans, attempts)
    return setup.figure(
        f"freshness.{plan.feed}.committed",
        quantiles(span["accepted_to_committed"] for span in spans),
        f"from {plan.begin} to the commit's own committed_at (negative: committed before that)",
        stages=by_name(spans),
        outcomes={**_counted(attempts), "without_commit": len(attempts) - len(spans)},
        settings=_settings(plan),
    )


def _check(samples: Sequence[object], attempts: Sequence[Attempt]) -> None:
    if not samples:
        reasons = ", ".join(sorted({f"{attempt.outcome} ({attempt.reason})" for attempt in attempts}))
        raise NothingMeasuredError(
            f"no sample of {len(attempts)}: {reasons}; see `millstream logs api` and `millstream dlq list`"
        )


def _spans(attempt: Attempt, commits: Mapping[str, Commit]) -> dict[str, float]:
    commit = commits.get(attempt.doc_id)
    return {} if attempt.moments is None or commit is None else stage_times(attempt.moments, commit)


def _counted(attempts: Sequence[Attempt]) -> dict[str, int]:
    names = (ANSWERED, UNREACHED, NOT_FOUND, NOT_ACCEPTED, Outcome.SHED.value, Outcome.ERROR.value)
    return {name: sum(attempt.outcome == name for attempt in attempts) for name in names}


def _settings(plan: FreshnessPlan) -> dict[str, str | int | float | bool]:
    return {
        "source": plan.source.name,
        "tenant": plan.source.tenant,
        "events": plan.events,
        "warm_up": plan.warm_up,
        "gap_ms": f"{1000 * SHORTEST_GAP:.0f}-{1000 * LONGEST_GAP:.0f}",
        "wait_ms": plan.wait_ms,
        "seed": plan.seed,
    }
