"""The flow of one request, top to bottom: admit -> read -> signed? -> repeated? -> events -> changes -> log -> tokens.

Knows HTTP only by the problems it returns. Times out its wait for the log, never the writing itself.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.changes import (
    Accepted,
    InvalidEventError,
    Receipt,
    TooLargeDocumentError,
    append_acl_copy,
    append_changes,
    change_from,
)
from connectors.webhook import problems
from connectors.webhook.events import Fault, InvalidBodyError, parse_events
from connectors.webhook.memory import (
    Logged,
    LoggedEvents,
    MessageKey,
    MessageMemory,
    Recall,
    Remembered,
    Tokens,
    Unsettled,
)
from connectors.webhook.problems import Problem
from connectors.webhook.registry import Registry
from connectors.webhook.signatures import ID_HEADER, is_signed
from runtime.clock import Clock
from runtime.freshness_token import TokenKey, seal
from runtime.log_port import Log
from runtime.metrics import INGEST_EVENTS, INGEST_QUEUED_BYTES, INGEST_REPEATS, Metrics
from schemas.errors import MillstreamError, PermanentError, TransientError
from schemas.headers import TRACE
from schemas.records import DocumentChange, Origin
from schemas.sources import SourceConfig
from schemas.topics import Topics

ACK_SECONDS = 10.0
"""How long a request waits for the broker before it is told to come again."""

MAX_REQUESTS = 256
MAX_QUEUED_BYTES = 67_108_864
CONNECTOR = "webhook"


@dataclass(frozen=True, slots=True)
class Taken:
    """All events are in the log."""

    tokens: Tokens
    repeated: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process holds at a time."""

    document_bytes: int
    requests: int = MAX_REQUESTS
    queued_bytes: int = MAX_QUEUED_BYTES
    ack_seconds: float = ACK_SECONDS

    @property
    def request_bytes(self) -> int:
        """One document of the largest size fits, in base64 or with escapes."""
        return 2 * self.document_bytes + 1_048_576


class Gate:
    """Counts requests and bytes under way, and refuses beyond the limits."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._requests = 0
        self._bytes = 0

    def enter(self, size: int) -> bool:
        """Whether there is room; if so, `leave` it with the same size."""
        full = self._requests >= self._limits.requests or self._bytes + size > self._limits.queued_bytes
        # One request of any allowed size is always let in when nothing else is under way.
        if full and self._requests > 0:
            return False
        self._move(1, size)
        return True

    def leave(self, size: int) -> None:
        """Give the room back."""
        self._move(-1, -size)

    def _move(self, requests: int, size: int) -> None:
        self._requests += requests
        self._bytes += size
        self._metrics.set(INGEST_QUEUED_BYTES, self._bytes)


class Receiver:
    """Takes signed messages into the log and answers with freshness tokens."""

    def __init__(
        self,
        registry: Registry,
        log: Log,
        topics: Topics,
        key: TokenKey,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
        events: LoggedEvents | None = None,
        recall: Recall = lambda _since: LoggedEvents(),
    ) -> None:
        """`events`: what lies in the log already; `recall`: what came to lie there since, acknowledged or not."""
        self._registry = registry
        self._log = log
        self._topics = topics
        self._key = key
        self.limits = limits
        self._clock = clock
        self._metrics = metrics
        self._memory = MessageMemory()
        self._events = LoggedEvents() if events is None else events
        self._unsettled = Unsettled(recall, self._events)
        self.gate = Gate(limits, metrics)

    def source(self, name: str) -> SourceConfig | None:
        """The declared webhook source of that name."""
        return self._registry.senders.sources.get(name)

    async def receive(self, name: str, headers: Mapping[str, str], body: bytes) -> Taken | Problem:
        """One request with its whole body; `headers` has lower-case names."""
        source = self.source(name)
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return problems.not_utf8()
        secrets = self._registry.senders.secrets.of(None if source is None else source.name)
        signed = is_signed(secrets, headers, text, self._clock.now())
        if source is None or not signed:
            return problems.unauthorized()
        key: MessageKey = (source.source, headers[ID_HEADER])
        digest = hashlib.sha256(body).digest()
        try:
            await self._unsettled.settle(key)
        except TransientError:
            return problems.log_unavailable()
        known = self._memory.get(key)
        if known is None:
            changes = self._changes(source, headers, body)
            if isinstance(changes, Problem):
                return changes
            logged = [self._events.get(change) for change in changes]
            if any(known and not known.is_of(change) for known, change in zip(logged, changes, strict=True)):
                return problems.id_reused()
            known = Remembered(digest, asyncio.create_task(self._append(key, changes, logged)))
            self._memory.put(key, known)
            return await self._acknowledged(known, repeated=None not in logged)
        if known.digest != digest:
            return problems.id_reused()
        self._metrics.count(INGEST_REPEATS, source=source.name)
        return await self._acknowledged(known, repeated=True)

    async def drain(self) -> None:
        """Wait for what is under way to the log, whatever becomes of it."""
        await asyncio.gather(*self._memory.under_way(), return_exceptions=True)

    def _changes(
        self, source: SourceConfig, headers: Mapping[str, str], body: bytes
    ) -> tuple[DocumentChange, ...] | Problem:
        try:
            events = parse_events(body)
        except InvalidBodyError as error:
            return problems.invalid(400, error.reason, error.faults, str(error))
        now, message_id = self._clock.now(), headers[ID_HEADER]
        changes: list[DocumentChange] = []
        for number, event in enumerate(events):
            reference = f"{message_id}/{number}"
            receipt = Receipt(now, reference, Origin(connector=CONNECTOR, reference=reference), headers.get(TRACE))
            try:
                changes.append(change_from(event, source, receipt, self.limits.document_bytes))
            except InvalidEventError as error:
                return _refusal(400, number, error.field, error)
            except TooLargeDocumentError as error:
                return _refusal(413, number, error.field, error)
        return tuple(changes)

    async def _append(
        self, message: MessageKey, changes: Sequence[DocumentChange], logged: Sequence[Logged | None]
    ) -> Tokens:
        """Append what is not in the log yet; `logged` says what is."""
        try:
            return await self._append_new(message[0], changes, logged)
        except MillstreamError:  # beside an event that the log refused another may not have been acknowledged
            self._unsettled.note(message, self._clock.now())
            raise

    async def _append_new(
        self, source: str, changes: Sequence[DocumentChange], logged: Sequence[Logged | None]
    ) -> Tokens:
        new = [change for change, known in zip(changes, logged, strict=True) if known is None]

        def on_logged(change: DocumentChange, each: Accepted) -> None:
            # At once: where another event of the message fails, its repetition must not say this one again.
            self._events.put(change, each)
            self._metrics.count(INGEST_EVENTS, source=source, op=each.op)

        appended = await append_changes(self._log, self._topics, new, on_logged)
        for change in new:
            self._events.put_copy(change)
        for change, known in zip(changes, logged, strict=True):
            if known is not None and known.needs_copy:
                await append_acl_copy(self._log, self._topics, change, known.accepted.coordinates)
                self._events.put_copy(change)
        rest = iter(appended)
        accepted = [next(rest) if known is None else known.accepted for known in logged]
        return tuple(seal(self._key, each.document, each.register, each.version) for each in accepted)

    async def _acknowledged(self, message: Remembered, *, repeated: bool) -> Taken | Problem:
        try:
            async with asyncio.timeout(self.limits.ack_seconds):
                return Taken(await asyncio.shield(message.tokens), repeated)
        except (TransientError, TimeoutError):
            return problems.log_unavailable()
        except PermanentError as error:
            return problems.invalid(413, error.reason, [Fault(None, "", str(error))], str(error))


def _refusal(status: int, number: int, field: str, error: PermanentError) -> Problem:
    detail = str(error).removeprefix(f"{field}: ")
    return problems.invalid(status, error.reason, [Fault(number, field, detail)], f"event {number}, {field}: {detail}")
