"""What a change of a row says about documents: pure, as the source declares its columns.

A row that changes its key or its tenant leaves nothing behind under the old one, and a row whose content cannot become
a document still moves its acl: what takes away is never lost with what cannot be added.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson

from connectors.changes import MAX_TITLE_CHARS, Event, InvalidEventError
from connectors.debezium.envelope import Row, RowChange
from connectors.debezium.order import Place
from schemas.errors import PermanentError
from schemas.sources import PostgresTable, SourceConfig, row_doc_id
from schemas.versions import Op

PLACEHOLDER = "__debezium_unavailable_value"
"""What Debezium writes for a large column that an update left alone, where it could not read it from the table."""

_PLACEHOLDERS = (PLACEHOLDER, base64.b64encode(PLACEHOLDER.encode()).decode())
_UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3), (0, 1))
"""Numbers from the first on are times in this many parts of a second: a column of whole numbers does not say."""


class UnavailableValueError(PermanentError):
    """A column that the source maps came without its value."""

    reason = "unavailable_value"


class UnmappedColumnError(PermanentError):
    """A row has no column of a name that the source maps."""

    reason = "unmapped_column"


@dataclass(frozen=True, slots=True)
class Told:
    """What a change says: `events` in their order, and why it says no more where something could not be read.

    `withdrawal`: what could not be read may take something away.
    """

    events: tuple[Event, ...] = ()
    refused: PermanentError | None = None
    withdrawal: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Which document a row is; `tenant` None: the source's own."""

    tenant: str | None
    doc_id: str

    def event(self, op: Op, place: Place, acl: tuple[str, ...] | None = None) -> Event:
        """An event that carries no content."""
        return Event(op, self.doc_id, tenant=self.tenant, version=place.sequence, tie=place.tie, acl=acl)


def told_by(change: RowChange, source: SourceConfig, place: Place) -> Told:
    """What a change of the source's table says, with versions at `place`. Names, sizes and acls are the door's to
    check.
    """
    table = source.postgres
    assert table is not None, "only sources of kind postgres are captured"
    try:
        if table.shape == "outbox":
            return _told_by_outbox(change, table, place)
        if change.op == "d":
            return Told((_old_identity(change, table).event(Op.DELETE, place),))
    except PermanentError as error:
        return Told(refused=error, withdrawal=True)
    return _told_by_row(change, source, table, place)


def lacks_values(change: RowChange, table: PostgresTable) -> bool:
    """Whether a mapped column of a row that is there came without its value."""
    row = change.after
    if row is None or not names_row(change, table):
        return False
    return any(name in row and not _is_there(row, name) for name in mapped_columns(table))


def names_row(change: RowChange, table: PostgresTable) -> bool:
    """Whether a row that is there has its key, by which its table can be asked for it."""
    row = change.after
    return row is not None and all(name in row and _is_there(row, name) for name in table.columns.key)


def completed(change: RowChange, current: Row, table: PostgresTable) -> RowChange | None:
    """A change with the whole row as it is now, never a mixture of then and now; None where that is another document
    by now, which a later change tells.
    """
    assert change.after is not None, "asked only of a row that is there"
    row = {**change.after, **current}
    try:
        same = _identity(change.after, table) == _identity(row, table)
    except PermanentError:
        return None
    return replace(change, after=row) if same else None


def mapped_columns(table: PostgresTable) -> tuple[str, ...]:
    """Every column that is read from a row."""
    return tuple(dict.fromkeys((*table.columns.named, *table.pii_columns)))


def without_content(event: Event) -> Event | None:
    """What is left of an upsert that the door refuses: its acl; None where it has none."""
    if event.op is not Op.UPSERT or event.acl is None:
        return None
    return Identity(event.tenant, event.doc_id).event(Op.ACL, Place(event.version or 0, event.tie), event.acl)


def _told_by_row(change: RowChange, source: SourceConfig, table: PostgresTable, place: Place) -> Told:
    row = change.after
    assert row is not None, "checked when the envelope was read"
    left = tuple(_left_behind(change, table, place))
    acl: tuple[str, ...] | None = None
    identity: Identity | None = None
    try:
        identity = _identity(row, table)
        acl = _row_acl(row, source, table)
        return Told((*left, *_present(row, table, identity, acl, place)))
    except PermanentError as error:
        if identity is None or acl is None:
            return Told(left, error, withdrawal=identity is None or table.columns.acl is not None)
        return Told((*left, identity.event(Op.ACL, place, acl)), error)


def _left_behind(change: RowChange, table: PostgresTable, place: Place) -> Iterator[Event]:
    """The delete of what the row was before, where it was another document."""
    if change.op != "u" or change.before is None:
        return
    try:
        before = _identity(change.before, table)
    except PermanentError:
        return  # an old image with less than the key was logged for another reason
    if before != _identity_or_none(change.after, table):
        yield before.event(Op.DELETE, place)


def _present(
    row: Row, table: PostgresTable, identity: Identity, acl: tuple[str, ...] | None, place: Place
) -> tuple[Event, ...]:
    body = _body(row, table)
    if not body:  # a row without a body is no document; who may read what it was is still the row's to say
        gone = identity.event(Op.DELETE, place)
        return (gone,) if acl is None else (gone, identity.event(Op.ACL, place, acl))
    columns = table.columns
    title = _text(row, columns.title)
    present = Event(
        op=Op.UPSERT,
        doc_id=identity.doc_id,
        tenant=identity.tenant,
        version=place.sequence,
        tie=place.tie,
        title=None if title is None else " ".join(title.split())[:MAX_TITLE_CHARS] or None,
        url=_text(row, columns.url) or None,
        content_type=_text(row, columns.content_type) or table.content_type,
        body=body,
        acl=acl,
        labels={name: text for name in columns.labels if (text := _text(row, name)) is not None},
        private=tuple(_private(row, table)),
        actor=_text(row, columns.actor) or None,
        event_time=_time(row, columns.event_time),
    )
    return (present,)


def _told_by_outbox(change: RowChange, table: PostgresTable, place: Place) -> Told:
    """Every inserted row is one event; rows that change or go were told when they came."""
    row = change.after
    if change.op not in ("c", "r") or row is None:
        return Told()
    identity = _identity(row, table)
    stated = _text(row, table.columns.op)
    try:
        op = Op(stated or "")
    except ValueError:
        raise InvalidEventError("op", "upsert, delete or acl") from None
    if op is not Op.UPSERT:
        acl = _acl(row, table) if op is Op.ACL else None
        return Told((identity.event(op, place, acl),))
    acl = _acl(row, table)
    try:
        return Told(_present(row, table, identity, acl, place))
    except PermanentError as error:
        return Told(() if acl is None else (identity.event(Op.ACL, place, acl),), error)


def _old_identity(change: RowChange, table: PostgresTable) -> Identity:
    """Of a row that is gone. The message's key comes first: columns that no old row logs hold the table's defaults."""
    return _identity({**(change.before or {}), **change.key}, table)


def _identity_or_none(row: Row | None, table: PostgresTable) -> Identity | None:
    try:
        return None if row is None else _identity(row, table)
    except PermanentError:
        return None


def _identity(row: Row, table: PostgresTable) -> Identity:
    parts = [_text(row, name) for name in table.columns.key]
    if None in parts:
        raise InvalidEventError("doc_id", "a key column is NULL")
    tenant = None
    if table.columns.tenant is not None:
        tenant = _text(row, table.columns.tenant)
        if tenant is None:
            raise InvalidEventError("tenant", f"column {table.columns.tenant} is NULL")
    return Identity(tenant, row_doc_id([part or "" for part in parts]))


def _row_acl(row: Row, source: SourceConfig, table: PostgresTable) -> tuple[str, ...] | None:
    """NULL is the source's default, stated: the table says what holds now, whatever an earlier row said."""
    acl = _acl(row, table)
    return source.default_acl if acl is None and table.columns.acl is not None else acl


def _acl(row: Row, table: PostgresTable) -> tuple[str, ...] | None:
    """A list, JSON text of a list, or entries separated by commas; None for NULL, and where no column is mapped."""
    if table.columns.acl is None:
        return None
    value = _value(row, table.columns.acl)
    if isinstance(value, str):
        value = _listed(value)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise InvalidEventError("acl", f"column {table.columns.acl} holds no list of texts")
    return tuple(value)


def _listed(text: str) -> object:
    if not text.lstrip().startswith(("[", "{", '"')) and text.strip() != "null":
        return [entry.strip() for entry in text.split(",") if entry.strip()]
    try:
        listed: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidEventError("acl", "is neither JSON nor entries separated by commas") from None
    return listed


def _body(row: Row, table: PostgresTable) -> bytes | None:
    name = table.columns.body
    text = _text(row, name)
    if text is None or table.body_encoding == "text":
        return None if text is None else text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidEventError("body", f"column {name} is not base64") from None


def _private(row: Row, table: PostgresTable) -> Iterator[str]:
    """The values that are to be masked wherever the document has them."""
    for name in table.pii_columns:
        value = _value(row, name)
        for each in value if isinstance(value, list) else [value]:
            if each is not None and (text := _as_text(each, name).strip()):
                yield text


def _time(row: Row, name: str | None) -> datetime | None:
    value = None if name is None else _value(row, name)
    if value is None:
        return None
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            per_second = next(unit for least, unit in _UNITS if abs(value) >= least)
            return datetime.fromtimestamp(value / per_second, UTC)
        text = str(value).strip()
        # Debezium writes a date as 2026-01-31Z, which fromisoformat does not read.
        read = datetime.fromisoformat(text.removesuffix("Z") if len(text) == len("2026-01-31Z") else text)
        return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidEventError("event_time", f"column {name} holds no time") from None


def _text(row: Row, name: str | None) -> str | None:
    """A column as text; None for NULL and for no column."""
    value = None if name is None else _value(row, name)
    return None if value is None else _as_text(value, name)


def _as_text(value: object, name: str | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidEventError("columns", f"column {name} holds no text")


def _value(row: Row, name: str) -> object:
    """A mapped column's value. Raises UnmappedColumnError, UnavailableValueError."""
    if name not in row:
        raise UnmappedColumnError(f"the row has no column {name}: correct the source's columns")
    value = row[name]
    if not _is_there(row, name):
        raise UnavailableValueError(f"column {name} came without its value")
    return value


def _is_there(row: Row, name: str) -> bool:
    """Whether a column has a value and not what stands for one."""
    value = row.get(name)
    return not any(entry in _PLACEHOLDERS for entry in (value if isinstance(value, list) else [value]))
