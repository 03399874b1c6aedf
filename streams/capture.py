"""The flow of one captured record, top to bottom: envelope, place in the order, row, door, log; and what clears.

A truncate, and the last row of a snapshot, are barriers: all that Debezium told before them is in documents.changes
when they are worked on, so that what is older than they are can be read off it. So is the begin of a snapshot: an
edited declaration has its rows read again, and they must meet that declaration.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from connectors.changes import Receipt, append_acl_copy, append_change, has_acl_copy
from connectors.clear import Clearing, Cut, older_than, told_before, truncated
from connectors.debezium.envelope import (
    EmptySnapshot,
    Envelope,
    Position,
    Quiet,
    Row,
    RowChange,
    Snapshot,
    SnapshotStarted,
    Truncated,
    read_envelope,
)
from connectors.debezium.mapping import Mapped, changes_of
from connectors.debezium.order import Place, place_of
from connectors.debezium.rows import completed, lacks_values, mapped_columns, names_row
from runtime.clock import Clock
from runtime.log_port import Log, StoredRecord
from schemas.errors import ConfigError, DecodeError, PermanentError, TooLargeError, TransientError
from schemas.headers import REDRIVEN, stated_epoch
from schemas.records import Coordinates, Origin
from schemas.sources import SourceConfig
from schemas.topics import CHANGES, Topics
from schemas.versions import Op, Rank, Version, tied
from streams.window import Delivery, Lease, LeaseEndedError

CONNECTOR = "debezium"

_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 5.0

log = structlog.get_logger("millstream.streams")

ReadFrom = Callable[[str, int | None], Iterator[StoredRecord]]
"""Reads a topic to the end it has when called: partition 0 from an offset, or all of it for None. Blocks."""
Step = Callable[[int], None]
Declared = Callable[[], SourceConfig | None]
"""The source as it is declared at this moment."""


CurrentRow = Callable[[Row, Sequence[str]], Awaitable[Row | None]]
"""Columns of the row with a key as it is in its table now; None when it is gone. Raises TransientError, ConfigError."""
WaitsChanged = Callable[[bool], None]
"""Called when a record begins or ends to wait for the source's database."""


class SourceChangedError(Exception):
    """The source is declared differently now: what follows must be read by the new declaration."""


@dataclass(frozen=True, slots=True)
class Captured:
    """What a record became.

    `kind`: row, truncate, snapshot, or what it was instead. `cleared`: documents deleted because they are older.
    `refused`: why the record becomes a dead letter all the same; `withdrawal`: what it takes away may still be shown.
    """

    kind: str
    ops: tuple[Op, ...] = ()
    cleared: int | None = None
    refused: PermanentError | None = None
    withdrawal: bool = False


def is_barrier(delivery: Delivery) -> bool:
    """Whether a record may clear: it runs alone then."""
    try:
        envelope = read_envelope(delivery.key, delivery.value)
    except DecodeError:
        return False
    last = isinstance(envelope, RowChange) and envelope.position.snapshot is Snapshot.LAST
    return last or isinstance(envelope, Truncated | SnapshotStarted | EmptySnapshot)


def is_redriven(delivery: Delivery) -> bool:
    """Whether a record is a dead letter that was taken up again."""
    return told_at(delivery) != delivery.coordinates


def told_at(delivery: Delivery) -> Coordinates:
    """Where Debezium told a record, also where it lies again."""
    first = dict(delivery.headers).get(REDRIVEN)
    try:
        return delivery.coordinates if first is None else Coordinates.parse(first.decode())
    except ValueError:
        return delivery.coordinates


class Capturer:
    """Captures the records of one source. Holds nothing that a restart would miss."""

    def __init__(
        self,
        source: SourceConfig,
        log: Log,
        topics: Topics,
        clock: Clock,
        read: ReadFrom,
        *,
        max_bytes: int,
        declared: Declared,
        current_row: CurrentRow,
        step: Step = lambda _: None,
        waits_changed: WaitsChanged = lambda _: None,
    ) -> None:
        self._source = source
        assert source.postgres is not None, "only sources of kind postgres are captured"
        self._table = source.postgres
        self._declared = declared
        self._current_row = current_row
        self._waits_changed = waits_changed
        self._log = log
        self._topics = topics
        self._clock = clock
        self._max_bytes = max_bytes
        self._clearing = Clearing(source, lambda: read(CHANGES, None), log, topics, step)
        self._floors = Floors(read)

    async def capture(self, delivery: Delivery, lease: Lease) -> Captured:
        """Returns once all it becomes is acknowledged. Raises PermanentError, SourceChangedError, LeaseEndedError, and
        what `Log.append` raises.
        """
        envelope = read_envelope(delivery.key, delivery.value)
        receipt, source = self._receipt(delivery, envelope), self._told_in(delivery)
        match envelope:
            case Quiet(kind=kind):
                return Captured(kind)
            case SnapshotStarted():
                if self._declared() != self._source:
                    raise SourceChangedError
                return Captured("snapshot_started")
            case EmptySnapshot():
                return await self._clear("snapshot", told_before(told_at(delivery)), receipt)
            case Truncated(position=position):
                place = await self._place(position, delivery)
                return await self._clear("truncate", truncated(_version(source, place, Rank.DELETE)), receipt)
            case RowChange(position=position):
                place = await self._place(position, delivery)
                mapped = await self._mapped(envelope, source, place, receipt, lease, again=is_redriven(delivery))
                cut = older_than(_version(source, place, Rank.UPSERT)) if position.snapshot is Snapshot.LAST else None
                return await self._append(mapped, cut, receipt, delivery.coordinates)

    def _told_in(self, delivery: Delivery) -> SourceConfig:
        """The source in the epoch that a record was told in, which may have been raised since. Raises DecodeError."""
        epoch = stated_epoch(delivery.headers)
        return self._source if epoch in (None, self._source.epoch) else self._source.model_copy(update={"epoch": epoch})

    async def _mapped(
        self, change: RowChange, source: SourceConfig, place: Place, receipt: Receipt, lease: Lease, *, again: bool
    ) -> Mapped:
        """What a row becomes. One that came without a large column is read from its table, as a whole: its delete, or
        what it became instead, is on its way where it is not there any more. So is one that is told `again`: its table
        may have been emptied since, and what was no document then was not deleted.
        """
        asked = again and self._table.shape == "rows" and names_row(change, self._table)
        if not asked and not lacks_values(change, self._table):
            return changes_of(change, source, place, receipt, self._max_bytes)
        key = {name: change.after[name] for name in self._table.columns.key} if change.after is not None else {}
        try:
            current = await self._current(key, lease)
        except ConfigError:
            return changes_of(change, source, place, receipt, self._max_bytes)
        whole = None if current is None else completed(change, current, self._table)
        mapped = changes_of(whole or change, source, place, receipt, self._max_bytes)
        if whole is not None:
            return mapped
        # Its acl of then would stand over a text that an earlier change may have read from the row of a later time.
        return Mapped(tuple(change for change in mapped.changes if change.op is Op.DELETE))

    async def _current(self, key: Row, lease: Lease) -> Row | None:
        """The row as it is now, waiting for its database while that is away."""
        seconds, waits = _FIRST_WAIT_SECONDS, False
        try:
            while True:
                try:
                    return await self._current_row(key, mapped_columns(self._table))
                except TransientError as error:
                    if not waits:
                        log.warning("waiting for the source's database", source=self._source.name, reason=str(error))
                        self._waits_changed(True)
                        waits = True
                await lease.pause(seconds)
                if lease.is_ending:
                    raise LeaseEndedError
                seconds = min(_LONGEST_WAIT_SECONDS, 2 * seconds)
        finally:
            if waits:
                self._waits_changed(False)

    async def _append(self, mapped: Mapped, cut: Cut | None, receipt: Receipt, at: Coordinates) -> Captured:
        """`cut`: what the end of a snapshot clears."""
        refused, ops = mapped.refused, list[Op]()
        for change in mapped.changes:
            try:
                await append_change(self._log, self._topics, change)
                ops.append(change.op)
            except TooLargeError as error:  # with all it carries beside its body, which the door has measured
                refused = refused or error
                if has_acl_copy(change):
                    await append_acl_copy(self._log, self._topics, change, at)
                    ops.append(Op.ACL)
        cleared = None if cut is None else (await self._clear("snapshot", cut, receipt)).cleared
        return Captured("row" if ops else "nothing_said", tuple(ops), cleared, refused, mapped.withdrawal)

    async def _clear(self, kind: str, cut: Cut, receipt: Receipt) -> Captured:
        if self._table.shape == "outbox":
            return Captured(kind)  # events that are gone from an outbox were told when they came
        cleared = await self._clearing.once(cut, receipt)
        log.info("source cleared", source=self._source.name, kind=kind, documents=cleared)
        return Captured(kind, cleared=cleared)

    async def _place(self, position: Position, delivery: Delivery) -> Place:
        return place_of(position, await self._floors.below(position, told_at(delivery)))

    def _receipt(self, delivery: Delivery, envelope: Envelope) -> Receipt:
        """The event's id is where Debezium told it; `told_before` reads it back."""
        at = str(told_at(delivery))
        where = envelope.position.text if isinstance(envelope, RowChange | Truncated) else at
        origin = Origin(connector=CONNECTOR, reference=f"{self._table.table}@{where}")
        return Receipt(self._clock.now(), at, origin)


def _version(source: SourceConfig, place: Place, rank: Rank) -> Version:
    return Version(source.epoch, place.sequence, tied(rank, place.tie))


class Floors:
    """Where the last commit before a change lies. After a snapshot Debezium does not know one until a transaction was
    told: then it is where the snapshot was taken, read off the row before in the capture topic.
    """

    def __init__(self, read: ReadFrom) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._known: tuple[int | None, int] = (None, 0)
        """The transaction that was asked for last, and its floor."""

    async def below(self, position: Position, at: Coordinates) -> int:
        """The floor of the change at these coordinates. Raises TransientError."""
        if position.snapshot is not Snapshot.NO:
            return 0
        if position.last_commit is not None:
            return position.last_commit
        async with self._lock:
            transaction, floor = self._known
            if transaction is None or transaction != position.transaction:
                floor = await asyncio.to_thread(self._snapshot_before, at, position.transaction)
                self._known = (position.transaction, floor)
            return floor

    def _snapshot_before(self, at: Coordinates, transaction: int | None) -> int:
        """The LSN of the snapshot that ends right before a transaction; 0 where something else lies there."""
        span = _FIRST_SPAN
        while True:
            first = max(0, at.offset - span)
            floor = _nearest_floor(self._records(at, first), transaction)
            if floor is not None or first == 0:
                return floor or 0
            span *= _SPAN_GROWS

    def _records(self, at: Coordinates, first: int) -> list[StoredRecord]:
        """The records from `first` up to, not including, `at`."""
        found = []
        for record in self._read(at.topic, first):
            if record.coordinates.offset >= at.offset:
                break
            found.append(record)
        return found


_FIRST_SPAN = 256
_SPAN_GROWS = 16


def _nearest_floor(records: list[StoredRecord], transaction: int | None) -> int | None:
    """What the nearest change before, of another transaction, says; None where there is none among these."""
    for record in reversed(records):
        try:
            envelope = read_envelope(None, record.value)
        except DecodeError:
            continue
        if not isinstance(envelope, RowChange | Truncated):
            continue
        position = envelope.position
        if position.snapshot is not Snapshot.NO:
            return position.lsn
        if position.transaction != transaction:
            return 0
    return None
