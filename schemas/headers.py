"""Record headers of documents.changes and index.mutations: what can be known of a record without decoding its body."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.errors import DecodeError
from schemas.records import DocumentChange, Mutation, Origin
from schemas.versions import Op, StatedVersion

OP = "ms-op"
VERSION = "ms-version"
ACL = "ms-acl"
EVENT_ID = "ms-event-id"
ORIGIN = "ms-origin"
RECEIVED = "ms-received"
TRACE = "traceparent"
REDRIVEN = "ms-redriven"
"""Of a captured record that lies in its topic again: where it lay first."""
EPOCH = "ms-epoch"
"""Of a captured record: its source's epoch when its connector was started."""
AGAIN = "ms-again"
"""Of a change that Millstream itself appended again, and of the mutation made of it: why."""

_LARGEST = 2**63 - 1
_EPOCH = re.compile(rb"[1-9][0-9]{0,9}")

Headers = tuple[tuple[str, bytes], ...]


class Again(StrEnum):
    """Why a change lies in documents.changes again, in the version it had."""

    HEALED = "healed"
    """A newer change than the one that lay behind it: compaction would have kept the older one."""
    REPAIR = "repair"
    """The index was found to differ from it: its rows are written anew."""


def headers_of(record: DocumentChange | Mutation, again: Again | None = None) -> Headers:
    """Headers of a change or a mutation: op, version, event id, origin (a JSON list of connector and reference), when
    it was received, and acl (a JSON list), trace, and why it lies there again where it has them.
    """
    found = [
        (OP, record.op.encode()),
        (VERSION, str(record.version).encode()),
        (EVENT_ID, record.event_id.encode()),
        (ORIGIN, json.dumps([record.origin.connector, record.origin.reference]).encode()),
        (RECEIVED, record.received_at.isoformat().encode()),
    ]
    if record.acl is not None:
        found.append((ACL, json.dumps(record.acl).encode()))
    if record.traceparent is not None:
        found.append((TRACE, record.traceparent.encode()))
    if again is not None:
        found.append((AGAIN, again.encode()))
    return tuple(found)


def stated_op(headers: Iterable[tuple[str, bytes]]) -> Op | None:
    """The operation that headers state; None where they state none that is known."""
    stated = next((value for name, value in headers if name == OP), b"").decode("ascii", "replace")
    return Op(stated) if stated in set(Op) else None


def stated_again(headers: Iterable[tuple[str, bytes]]) -> Again | None:
    """Why a record lies in the log again; None for one that came in, and for a reason that is not known."""
    stated = next((value for name, value in headers if name == AGAIN), b"").decode("ascii", "replace")
    return Again(stated) if stated in set(Again) else None


def stated_epoch(headers: Iterable[tuple[str, bytes]]) -> int | None:
    """The epoch of its source that a captured record was told in; None where none is stated. Raises DecodeError."""
    stated = next((value for name, value in headers if name == EPOCH), None)
    if stated is None:
        return None
    if not _EPOCH.fullmatch(stated):
        raise DecodeError(f"the header {EPOCH} is no epoch")
    return int(stated)


@dataclass(frozen=True, slots=True)
class StatedChange:
    """A change as far as its headers tell."""

    op: Op
    version: StatedVersion
    acl: tuple[str, ...] | None
    event_id: str
    origin: Origin
    received_at: datetime
    traceparent: str | None


def stated_change(headers: Iterable[tuple[str, bytes]]) -> StatedChange:
    """Read back `headers_of`. Raises DecodeError where one is missing or is not what it has to be."""
    stated = dict(headers)
    op = stated_op(stated.items())
    if op is None:
        raise DecodeError(f"no header {OP}")
    try:
        connector, reference = _texts(stated[ORIGIN])
        received_at = datetime.fromisoformat(stated[RECEIVED].decode())
        if received_at.tzinfo is None:
            raise ValueError("a time needs a zone")
        version = StatedVersion.parse(stated[VERSION].decode())
        if not all(0 <= number <= _LARGEST for number in (version.epoch, version.sequence or 0, version.rank)):
            raise ValueError("a version's numbers have 63 bits")
        return StatedChange(
            op=op,
            version=version,
            acl=_texts(stated[ACL]) if ACL in stated else None,
            event_id=stated[EVENT_ID].decode(),
            origin=Origin(connector=connector, reference=reference),
            received_at=received_at,
            traceparent=stated[TRACE].decode() if TRACE in stated else None,
        )
    except (KeyError, ValueError, RecursionError):
        raise DecodeError("headers that do not read back") from None


def _texts(written: bytes) -> tuple[str, ...]:
    texts = json.loads(written)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("no list of texts")
    "".join(texts).encode()  # JSON lets a text hold half a character, UTF-8 does not
    return tuple(texts)
