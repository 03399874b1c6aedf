"""Reads what Debezium writes about a source: rows, truncates and the end of a snapshot; everything else is quiet.

Pure. Values are as the connector template makes them: JSON without schemas, numbers exact as text, times in ISO 8601,
bytes in base64. What is none of it is a DecodeError, which never quotes a value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import orjson

from schemas.errors import DecodeError

Row = Mapping[str, object]
"""Column name -> JSON value."""
RowOp = Literal["r", "c", "u", "d"]

_ROW_OPS: Mapping[str, RowOp] = {"r": "r", "c": "c", "u": "u", "d": "d"}
_LAST_COMMIT = re.compile(r'\["?(null|\d{1,19})"?,')
_LARGEST = 2**63 - 1


class Snapshot(StrEnum):
    """Where in a snapshot a row stands."""

    NO = "false"
    ROW = "true"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Position:
    """Where in the write-ahead log a change lies."""

    lsn: int
    """Of a snapshot's row: where the snapshot was taken, the same for all of them."""
    last_commit: int | None = None
    """Where the transaction before this one, in the order of their commits, ended; None right after a snapshot."""
    transaction: int | None = None
    snapshot: Snapshot = Snapshot.NO

    @property
    def text(self) -> str:
        """The LSN as Postgres writes it."""
        return f"{self.lsn >> 32:X}/{self.lsn & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row as it is and, where the table logs it, as it was. `key` are its message key's columns."""

    op: RowOp
    table: str
    position: Position
    key: Row
    before: Row | None
    after: Row | None


@dataclass(frozen=True, slots=True)
class Truncated:
    """The table was emptied."""

    table: str
    position: Position


@dataclass(frozen=True, slots=True)
class SnapshotStarted:
    """The rows that follow were read anew."""


@dataclass(frozen=True, slots=True)
class EmptySnapshot:
    """A snapshot of the table found no row; where it was taken is not told."""

    table: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """Says nothing about a document: a tombstone, a heartbeat, a message, a notification."""

    kind: str


Envelope = RowChange | Truncated | SnapshotStarted | EmptySnapshot | Quiet


def read_envelope(key: bytes | None, value: bytes | None) -> Envelope:
    """What one record of a capture topic says. Raises DecodeError."""
    if value is None:
        return Quiet("tombstone")  # the delete itself came before it
    content = _object(value, "value")
    if "op" in content:
        return _change(content, key)
    if "aggregate_type" in content:
        return _notification(content)
    if set(content) == {"ts_ms"}:
        return Quiet("heartbeat")
    if "payload" in content or "schema" in content:
        raise DecodeError("a record with its schema: the connector needs value.converter.schemas.enable=false")
    raise DecodeError("no record of Debezium")


def _change(content: Row, key: bytes | None) -> Envelope:
    op = content["op"]
    if op == "m":
        return Quiet("message")
    source = content.get("source")
    if not isinstance(source, dict):
        raise DecodeError("a change without its source")
    table, position = _table(source), _position(source)
    if op == "t":
        return Truncated(table, position)
    if not isinstance(op, str) or op not in _ROW_OPS:
        raise DecodeError("a change with an unknown op")
    before, after = _image(content, "before"), _image(content, "after")
    if (before if op == "d" else after) is None:
        raise DecodeError(f"a change with op {op} and without its row")
    fields = _object(key, "key") if key is not None else {}
    return RowChange(_ROW_OPS[op], table, position, fields, before, after)


def _notification(content: Row) -> Envelope:
    if content["aggregate_type"] != "Initial Snapshot":
        return Quiet("notification")
    if content.get("type") == "STARTED":
        return SnapshotStarted()
    more = content.get("additional_data")
    if content.get("type") != "TABLE_SCAN_COMPLETED" or not isinstance(more, dict):
        return Quiet("notification")
    is_empty = more.get("status") == "SUCCEEDED" and more.get("total_rows_scanned") == "0"
    return EmptySnapshot(str(more.get("scanned_collection"))) if is_empty else Quiet("notification")


def _table(source: Row) -> str:
    return f"{source.get('schema')}.{source.get('table')}"


def _position(source: Row) -> Position:
    lsn, transaction = source.get("lsn"), source.get("txId")
    if not isinstance(lsn, int) or not 0 < lsn <= _LARGEST:
        raise DecodeError("a change without an LSN")
    told = _LAST_COMMIT.match(str(source.get("sequence")))
    if told is None:
        raise DecodeError("a change without its sequence")
    return Position(
        lsn=lsn,
        last_commit=None if told[1] == "null" else int(told[1]),
        transaction=transaction if isinstance(transaction, int) else None,
        snapshot=_snapshot(source.get("snapshot")),
    )


def _snapshot(stated: object) -> Snapshot:
    """`first`, `true` and other marks of a row in the middle are one here."""
    if stated in (None, False, "false"):
        return Snapshot.NO
    return Snapshot.LAST if stated == "last" else Snapshot.ROW


def _image(content: Row, name: str) -> Row | None:
    image = content.get(name)
    if image is not None and not isinstance(image, dict):
        raise DecodeError(f"{name} is no row")
    return image


def _object(raw: bytes, what: str) -> dict[str, object]:
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise DecodeError(f"the {what} is not JSON") from None
    if not isinstance(content, dict):
        raise DecodeError(f"the {what} is no JSON object")
    return content
