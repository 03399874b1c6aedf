"""The door: an event about one document becomes a change in the log, or is refused with the field that is wrong.

Every connector comes through here, so names, versions, sizes and acls are checked once. The order of a document's
events is kept: they are appended one after the other, while different documents go at the same time.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from runtime.faults import Point, reach
from runtime.freshness_token import Register
from runtime.log_port import Log
from schemas.codec import encode
from schemas.errors import InvalidNameError, PermanentError, TooLargeError
from schemas.headers import headers_of
from schemas.identity import Document, principal
from schemas.records import Coordinates, DocumentChange, Origin
from schemas.sources import SourceConfig
from schemas.topics import CHANGES, Topics
from schemas.versions import RANKS, Op, StatedVersion, Version, tied

MAX_TITLE_CHARS = 512
MAX_URL_CHARS = 2048
MAX_LABELS = 32
MAX_LABEL_CHARS = 256
MAX_ACL_ENTRIES = 512
MAX_ACTOR_CHARS = 256
MAX_VERSION = 2**63 - 1
FUTURE = timedelta(days=1)
EARLIEST_YEAR = 1800

_LABEL_KEY = re.compile(r"[a-z0-9_.-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTENT_TYPE = re.compile(r"[a-zA-Z0-9!#$&^_.+-]{1,63}/[a-zA-Z0-9!#$&^_.+-]{1,63}(;[ -~]{1,128})?")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f]+", re.IGNORECASE)


class InvalidEventError(PermanentError):
    """An event that breaks a rule; `field` is where."""

    reason = "invalid_event"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.detail = message


class TooLargeDocumentError(TooLargeError):
    """A body over the limit; `field` is where."""

    field = "body"


@dataclass(frozen=True, slots=True)
class Event:
    """What a source says happened to one document, nothing of it checked yet but its types."""

    op: Op
    doc_id: str
    version: int | None = None
    title: str | None = None
    url: str | None = None
    content_type: str | None = None
    body: bytes | None = field(default=None, repr=False)
    acl: tuple[str, ...] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    actor: str | None = None
    event_time: datetime | None = None
    tenant: str | None = None
    """Where the source's declaration lets a row name it; None: the source's own."""
    tie: int = 0
    """Order among changes of one sequence, from a captured table."""
    private: tuple[str, ...] = field(default=(), repr=False)
    """Values of declared personal data."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """How and when an event came in."""

    received_at: datetime
    event_id: str
    origin: Origin
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change that is safe in the log; `register` at `version` is what to wait for."""

    document: Document
    op: Op
    register: Register
    version: Version
    coordinates: Coordinates

    @classmethod
    def of(cls, change: DocumentChange, at: Coordinates) -> "Accepted":
        """What a change became that lies at `at`."""
        register: Register = "acl" if change.op is Op.ACL else "content"
        return cls(change.document, change.op, register, change.version.at(at.offset), at)


def change_from(event: Event, source: SourceConfig, receipt: Receipt, max_bytes: int) -> DocumentChange:
    """Check an event and make it a record of documents.changes.

    Raises InvalidEventError with the first field that is wrong, TooLargeDocumentError for a body over `max_bytes`.
    Neither message holds the body, the title or a label's value.
    """
    document = _document(event, source)
    _check_fit(event)
    if event.body is not None and len(event.body) > max_bytes:
        raise TooLargeDocumentError(f"body: {len(event.body)} bytes are over the limit of {max_bytes} bytes a document")
    return DocumentChange(
        tenant=document.tenant,
        source=document.source,
        doc_id=document.doc_id,
        op=event.op,
        version=_version(event, source),
        event_id=receipt.event_id,
        actor=_short(event.actor, "actor", MAX_ACTOR_CHARS),
        title=_short(event.title, "title", MAX_TITLE_CHARS),
        url=_url(event.url),
        content_type=_content_type(event.content_type),
        body=event.body,
        acl=None if event.acl is None else _acl(event.acl),
        default_acl=source.default_acl,
        labels=_labels(event.labels),
        private=event.private,
        event_time=_event_time(event.event_time, receipt.received_at),
        received_at=receipt.received_at,
        origin=receipt.origin,
        traceparent=valid_traceparent(receipt.traceparent),
    )


def valid_traceparent(text: str | None) -> str | None:
    """A W3C traceparent of version 00, or None."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


OnLogged = Callable[[DocumentChange, Accepted], None]
"""Called once a change is in the log, its acl's own copy perhaps not yet."""


def _untold(_change: DocumentChange, _accepted: Accepted) -> None:
    return


def has_acl_copy(change: DocumentChange) -> bool:
    """Whether a record with the acl alone follows this one."""
    return change.acl is not None and change.op is not Op.ACL


async def append_change(log: Log, topics: Topics, change: DocumentChange, on_logged: OnLogged = _untold) -> Accepted:
    """Append a change and, if it carries an acl, the acl's own copy; both are acknowledged on return.

    Raises what `Log.append` raises. After a TransientError the change may be in the log: appending it again is safe.
    """
    partition = topics.partition(CHANGES, document=change.document)
    reach(Point.DOOR_1)
    at = await log.append(CHANGES, partition, change.key, encode(change), headers_of(change))
    accepted = Accepted.of(change, at)
    on_logged(change, accepted)
    if has_acl_copy(change):
        reach(Point.DOOR_2)
        await append_acl_copy(log, topics, change, at)
    reach(Point.DOOR_3)
    return accepted


async def append_acl_copy(log: Log, topics: Topics, change: DocumentChange, at: Coordinates) -> None:
    """Append the acl's own copy of a change that lies at `at`. Raises what `Log.append` raises."""
    copy = change.acl_copy(at.offset)
    partition = topics.partition(CHANGES, document=change.document)
    await log.append(CHANGES, partition, copy.key, encode(copy), headers_of(copy))


async def append_changes(
    log: Log,
    topics: Topics,
    changes: Sequence[DocumentChange],
    on_logged: OnLogged = _untold,
) -> tuple[Accepted, ...]:
    """Append a batch: a document's changes one after the other, documents at the same time.

    Returns in the order of `changes`. When an append fails, the rest of that document is not tried, the other documents
    are, and the first error is raised: repeat the batch, but for what `on_logged` was called with.
    """
    places: dict[Document, list[int]] = {}
    for place, change in enumerate(changes):
        places.setdefault(change.document, []).append(place)

    async def of_one_document(mine: Sequence[int]) -> list[tuple[int, Accepted]]:
        return [(place, await append_change(log, topics, changes[place], on_logged)) for place in mine]

    # Nothing is cancelled: what was begun is brought to its acknowledgement.
    outcomes = await asyncio.gather(*map(of_one_document, places.values()), return_exceptions=True)
    accepted: dict[int, Accepted] = {}
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        accepted.update(outcome)
    return tuple(accepted[place] for place in range(len(changes)))


def _document(event: Event, source: SourceConfig) -> Document:
    if event.tenant is not None and not source.may_name(event.tenant):
        raise InvalidEventError("tenant", f"is none that source {source.name} may name: see its tenants")
    try:
        return Document.checked(event.tenant or source.tenant, source.name, event.doc_id)
    except InvalidNameError as error:
        raise InvalidEventError("doc_id", str(error)) from None


def _check_fit(event: Event) -> None:
    """Which fields go with which op."""
    if event.op is Op.ERASE:
        raise InvalidEventError("op", "erase is not offered yet; delete removes the document from every answer")
    if event.op is Op.UPSERT:
        if event.body is None:
            raise InvalidEventError("body", "an upsert needs body or body_base64")
        return
    for name in ("body", "title", "url", "content_type", "labels"):
        if getattr(event, name):
            raise InvalidEventError(name, f"goes with an upsert, not with op {event.op.value}")
    if event.body is not None:
        raise InvalidEventError("body", f"goes with an upsert, not with op {event.op.value}")
    if event.op is Op.ACL and event.acl is None:
        raise InvalidEventError("acl", "op acl needs an acl; [] is nobody")
    if event.op is Op.DELETE and event.acl is not None:
        raise InvalidEventError("acl", "a delete keeps the acl; send op acl to change it")


def _version(event: Event, source: SourceConfig) -> StatedVersion:
    if source.kind == "postgres":
        assert event.version is not None, "a captured change states its place in the write-ahead log"
        return StatedVersion(source.epoch, event.version, tied(RANKS[event.op], event.tie))
    if source.versioning == "log":
        if event.version is not None:
            raise InvalidEventError("version", f"source {source.name} is versioned by the log: leave the version out")
    elif event.version is None:
        raise InvalidEventError("version", f"source {source.name} states its own versions: a whole number from 0 up")
    elif not 0 <= event.version <= MAX_VERSION:
        raise InvalidEventError("version", f"a whole number from 0 to {MAX_VERSION}")
    return StatedVersion(source.epoch, event.version, RANKS[event.op])


def _acl(entries: Sequence[str]) -> tuple[str, ...]:
    if len(entries) > MAX_ACL_ENTRIES:
        raise InvalidEventError("acl", f"has {len(entries)} entries; {MAX_ACL_ENTRIES} is the limit: use groups")
    try:
        return tuple(sorted({principal(entry) for entry in entries}))
    except InvalidNameError as error:
        raise InvalidEventError("acl", str(error)) from None


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    if len(labels) > MAX_LABELS:
        raise InvalidEventError("labels", f"{len(labels)} are over the limit of {MAX_LABELS}")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise InvalidEventError("labels", "a key is 1 to 64 of a-z 0-9 _ . -")
        _short(value, f"labels.{key}", MAX_LABEL_CHARS)
    return dict(labels)


def _url(url: str | None) -> str | None:
    if url is not None and not is_url(url):
        raise InvalidEventError(
            "url", f"an http or https address of at most {MAX_URL_CHARS} characters, without blanks"
        )
    return _short(url, "url", MAX_URL_CHARS)


def is_url(text: str) -> bool:
    """Whether a text is an address that a citation may link to, by its shape; nothing fetches it."""
    return len(text) <= MAX_URL_CHARS and _URL.fullmatch(text) is not None


def is_content_type(text: str) -> bool:
    """Whether a text is a media type, with parameters or without."""
    return _CONTENT_TYPE.fullmatch(text) is not None


def _content_type(content_type: str | None) -> str | None:
    if content_type is not None and not is_content_type(content_type):
        raise InvalidEventError("content_type", "a media type, such as text/markdown")
    return content_type


def _short(text: str | None, name: str, limit: int) -> str | None:
    """Text of at most `limit` characters that encodes to UTF-8 and has no control characters."""
    if text is None:
        return None
    if len(text) > limit:
        raise InvalidEventError(name, f"{len(text)} characters are over the limit of {limit}")
    if _CONTROL.search(text):
        raise InvalidEventError(name, "must not contain control characters")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidEventError(name, "must not contain lone surrogates")
    return text


def _event_time(time: datetime | None, now: datetime) -> datetime | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise InvalidEventError("event_time", "needs a zone, such as Z or +02:00")
    if time.year < EARLIEST_YEAR:
        raise InvalidEventError("event_time", f"is before {EARLIEST_YEAR}")
    if time > now + FUTURE:
        raise InvalidEventError("event_time", "is more than a day in the future")
    return time.astimezone(UTC)
