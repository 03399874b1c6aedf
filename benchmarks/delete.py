"""How soon a delete and a revocation are seen: posts documents, takes them away again, and asks until they are gone.

A sample begins when the 202 of the delete (or of an acl that names nobody) has been read and ends when the first answer
without the document has been read. It contains the question itself, and on average half of another one before it.

With a backlog, documents wait to be parsed meanwhile, and one edition of a large document after the other is committed:
its chunks have their vectors already, so that an edition is nothing but a long commit. No document of the backlog lies
in its partition, so that it does not wait behind them.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from benchmarks.arrivals import jittered
from benchmarks.client import Client
from benchmarks.commits import CommitReader
from benchmarks.corpus import SECTIONS, document, question
from benchmarks.load import Outcome, Reply
from benchmarks.progress import Progress
from benchmarks.quantiles import by_name, quantiles
from benchmarks.results import Figure, NothingMeasuredError, Setup
from runtime.declarations import load_topics
from runtime.kafka import KafkaAdmin
from runtime.settings import Settings
from schemas.errors import TransientError
from schemas.identity import DocId, Document
from schemas.records import Commit
from schemas.sources import SourceConfig
from schemas.topics import CHANGES, HIDES, Topics
from streams.groups import HIDE_GROUP, prepare_group

Op = Literal["delete", "acl"]
Way = Literal["search", "query"]

OPS: tuple[Op, ...] = ("delete", "acl")
WAYS: tuple[Way, ...] = ("search", "query")
SHORTEST_GAP = 0.15
LONGEST_GAP = 0.30

GONE = "gone"
STILL_THERE = "still_there"
NOT_THERE_BEFORE = "not_there_before"
NOT_ACCEPTED = "not_accepted"

_NAMES_FROM = 400_000
"""Documents from this number on lie in no other benchmark's corpus."""
_BACKLOG_FROM = 500_000
_EVENTS_A_POST = 50
_PATIENCE_SECONDS = 10.0
_WAIT_MS = 10_000
_READY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """What to do; `bearer` may read what `source` brings in."""

    source: SourceConfig
    bearer: str
    samples: int = 50
    """Of each operation for each way of asking."""
    backlog: int = 0
    large_chunks: int = 1000
    seed: int = 1
    keep: bool = False

    @property
    def documents(self) -> int:
        """One for each sample."""
        return self.samples * len(OPS) * len(WAYS)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One document that was taken away."""

    doc_id: str
    op: Op
    way: Way
    outcome: str
    accepted: float = 0.0
    """When the 202 was read, in seconds since 1970."""
    gone_ms: float = 0.0
    """From the 202 to the answer without it, on a monotonic clock."""
    asked: int = 0
    """Questions until then."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else was going on."""

    waiting_before: int = 0
    """Records that nobody had prepared when the first document was taken away."""
    waiting_after: int = 0
    large_commits: int = 0
    """Editions of the large document that were committed meanwhile."""


async def measure(settings: Settings, plan: DeletePlan, setup: Callable[[], Setup], progress: Progress) -> list[Figure]:
    """Run the plan. Raises TransientError when nothing runs, NothingMeasuredError when nothing was seen to go."""
    run = uuid.uuid4().hex[:8]
    async with Client(settings) as client:
        await client.check_ready()
        bench = _Bench(client, plan, run, load_topics(settings), progress)
        source = plan.source
        try:
            await bench.post_documents()
            if plan.backlog:
                await bench.post_backlog()
                await _until_hide_has_read(settings, progress)
            commits = await asyncio.to_thread(CommitReader, settings, source.owner, source.source, from_now=True)
            before = await asyncio.to_thread(_waiting, settings)
            attempts = await bench.take_away_beside_commits()
            after = await asyncio.to_thread(_waiting, settings)
            found = await asyncio.to_thread(lambda: list(commits.read()))
            rss = setup()
        finally:
            if not plan.keep:
                await bench.clean_up()
    large = sum(commit.doc_id == bench.large and commit.mutation.topic != HIDES for commit in found)
    return figures(plan, attempts, _hidden_at(found), Surroundings(before, after, large), rss)


async def _until_hide_has_read(settings: Settings, progress: Progress) -> None:
    """What was posted faster than any source posts is not what waits: that is the parsing. Raises TransientError."""
    until = time.monotonic() + _READY_SECONDS
    while behind := sum((await asyncio.to_thread(KafkaAdmin(settings).lag, HIDE_GROUP, CHANGES)).values()):
        progress("waiting until hide has read it", 0, behind)
        if time.monotonic() > until:
            raise TransientError("the stage hide does not get to the end of documents.changes: see `millstream status`")
        await asyncio.sleep(0.2)


def _waiting(settings: Settings) -> int:
    return sum(KafkaAdmin(settings).lag(prepare_group(settings.generation), CHANGES).values())


def _hidden_at(commits: Sequence[Commit]) -> dict[str, float]:
    """Document -> when its hide was committed, in seconds since 1970."""
    return {
        commit.doc_id: commit.committed_at.timestamp() for commit in reversed(commits) if commit.mutation.topic == HIDES
    }


class _Bench:
    """One run: posts, takes away, cleans up."""

    def __init__(self, client: Client, plan: DeletePlan, run: str, topics: Topics, progress: Progress) -> None:
        self._client = client
        self._plan = plan
        self._run = run
        self._topics = topics
        self._progress = progress
        self._posted: dict[str, int] = {}
        """Document -> the version it was posted with last, where the source states versions."""
        self.large = f"bench/{run}/large"

    async def post_documents(self) -> None:
        """Those that are to be taken away, and the large one; returns when all can be found."""
        tokens: list[str] = []
        events = [self._upsert(self._doc_id(n), n + _NAMES_FROM) for n in range(self._plan.documents)]
        if self._plan.backlog:
            events.insert(0, self._edition(0))
        for first in range(0, len(events), _EVENTS_A_POST):
            tokens += await self._post(events[first : first + _EVENTS_A_POST])
            self._progress("posting documents", min(first + _EVENTS_A_POST, len(events)), len(events))
        until = time.monotonic() + _READY_SECONDS
        for first in range(0, len(tokens), _EVENTS_A_POST):
            await self._until_reached(tokens[first : first + _EVENTS_A_POST], until)
            self._progress("waiting until they are found", min(first + _EVENTS_A_POST, len(tokens)), len(tokens))

    async def _until_reached(self, tokens: Sequence[str], until: float) -> None:
        body = {"question": "bench", "at_least": list(tokens), "wait_ms": _WAIT_MS}
        while (await self._client.ask("/v1/search", self._plan.bearer, body)).reason == "not_yet_indexed":
            if time.monotonic() > until:
                raise TransientError(f"the documents were not indexed within {_READY_SECONDS:.0f} s")

    async def post_backlog(self) -> None:
        """Documents that wait to be parsed."""
        large = self._partition(self.large)
        names = (f"bench/{self._run}/backlog-{number:06d}" for number in count())
        beside = (name for name in names if self._partition(name) != large)
        for first in range(0, self._plan.backlog, _EVENTS_A_POST):
            numbers = range(first, min(first + _EVENTS_A_POST, self._plan.backlog))
            await self._post([self._upsert(next(beside), number + _BACKLOG_FROM) for number in numbers])
            self._progress("posting the backlog", numbers.stop, self._plan.backlog)

    def _partition(self, doc_id: str) -> int:
        source = self._plan.source
        return self._topics.partition(CHANGES, document=Document(source.owner, source.source, DocId(doc_id)))

    async def take_away_beside_commits(self) -> list[Attempt]:
        """With a backlog, while the large document is committed again and again."""
        if not self._plan.backlog:
            return await self._take_away()
        editions = asyncio.create_task(self._keep_committing())
        try:
            return await self._take_away()
        finally:
            editions.cancel()
            await asyncio.wait([editions])

    async def _keep_committing(self) -> None:
        for number in count(1):
            tokens = await self._post([self._edition(number)])
            await self._until_reached(tokens, time.monotonic() + _READY_SECONDS)

    async def _take_away(self) -> list[Attempt]:
        """One document after the other; operations and ways take turns."""
        wanted = self._plan.documents
        due, begun = jittered(wanted, SHORTEST_GAP, LONGEST_GAP, self._plan.seed), time.perf_counter()
        attempts: list[Attempt] = []
        for number, at in enumerate(due):
            await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
            attempts.append(await self._attempt(number))
            self._progress("taking away and asking", number + 1, wanted)
        return attempts

    async def _attempt(self, number: int) -> Attempt:
        op, way = OPS[number % len(OPS)], WAYS[number // len(OPS) % len(WAYS)]
        doc_id = self._doc_id(number)
        body = {"question": question((number + _NAMES_FROM) * SECTIONS).text}
        if doc_id not in (await self._ask(way, body)).sources:
            return Attempt(doc_id, op, way, NOT_THERE_BEFORE)
        posted = await self._client.post(self._plan.source.name, [self._taking_away(op, doc_id)])
        accepted, started = time.time(), time.perf_counter()
        if not posted.accepted:
            return Attempt(doc_id, op, way, NOT_ACCEPTED, reason=f"{posted.status} {posted.problem}")
        for asked in range(1, 100_000):
            reply = await self._ask(way, body)
            seconds = time.perf_counter() - started
            failed = reply.outcome in (Outcome.ERROR, Outcome.SHED)
            if not failed and doc_id not in reply.sources:
                return Attempt(doc_id, op, way, GONE, accepted, 1000 * seconds, asked)
            if seconds > _PATIENCE_SECONDS:
                break
        return Attempt(doc_id, op, way, STILL_THERE, accepted, reason=reply.reason)

    async def _ask(self, way: Way, body: Mapping[str, object]) -> Reply:
        return await self._client.ask(f"/v1/{way}", self._plan.bearer, body)

    async def clean_up(self) -> None:
        """Delete what was posted; a hide makes it vanish at once, its own change comes after the backlog."""
        doc_ids = list(self._posted)
        for first in range(0, len(doc_ids), _EVENTS_A_POST):
            await self._post([self._event("delete", doc_id) for doc_id in doc_ids[first : first + _EVENTS_A_POST]])
            self._progress("cleaning up", min(first + _EVENTS_A_POST, len(doc_ids)), len(doc_ids))

    async def _post(self, events: Sequence[dict[str, object]]) -> tuple[str, ...]:
        posted = await self._client.post(self._plan.source.name, events)
        if not posted.accepted:
            raise TransientError(f"source {self._plan.source.name} did not take the bench's events: {posted.problem}")
        return posted.tokens

    def _doc_id(self, number: int) -> str:
        return f"bench/{self._run}/{number:05d}"

    def _taking_away(self, op: Op, doc_id: str) -> dict[str, object]:
        return self._event(op, doc_id) | ({"acl": []} if op == "acl" else {})

    def _upsert(self, doc_id: str, named: int) -> dict[str, object]:
        generated = document(named, sections=1)
        return self._event("upsert", doc_id) | {
            "title": f"{generated.title} {self._run}",
            "content_type": "text/markdown",
            "body": generated.body,
        }

    def _edition(self, number: int) -> dict[str, object]:
        """The large document with another label: every row is new, no text is, in no run but the first."""
        sections = (
            document(named).body
            for named in range(_BACKLOG_FROM, _BACKLOG_FROM + -(-self._plan.large_chunks // SECTIONS))
        )
        return self._event("upsert", self.large) | {
            "title": "A large document",
            "content_type": "text/markdown",
            "labels": {"edition": str(number)},
            "body": "\n".join(sections),
        }

    def _event(self, op: str, doc_id: str) -> dict[str, object]:
        version = self._posted[doc_id] = self._posted.get(doc_id, 0) + 1
        event: dict[str, object] = {"op": op, "doc_id": doc_id}
        if self._plan.source.versioning == "source":
            event["version"] = version
        return event


def figures(
    plan: DeletePlan,
    attempts: Sequence[Attempt],
    hidden_at: Mapping[str, float],
    around: Surroundings,
    setup: Setup,
) -> list[Figure]:
    """One figure for each operation and way of asking. Raises NothingMeasuredError."""
    return [
        _figure(plan, [one for one in attempts if (one.op, one.way) == (op, way)], hidden_at, around, setup)
        for op in OPS
        for way in WAYS
        if any((one.op, one.way) == (op, way) for one in attempts)
    ]


def _figure(
    plan: DeletePlan,
    attempts: Sequence[Attempt],
    hidden_at: Mapping[str, float],
    around: Surroundings,
    setup: Setup,
) -> Figure:
    op, way = attempts[0].op, attempts[0].way
    gone = [attempt for attempt in attempts if attempt.outcome == GONE]
    if not gone:
        reasons = ", ".join(sorted({f"{attempt.outcome} {attempt.reason}".strip() for attempt in attempts}))
        raise NothingMeasuredError(f"nothing was seen to go: {reasons}; see `millstream logs hide` and `… logs apply`")
    what = "delete" if op == "delete" else "revocation"
    return setup.figure(
        f"{what}.{'backlog' if plan.backlog else 'idle'}.{way}",
        quantiles(attempt.gone_ms for attempt in gone),
        f"from reading the webhook's 202 of a {what} to reading the first answer of /v1/{way} without the document: "
        "asked again and again, so the last question, and some of the one before, are included",
        stages=by_name(_spans(attempt, hidden_at) for attempt in gone),
        outcomes=_counted(attempts, around),
        settings=_settings(plan),
    )


def _spans(attempt: Attempt, hidden_at: Mapping[str, float]) -> dict[str, float]:
    at = hidden_at.get(attempt.doc_id)
    asked = {"ms_a_question": attempt.gone_ms / attempt.asked}
    return asked if at is None else {"accepted_to_hidden": 1000 * (at - attempt.accepted)} | asked


def _counted(attempts: Sequence[Attempt], around: Surroundings) -> dict[str, int]:
    names = (GONE, STILL_THERE, NOT_THERE_BEFORE, NOT_ACCEPTED)
    counted = {name: sum(attempt.outcome == name for attempt in attempts) for name in names}
    return counted | {
        "waiting_before": around.waiting_before,
        "waiting_after": around.waiting_after,
        "large_commits": around.large_commits,
    }


def _settings(plan: DeletePlan) -> dict[str, str | int | float | bool]:
    return {
        "source": plan.source.name,
        "tenant": plan.source.tenant,
        "samples": plan.samples,
        "backlog": plan.backlog,
        "large_chunks": plan.large_chunks if plan.backlog else 0,
        "gap_ms": f"{1000 * SHORTEST_GAP:.0f}-{1000 * LONGEST_GAP:.0f}",
        "seed": plan.seed,
    }
