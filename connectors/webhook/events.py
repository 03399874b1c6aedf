"""The body of a webhook request: JSON as it comes over the wire, read into events.

One event, or `{"events": [...]}`. All or nothing: one fault, named with its event and field, and nothing counts.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from connectors.changes import MAX_ACL_ENTRIES, MAX_LABELS, Event
from schemas.errors import PermanentError
from schemas.said import said
from schemas.versions import Op

MAX_EVENTS = 1000
MAX_FAULTS = 20
_MOST_ENTRIES = {"acl": MAX_ACL_ENTRIES, "labels": MAX_LABELS}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong: in which event (counted from 0; None: in the request itself), in which field."""

    event: int | None
    field: str
    detail: str


class InvalidBodyError(PermanentError):
    """A body that is not a batch of events; `faults` says where."""

    reason = "invalid_event"

    def __init__(self, faults: Sequence[Fault], *, reason: str | None = None) -> None:
        super().__init__("; ".join(_line(fault) for fault in faults), reason=reason)
        self.faults = tuple(faults)


def _line(fault: Fault) -> str:
    place = fault.field if fault.event is None else f"event {fault.event}, {fault.field}"
    return f"{place}: {fault.detail}" if place else fault.detail


def _text_time(value: object) -> object:
    """Only text: a bare number would be taken for seconds since 1970."""
    if not isinstance(value, str):
        raise ValueError("an ISO 8601 time with a zone, such as 2026-01-10T09:00:00Z")
    return value


class WireEvent(BaseModel):
    """One event as sources send it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    op: Literal["upsert", "delete", "acl", "erase"]
    doc_id: str
    version: int | None = None
    title: str | None = None
    url: str | None = None
    content_type: str | None = None
    body: str | None = Field(None, repr=False)
    body_base64: str | None = Field(None, repr=False)
    acl: list[str] | None = None
    labels: dict[str, str] = {}
    actor: str | None = None
    event_time: Annotated[datetime | None, Field(strict=False), BeforeValidator(_text_time)] = None


def parse_events(body: bytes) -> tuple[Event, ...]:
    """Read a request's body. Raises InvalidBodyError; its message holds nothing of the body but field names."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidBodyError([Fault(None, "", f"the body is not JSON: {place}")], reason="malformed_json") from None
    listed = content.get("events") if isinstance(content, dict) and set(content) == {"events"} else [content]
    if not isinstance(listed, list) or not listed:
        raise InvalidBodyError([Fault(None, "events", "needs a list of one or more events")])
    if len(listed) > MAX_EVENTS:
        raise InvalidBodyError([Fault(None, "events", f"{len(listed)} are over the limit of {MAX_EVENTS} a request")])
    faults: list[Fault] = []
    events: list[Event] = []
    for number, item in enumerate(listed):
        read = _event(number, item)
        if isinstance(read, Event):
            events.append(read)
        else:
            faults += read
        if len(faults) >= MAX_FAULTS:
            break
    if faults:
        raise InvalidBodyError(faults[:MAX_FAULTS])
    return tuple(events)


def _outsized(number: int, item: object) -> list[Fault]:
    """What holds more than any event may. Told by size before validation, which would make an error of every entry:
    2 MB of numbers as an acl took 0.9 GB and 7 s.
    """
    if not isinstance(item, dict):
        return []
    if len(item) > len(WireEvent.model_fields):
        return [Fault(number, "", f"{len(item)} members are more than an event has")]
    return [
        Fault(number, name, f"has {len(entries)} entries; {most} is the limit")
        for name, most in _MOST_ENTRIES.items()
        if isinstance(entries := item.get(name), list | dict) and len(entries) > most
    ]


def _event(number: int, item: object) -> Event | list[Fault]:
    if outsized := _outsized(number, item):
        return outsized
    try:
        wire = WireEvent.model_validate(item)
    except ValidationError as error:
        return [
            Fault(number, ".".join(str(part) for part in each["loc"])[:64], said(each))
            for each in error.errors(include_input=False, include_context=False, include_url=False)
        ]
    if wire.body is not None and wire.body_base64 is not None:
        return [Fault(number, "body_base64", "send body or body_base64, not both")]
    body = None if wire.body is None else wire.body.encode()
    if wire.body_base64 is not None:
        try:
            body = base64.b64decode(wire.body_base64, validate=True)
        except (binascii.Error, ValueError):
            return [Fault(number, "body_base64", "is not base64")]
    return Event(
        op=Op(wire.op),
        doc_id=wire.doc_id,
        version=wire.version,
        title=wire.title,
        url=wire.url,
        content_type=wire.content_type,
        body=body,
        acl=None if wire.acl is None else tuple(wire.acl),
        labels=wire.labels,
        actor=wire.actor,
        event_time=wire.event_time,
    )
