"""What was answered to which webhook-id, and which events lie in the log: who repeats a message gets the same tokens,
and nothing of it is appended again.

Where the log is the order, an event appended again would count as newer than what came after it: a deleted document
would be back. Messages are remembered by this process alone; events also across its restart, from the end of the log.
Bounded: after EVENT_LIMIT other events, or by another receiver process, a repeated message is appended again. What the
log has not acknowledged may lie in it all the same: it is looked for there before the message is tried anew.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import orjson

from connectors.changes import Accepted, has_acl_copy
from connectors.webhook.signatures import TOLERANCE
from runtime.log_port import StoredRecord
from schemas.codec import decode
from schemas.errors import DecodeError
from schemas.identity import Source
from schemas.records import DocumentChange
from schemas.versions import RANKS, Op

LIMIT = 10_000
EVENT_LIMIT = 100_000
"""Some 60 MB."""
RECALLED = 2 * TOLERANCE + timedelta(minutes=2)
"""How far back the log is read at the start: a signature is good for so long, as its time may lie ahead of our clock as
well as behind it, and the broker's clock is another one.
"""

Tokens = tuple[str, ...]
MessageKey = tuple[Source, str]
"""Source and webhook-id."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A message that was taken: the digest of its body, and its tokens once the log has acknowledged all of it."""

    digest: bytes
    tokens: "asyncio.Task[Tokens]"


class MessageMemory:
    """The last LIMIT messages; one that failed is forgotten, so that its repetition is tried anew."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._messages: OrderedDict[MessageKey, Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, key: MessageKey) -> Remembered | None:
        """What was taken under this id, or is being taken now."""
        found = self._messages.get(key)
        if found is not None:
            self._messages.move_to_end(key)
        return found

    def put(self, key: MessageKey, message: Remembered) -> None:
        """Remember; beyond the limit the message longest unused is forgotten."""
        self._messages[key] = message
        message.tokens.add_done_callback(lambda done: self._settled(key, done))
        while len(self._messages) > self._limit:
            self._messages.popitem(last=False)

    def under_way(self) -> tuple["asyncio.Task[Tokens]", ...]:
        """Messages without an acknowledgement yet."""
        return tuple(message.tokens for message in self._messages.values() if not message.tokens.done())

    def _settled(self, key: MessageKey, done: "asyncio.Task[Tokens]") -> None:
        failed = done.cancelled() or done.exception() is not None
        current = self._messages.get(key)
        if failed and current is not None and current.tokens is done:
            self._messages.pop(key)


@dataclass(frozen=True, slots=True)
class Logged:
    """An event that lies in the log. `needs_copy`: it carries an acl, and the acl's own copy is not there yet."""

    digest: bytes
    accepted: Accepted
    needs_copy: bool = False

    def is_of(self, change: DocumentChange) -> bool:
        """Whether the event said the same; a version only where the source states one."""
        stated = change.version.sequence
        return self.digest == _digest(change) and stated in (None, self.accepted.version.sequence)


class LoggedEvents:
    """The last EVENT_LIMIT events that this source's receiver put into the log, by their event ids."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._events: OrderedDict[tuple[Source, str], Logged] = OrderedDict()

    def __len__(self) -> int:
        return len(self._events)

    def get(self, change: DocumentChange) -> Logged | None:
        """The logged event with the id of this one."""
        return self._events.get((change.source, change.event_id))

    def put(self, change: DocumentChange, accepted: Accepted) -> None:
        """Remember; the first record of an event stays, beyond the limit the oldest event is forgotten."""
        logged = Logged(_digest(change), accepted, has_acl_copy(change))
        self._events.setdefault((change.source, change.event_id), logged)
        while len(self._events) > self._limit:
            self._events.popitem(last=False)

    def adopt(self, others: "LoggedEvents") -> None:
        """Remember these too; a copy that either knows of is there."""
        for key, logged in others._events.items():
            known = self._events.setdefault(key, logged)
            self._events[key] = replace(known, needs_copy=known.needs_copy and logged.needs_copy)
        while len(self._events) > self._limit:
            self._events.popitem(last=False)

    def put_copy(self, change: DocumentChange) -> None:
        """The acl's own copy of this event is there."""
        key = (change.source, change.event_id)
        if key in self._events:
            self._events[key] = replace(self._events[key], needs_copy=False)


Recall = Callable[[datetime], LoggedEvents]
"""The events that came to the log from shortly before a time on. Blocks; raises TransientError."""


class Unsettled:
    """Messages that the log did not acknowledge, and whether their events lie in it nonetheless.

    One reading of the log settles all that failed before it began. Bounded as `MessageMemory` is.
    """

    def __init__(self, recall: Recall, events: LoggedEvents, limit: int = LIMIT) -> None:
        self._recall = recall
        self._events = events
        self._limit = limit
        self._failed: OrderedDict[MessageKey, int] = OrderedDict()
        self._failures = 0
        self._settled = 0
        """Failures up to this number were looked for."""
        self._since: datetime | None = None
        """When the first of the others was."""
        self._reading: asyncio.Task[None] | None = None

    def note(self, key: MessageKey, at: datetime) -> None:
        """A message failed, and it is not known whether it is in the log."""
        self._failures += 1
        self._failed[key] = self._failures
        self._since = self._since or at
        while len(self._failed) > self._limit:
            self._failed.popitem(last=False)

    async def settle(self, key: MessageKey) -> None:
        """Returns once what lies in the log of this message is among the logged events. Raises TransientError."""
        failure = self._failed.get(key, 0)
        while failure > self._settled:
            # One for all who wait: while the log is away, each of them fails with it.
            self._reading = self._reading or asyncio.create_task(self._read())
            await asyncio.shield(self._reading)
        if self._failed.get(key) == failure:
            self._failed.pop(key)

    async def _read(self) -> None:
        failures, since, self._since = self._failures, self._since, None
        try:
            assert since is not None, "what failed has failed at some time"
            self._events.adopt(await asyncio.to_thread(self._recall, since))
            self._settled = failures
        except BaseException:
            self._since = since
            raise
        finally:
            self._reading = None


def logged_events(records: Iterable[StoredRecord], connector: str) -> LoggedEvents:
    """The events of a connector in records of documents.changes, each partition's in order."""
    events = LoggedEvents()
    for record in records:
        try:
            change = decode(record.value or b"", DocumentChange)
        except DecodeError:
            continue  # prepare dead-letters it
        if change.origin.connector != connector:
            continue
        if change.op is Op.ACL and change.version.rank != RANKS[Op.ACL]:
            events.put_copy(change)  # it has its original's event id and rank, and lies behind it
        else:
            events.put(change, Accepted.of(change, record.coordinates))
    return events


def _digest(change: DocumentChange) -> bytes:
    """SHA-256 over what the source said; not over what the door adds, which may differ when it is said again."""
    said = (
        *(change.tenant, change.source, change.doc_id, change.op, change.actor),
        *(change.title, change.url, change.content_type, change.acl, sorted(change.labels.items()), change.event_time),
    )
    return hashlib.sha256(orjson.dumps(said) + (change.body or b"")).digest()
