"""Record headers of documents.changes and index.mutations: what can be known of a record without decoding its body."""

import json
from collections.abc import Iterable

from schemas.records import DocumentChange, Mutation
from schemas.versions import Op

OP = "ms-op"
VERSION = "ms-version"
ACL = "ms-acl"
EVENT_ID = "ms-event-id"
TRACE = "traceparent"

Headers = tuple[tuple[str, bytes], ...]


def headers_of(record: DocumentChange | Mutation) -> Headers:
    """Headers of a change or a mutation: op, version, event id, and acl (a JSON list) and trace where it has them."""
    found = [
        (OP, record.op.encode()),
        (VERSION, str(record.version).encode()),
        (EVENT_ID, record.event_id.encode()),
    ]
    if record.acl is not None:
        found.append((ACL, json.dumps(record.acl).encode()))
    if record.traceparent is not None:
        found.append((TRACE, record.traceparent.encode()))
    return tuple(found)


def stated_op(headers: Iterable[tuple[str, bytes]]) -> Op | None:
    """The operation that headers state; None where they state none that is known."""
    stated = next((value for name, value in headers if name == OP), b"").decode("ascii", "replace")
    return Op(stated) if stated in set(Op) else None
