"""GET /v1/changes: what was committed in the caller's tenant and is visible to the caller, as server-sent events.

The commit feed only wakes; what is told is read from the document rows of the seqs up to the published head, one after
the other. So history and live are one reading, nothing is missed or told twice, and a commit that was published but
never emitted is told as well. Nothing queues up here: a stream reads on when its client has taken what it was sent, and
one that takes nothing for SLOW_SECONDS is ended; the last id it got resumes it.

Ids are seqs. They leave gaps where something was committed that the caller may not see. A gap tells as much as the
position in every answer does: how many commits the tenant has had, never of which documents, sources or groups.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

import orjson
import structlog

from index.model import DocumentRow, IndexIdentity, Published, Seq
from index.moments import FuturePositionError
from index.trail import Trail, TrailStep
from runtime.clock import Clock
from runtime.metrics import ALERTS, CHANGE_STREAMS, Metrics
from schemas.errors import BrokenIndexError, TransientError, UnknownTenantError
from schemas.identity import Source, Tenant
from schemas.records import Commit
from serving.caller import HISTORY, Caller
from serving.commits import CommitFeed
from serving.models import MAX_SEQ, ChangeOut, Position, RecordOut
from serving.positions import Positions
from serving.problems import Problem, ProblemError, bad_request, overloaded

MAX_STREAMS = 64
"""Of one process."""
PAGE = 64
"""Seqs read at a time."""
BEAT_SECONDS = 15.0
SLOW_SECONDS = 20.0
AWAY_SECONDS = 10.0
"""How long a stream waits for a store that does not answer, or has this build no more: then its client comes back."""
_SEQ = re.compile(r"[0-9]{1,16}")
_LOOK_SECONDS = 0.5
"""How often a stream that waits looks whether its client is still there and its credential still holds."""
_RETRY_MS = 1000
"""How long a client waits before it comes back."""

log = structlog.get_logger("serving")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a stream is asked for."""

    after: Seq | None
    """Tell what was committed after this seq; None: from now on."""
    sources: frozenset[Source]
    """Only these; empty: all."""
    follow: bool
    """Go on when everything was told; otherwise end."""
    is_over: Callable[[], bool] = lambda: False
    """Whether nobody listens any more, or may: an API key that was taken back, or has other groups now."""


def told(step: TrailStep, caller: Caller) -> bool | None:
    """What a caller is told of one committed row: True, all of it; False, that the document is gone; None, nothing.

    Today's permissions hold for what is told of the past. A delete and a revocation look the same, and of a document
    that the groups the caller has now could not see before either there is nothing to tell. Which groups it had then
    nobody knows: who joined one hears that what it could see then is gone, as those hear who were in it.
    """
    if _is_visible(step.row, caller):
        today = step.today
        may_read = today.permits(caller.principals) and (today.is_present or HISTORY in caller.scopes)
        return True if may_read else None
    return False if step.before is not None and _is_visible(step.before, caller) else None


def _is_visible(row: DocumentRow, caller: Caller) -> bool:
    return row.readable_by(caller.principals) and any(name in caller.principals for name in row.hint)


class Changes:
    """The streams of one process. Without a feed they look for themselves, every `beat_seconds`."""

    def __init__(
        self,
        positions: Positions,
        trail: Trail,
        identity: IndexIdentity,
        feed: CommitFeed | None,
        clock: Clock,
        metrics: Metrics,
        *,
        beat_seconds: float = BEAT_SECONDS,
        away_seconds: float = AWAY_SECONDS,
    ) -> None:
        self._positions = positions
        self._trail = trail
        self._identity = identity
        self._clock = clock
        self._metrics = metrics
        self._beat_seconds = beat_seconds
        self._away_seconds = away_seconds
        self._waking: defaultdict[Tenant, set[asyncio.Event]] = defaultdict(set)
        self._streams = 0
        self._is_stopping = False
        self._unsubscribe: Callable[[], None] | None = None
        if feed is not None:
            self._unsubscribe = feed.listen(self._on_commit, on_gap=self.wake)

    def _on_commit(self, commit: Commit) -> None:
        for woken in self._waking.get(commit.tenant, ()):
            woken.set()

    def wake(self) -> None:
        """Let every stream look for itself."""
        for of_tenant in self._waking.values():
            for woken in of_tenant:
                woken.set()

    def stop(self) -> None:
        """End every stream; clients come back with the last id they got."""
        self._is_stopping = True
        self.wake()
        if self._unsubscribe is not None:
            self._unsubscribe()

    def resumed_from(self, last_event_id: str) -> Seq:
        """The seq of a Last-Event-ID: an id of this build, or a bare seq.

        Raises ProblemError: 410 for another build's, whose seqs mean nothing here; 400 for what is no id.
        """
        build, dot, number = last_event_id.rpartition(".")
        if not (_SEQ.fullmatch(number) and int(number) <= MAX_SEQ):
            raise bad_request("Last-Event-ID is no id of this stream.", "Last-Event-ID")
        if dot and build != str(self._identity):
            detail = "The id belongs to another build of the index: read the documents anew, then follow from now."
            raise ProblemError(Problem(410, "history_unavailable", detail, "Last-Event-ID"))
        return int(number)

    async def begin(self, caller: Caller, wanted: Wanted) -> Seq:
        """The seq to tell from. Raises ProblemError (400, 429), TransientError."""
        if self._streams >= MAX_STREAMS:
            raise overloaded("Too many streams at once. Come back in a second.", 1)
        published = await self._published(caller.tenant)
        newest = 0 if published is None else published.seq
        if wanted.after is not None and wanted.after > newest:
            error = FuturePositionError(newest)
            detail = f"after is in the future: the newest position is {newest}."
            raise ProblemError(Problem(400, error.reason, detail, "after", {"newest": newest}))
        return newest if wanted.after is None else wanted.after

    async def stream(self, caller: Caller, wanted: Wanted, after: Seq) -> AsyncGenerator[bytes, None]:
        """Events and heartbeats from `after` on, as bytes to send."""
        woken = asyncio.Event()
        self._waking[caller.tenant].add(woken)
        self._count(1)
        try:
            yield self._beat(after) + b"retry: %d\n\n" % _RETRY_MS
            async for sent in self._tell(caller, wanted, after, woken):
                yield sent
        except BrokenIndexError as error:
            self._metrics.count(ALERTS, alert="broken_index")
            log.critical("broken index", exc_info=error)
            yield _end("broken_index")
        finally:
            self._count(-1)
            self._waking[caller.tenant].discard(woken)
            if not self._waking[caller.tenant]:
                del self._waking[caller.tenant]

    async def _tell(self, caller: Caller, wanted: Wanted, after: Seq, woken: asyncio.Event) -> AsyncIterator[bytes]:
        cursor, beat_at = after, self._clock.monotonic() + self._beat_seconds
        answered_at = self._clock.monotonic()
        while not self._is_stopping and not wanted.is_over():
            if self._has_expired(caller):
                yield _end("token_expired")
                return
            woken.clear()
            steps, newest = await self._read_on(caller.tenant, cursor)
            if newest >= 0:
                answered_at = self._clock.monotonic()
            elif self._clock.monotonic() - answered_at >= self._away_seconds:
                yield _end("unavailable")
                return
            if events := b"".join(self._event(step, caller, wanted) for step in steps):
                yield events
            cursor = steps[-1].row.from_seq if steps else cursor
            if self._clock.monotonic() >= beat_at:
                yield self._beat(cursor) + b"\n"
                beat_at = self._clock.monotonic() + self._beat_seconds
            if steps and cursor < newest:
                continue
            if not wanted.follow and newest >= 0:
                yield self._beat(cursor) + _end("caught_up")
                return
            await self._wait(caller, woken, wanted, beat_at if newest >= 0 else 0.0)
        yield _end("stopping")

    async def _read_on(self, tenant: Tenant, cursor: Seq) -> tuple[tuple[TrailStep, ...], Seq]:
        """The next page of steps and the newest seq; -1 for a store that does not answer: it is asked again."""
        try:
            published = await self._published(tenant)
            if published is None or published.seq <= cursor:
                if published is not None:
                    self._trail.note(published)
                return (), cursor
            last = min(published.seq, cursor + PAGE)
            return await self._trail.read(published, after=cursor, at_most=last), published.seq
        except TransientError:
            return (), -1

    async def _published(self, tenant: Tenant) -> Published | None:
        """None for a tenant that has no shard yet."""
        try:
            return await self._positions.newest(tenant)
        except UnknownTenantError:
            return None

    async def _wait(self, caller: Caller, woken: asyncio.Event, wanted: Wanted, until: float) -> None:
        """Until something was committed, or until there is something else to do: _LOOK_SECONDS at least."""
        while not woken.is_set() and not wanted.is_over() and not self._has_expired(caller):
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await woken.wait()
            except TimeoutError:
                if self._clock.monotonic() >= until:
                    return

    def _has_expired(self, caller: Caller) -> bool:
        return caller.expires is not None and self._clock.now() >= caller.expires

    def _event(self, step: TrailStep, caller: Caller, wanted: Wanted) -> bytes:
        """Empty where the caller is told nothing."""
        row = step.row
        is_whole = told(step, caller)
        if is_whole is None or (wanted.sources and row.document.source not in wanted.sources):
            return b""
        change = ChangeOut(
            seq=row.from_seq,
            position=Position(
                generation=self._identity.generation,
                incarnation=self._identity.incarnation,
                seq=row.batch_to,
                committed_at=row.committed_at,
            ),
            source=row.document.source,
            doc_id=row.document.doc_id,
            op=row.op.value if is_whole else "gone",
            present=is_whole,
            title=row.title if is_whole else None,
            version=str(row.content_version) if is_whole else None,
            committed_at=row.committed_at,
            change=RecordOut(topic=row.change.topic, partition=row.change.partition, offset=row.change.offset),
        )
        return b"%sevent: change\ndata: %s\n\n" % (self._id(row.from_seq), change.model_dump_json().encode())

    def _beat(self, cursor: Seq) -> bytes:
        """A comment that keeps the connection open, and the id of what was looked at last: who comes back with it need
        not have it looked at again.
        """
        return b": beat\n" + self._id(cursor)

    def _id(self, seq: Seq) -> bytes:
        return f"id: {self._identity}.{seq}\n".encode()

    def _count(self, one: int) -> None:
        self._streams += one
        self._metrics.add(CHANGE_STREAMS, one)


def _end(reason: str) -> bytes:
    return b"event: end\ndata: %s\n\n" % orjson.dumps({"reason": reason})
