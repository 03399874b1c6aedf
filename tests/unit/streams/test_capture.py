"""One captured record after the other over the log's twin: rows, truncates, snapshots, what is redelivered and what
was under way when a snapshot was taken.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.debezium.envelope import Row
from connectors.debezium.rows import PLACEHOLDER
from runtime.clock import ManualClock
from runtime.log_port import MemoryLog, StoredRecord
from runtime.metrics import ALERTS, RECORDS, Metrics
from schemas.codec import decode
from schemas.errors import ConfigError, DecodeError, TooLargeError, TransientError
from schemas.headers import EPOCH, REDRIVEN
from schemas.records import Coordinates, DeadLetter, DocumentChange
from schemas.sources import SourceConfig
from schemas.topics import CHANGES, DLQ
from schemas.versions import Op, Version
from streams.capture import Captured, Capturer, SourceChangedError, is_barrier
from streams.capture_lanes import capture_agent
from streams.dead_letters import DeadLetters
from streams.journal import WITHDRAWAL_LOST, Journal
from streams.window import Delivery, Lease, LeaseEndedError, Window
from tests.unit.connectors import debezium_records as debezium
from tests.unit.connectors.test_rows import GUARDED, OUTBOX, PLAIN, SHARED
from tests.unit.streams.records import topics

TOPIC = "cdc.articles"
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Table:
    """A captured table as Debezium tells it, and what documents.changes holds of it."""

    def __init__(self, source: SourceConfig = PLAIN) -> None:
        self.source = source
        self.declared: SourceConfig | None = source
        self.log = MemoryLog()
        self.told: list[tuple[bytes | None, bytes | None]] = []
        self.rows: dict[object, Row] = {}
        self.database: list[Exception] = []
        """What the database says first instead of an answer."""
        self.lease = Lease()

    def tell(self, value: bytes | None, key: bytes | None = None) -> Delivery:
        """Append to the capture topic."""
        self.told.append((key, value))
        return self.delivery(len(self.told) - 1)

    def row(self, op: str, lsn: int, number: int, title: str = "T", **more: object) -> Delivery:
        """A row's change; `more` are columns, or places as in debezium_records.source."""
        places = {name: more.pop(name) for name in ("last_commit", "snapshot", "txId") if name in more}
        image = {"id": number, "title": title, "body": f"Body of {title}", **more}
        before, after = (image, None) if op == "d" else (None, image)
        return self.tell(debezium.row(op, lsn, before=before, after=after, **places), debezium.key(id=number))

    def delivery(self, offset: int) -> Delivery:
        key, value = self.told[offset]
        return Delivery(Coordinates(topic=TOPIC, partition=0, offset=offset), key, value)

    def capturer(self) -> Capturer:
        """As a process that was just started has it."""
        return Capturer(
            self.source,
            self.log,
            topics(),
            ManualClock(),
            self.read,
            max_bytes=10_000,
            declared=lambda: self.declared,
            current_row=self.current_row,
        )

    def read(self, topic: str, first: int | None) -> Iterator[StoredRecord]:
        if topic == CHANGES:
            yield from self.log.records(CHANGES)
            return
        for offset in range(first or 0, len(self.told)):
            key, value = self.told[offset]
            at = Coordinates(topic=topic, partition=0, offset=offset)
            yield StoredRecord(at, None if key is None else key.decode(), value)

    async def current_row(self, key: Row, columns: Sequence[str]) -> Row | None:
        if self.database:
            raise self.database.pop(0)
        found = self.rows.get(key["id"])
        return None if found is None else {name: found[name] for name in columns}

    async def capture(self, *deliveries: Delivery) -> list[Captured]:
        """By one process, one after the other."""
        capturer = self.capturer()
        return [await capturer.capture(delivery, self.lease) for delivery in deliveries]

    def documents(self) -> dict[str, str]:
        """doc_id -> title of what is there, newest version by newest version."""
        newest: dict[str, tuple[Version, DocumentChange]] = {}
        for record in self.log.records(CHANGES):
            change = decode(record.value or b"", DocumentChange)
            version = change.version.at(record.coordinates.offset)
            known = newest.get(change.doc_id)
            if change.op is not Op.ACL and (known is None or known[0] < version):
                newest[change.doc_id] = (version, change)
        return {doc: change.title or "" for doc, (_, change) in newest.items() if change.op is Op.UPSERT}


async def test_rows_become_documents_and_deletes_take_them_away() -> None:
    table = Table()
    done = await table.capture(table.row("c", 200, 1, "one"), table.row("c", 240, 2, "two"), table.row("d", 280, 1))
    assert [each.ops for each in done] == [(Op.UPSERT,), (Op.UPSERT,), (Op.DELETE,)]
    assert table.documents() == {"2": "two"}


async def test_an_event_says_where_it_was_told_and_where_it_lies_in_the_write_ahead_log() -> None:
    table = Table()
    await table.capture(table.tell(debezium.HEARTBEAT), table.row("c", 0x100000010, 1))
    (record,) = table.log.records(CHANGES)
    change = decode(record.value or b"", DocumentChange)
    assert change.event_id == "cdc.articles/0/1"
    assert (change.origin.connector, change.origin.reference) == ("debezium", "public.articles@1/10")


async def test_what_says_nothing_leaves_nothing() -> None:
    table = Table()
    quiet = [table.tell(None, b"{}"), table.tell(debezium.HEARTBEAT), table.tell(debezium.notification("COMPLETED"))]
    assert [each.kind for each in await table.capture(*quiet)] == ["tombstone", "heartbeat", "notification"]
    assert list(table.log.records(CHANGES)) == []


async def test_a_record_that_cannot_be_decoded_is_an_error() -> None:
    table = Table()
    with pytest.raises(DecodeError):
        await table.capture(table.tell(b"nonsense"))


async def test_a_truncate_deletes_what_is_older_and_nothing_that_came_after_it() -> None:
    table = Table()
    first = [table.row("c", 200, 1), table.row("c", 240, 2), table.row("d", 280, 2)]
    truncate = table.tell(debezium.row("t", 400))
    later = table.row("c", 440, 3, "three")
    *_, cleared = await table.capture(*first, truncate)
    assert (cleared.kind, cleared.cleared) == ("truncate", 1)
    assert table.documents() == {}
    await table.capture(later)
    (again,) = await table.capture(truncate)
    assert again.cleared == 0
    assert table.documents() == {"3": "three"}


async def test_a_late_change_from_before_a_truncate_stays_away() -> None:
    table = Table()
    late = table.row("u", 300, 1, "late")
    await table.capture(table.row("c", 200, 1), table.tell(debezium.row("t", 400)), late)
    assert table.documents() == {}


def snapshot(table: Table, lsn: int, rows: Mapping[int, str]) -> list[Delivery]:
    """A snapshot as Debezium tells it."""
    started = table.tell(debezium.notification("STARTED"))
    numbers = list(rows)
    if not numbers:
        return [started, table.tell(debezium.scanned(0)), table.tell(debezium.notification("COMPLETED"))]
    read = [
        table.row(
            "r", lsn, number, rows[number], last_commit=None, snapshot="last" if number == numbers[-1] else "true"
        )
        for number in numbers
    ]
    return [started, *read, table.tell(debezium.notification("COMPLETED"))]


async def test_a_first_snapshot_has_nothing_to_clear() -> None:
    table = Table()
    done = await table.capture(*snapshot(table, 800, {1: "one", 2: "two"}))
    assert [each.cleared for each in done if each.cleared is not None] == [0]
    assert table.documents() == {"1": "one", "2": "two"}


async def test_documents_that_a_new_snapshot_did_not_see_are_deleted() -> None:
    table = Table()
    await table.capture(*snapshot(table, 800, {1: "one", 2: "two"}), table.row("c", 880, 3, "three"))
    await table.capture(*snapshot(table, 1600, {2: "two", 4: "four"}))
    assert table.documents() == {"2": "two", "4": "four"}


async def test_a_new_snapshot_that_was_broken_off_is_made_good_by_the_next() -> None:
    table = Table()
    await table.capture(*snapshot(table, 800, {1: "one", 2: "two"}))
    await table.capture(*snapshot(table, 1600, {2: "two"})[:1], *snapshot(table, 2400, {1: "uno"}))
    assert table.documents() == {"1": "uno"}


async def test_an_empty_snapshot_deletes_what_was_told_before_it() -> None:
    table = Table()
    await table.capture(*snapshot(table, 800, {1: "one"}), table.row("c", 880, 2))
    empty = snapshot(table, 0, {})
    later = table.row("c", 1600, 5, "five", last_commit=None)
    await table.capture(*empty, later)
    assert table.documents() == {"5": "five"}
    await table.capture(*empty, later)
    assert table.documents() == {"5": "five"}


async def test_a_row_of_the_snapshot_that_was_refused_may_still_be_redriven_afterwards() -> None:
    table = Table()
    await table.capture(*snapshot(table, 800, {1: "one"}))
    too_large = table.row("r", 1600, 1, "big", last_commit=None, snapshot="true", body="x" * 20_000)
    last = table.row("r", 1600, 2, "two", last_commit=None, snapshot="last")
    done = await table.capture(too_large, last)
    assert [each.refused is None for each in done] == [False, True]
    assert table.documents() == {"2": "two"}
    mended = table.row("r", 1600, 1, "mended", last_commit=None, snapshot="true")
    await table.capture(mended)
    assert table.documents() == {"1": "mended", "2": "two"}


async def test_what_was_under_way_when_the_snapshot_was_taken_beats_it() -> None:
    """Also by a process that was started in between and has seen no snapshot."""
    table = Table()
    await table.capture(*snapshot(table, 800, {1: "old", 2: "two"}), table.tell(debezium.HEARTBEAT))
    first = table.row("u", 400, 1, "first", last_commit=None, txId=9)
    second = table.row("u", 480, 1, "second", last_commit=None, txId=9)
    await table.capture(first, second)
    assert table.documents() == {"1": "second", "2": "two"}
    await table.capture(second)
    await table.capture(table.row("d", 640, 1, last_commit=None, txId=9))
    assert table.documents() == {"2": "two"}
    await table.capture(table.row("u", 720, 2, "next", last_commit=960, txId=10))
    assert table.documents() == {"2": "next"}


async def test_the_snapshot_is_found_however_far_back_it_lies() -> None:
    table = Table()
    await table.capture(*snapshot(table, 800, {1: "old"}))
    for _ in range(700):
        table.tell(debezium.HEARTBEAT)
    await table.capture(table.row("u", 400, 1, "new", last_commit=None))
    assert table.documents() == {"1": "new"}


async def test_a_snapshots_rows_wait_for_the_declaration_they_were_read_by() -> None:
    table = Table()
    table.declared = GUARDED
    with pytest.raises(SourceChangedError):
        await table.capture(table.tell(debezium.notification("STARTED")))


async def test_a_record_counts_in_the_epoch_that_it_was_told_in() -> None:
    """An operator raises the epoch while what the connector before has told is still being read."""
    table = Table(PLAIN.model_copy(update={"epoch": 2}))
    before, restored, silent = (
        table.row("u", 900, 1, "before"),
        table.row("r", 100, 1, "restored"),
        table.row("c", 5, 2),
    )
    told = [replace(restored, headers=((EPOCH, b"2"),)), replace(before, headers=((EPOCH, b"1"),)), silent]
    await table.capture(*told)
    assert table.documents() == {"1": "restored", "2": "T"}
    versions = [decode(record.value or b"", DocumentChange).version.epoch for record in table.log.records(CHANGES)]
    assert versions == [2, 1, 2], "a record that says no epoch is of the declared one"


async def test_a_truncate_of_an_earlier_epoch_clears_nothing_of_a_later_one() -> None:
    table = Table(PLAIN.model_copy(update={"epoch": 2}))
    row, truncate = table.row("c", 100, 1, "restored"), table.tell(debezium.row("t", 900))
    _, cleared = await table.capture(row, replace(truncate, headers=((EPOCH, b"1"),)))
    assert (cleared.cleared, table.documents()) == (0, {"1": "restored"})


@pytest.mark.parametrize("stated", [b"", b"0", b"-1", b"one", b"9" * 40])
async def test_an_epoch_that_is_none_makes_a_dead_letter(stated: bytes) -> None:
    table = Table()
    with pytest.raises(DecodeError):
        await table.capture(replace(table.row("c", 200, 1), headers=((EPOCH, stated),)))


async def test_truncates_of_an_outbox_clear_nothing() -> None:
    table = Table(OUTBOX)
    event = {"doc": "guide", "op": "upsert", "title": "T", "body": "Text.", "acl": None}
    insert = table.tell(debezium.row("c", 200, after=event), debezium.key(doc="guide"))
    await table.capture(insert, table.tell(debezium.row("t", 400)))
    assert table.documents() == {"guide": "T"}


class TestRowsWithoutALargeColumn:
    async def test_the_whole_row_is_read_anew(self) -> None:
        """Not the large column alone: an acl of then must never stand with a text of now."""
        table = Table(GUARDED)
        table.rows[1] = {"id": 1, "title": "now", "body": "Secret.", "acl": ["hr"]}
        (done,) = await table.capture(table.row("u", 200, 1, "then", body=PLACEHOLDER, acl=["public"]))
        assert done.refused is None
        changes = [decode(record.value or b"", DocumentChange) for record in table.log.records(CHANGES)]
        assert {(change.acl, change.body) for change in changes} == {(("hr",), b"Secret."), (("hr",), None)}
        assert table.documents() == {"1": "now"}

    async def test_a_row_that_is_gone_says_nothing_and_is_no_dead_letter(self) -> None:
        table = Table(GUARDED)
        (done,) = await table.capture(table.row("u", 200, 1, body=PLACEHOLDER, acl=["hr"]))
        assert (done.ops, done.refused) == ((), None)
        assert list(table.log.records(CHANGES)) == []

    async def test_a_row_that_is_gone_still_leaves_its_old_tenant(self) -> None:
        table = Table(SHARED)
        before = {"id": 1, "title": "T", "body": None, "acl": None, "tenant": "acme"}
        after = {**before, "tenant": "zeta", "body": PLACEHOLDER}
        moved = table.tell(debezium.row("u", 200, before=before, after=after), debezium.key(id=1))
        (done,) = await table.capture(moved)
        assert (done.ops, done.refused) == ((Op.DELETE,), None)

    async def test_a_database_that_is_away_is_waited_for(self) -> None:
        table = Table()
        table.rows[1] = {"id": 1, "title": "now", "body": "Text."}
        table.database = [TransientError("away"), TransientError("away")]
        await table.capture(table.row("u", 200, 1, body=PLACEHOLDER))
        assert table.documents() == {"1": "now"}

    async def test_waiting_ends_with_the_lease(self) -> None:
        table = Table()
        table.database = [TransientError("away")] * 100
        capture = asyncio.create_task(table.capture(table.row("u", 200, 1, body=PLACEHOLDER)))
        await asyncio.sleep(0.01)
        table.lease.end()
        with pytest.raises(LeaseEndedError):
            await capture

    async def test_a_database_that_refuses_makes_a_dead_letter(self) -> None:
        table = Table()
        table.database = [ConfigError("refused")]
        (done,) = await table.capture(table.row("u", 200, 1, body=PLACEHOLDER))
        assert done.refused is not None
        assert done.refused.reason == "unavailable_value"
        assert table.documents() == {}


async def test_a_row_that_no_record_holds_still_moves_its_acl_and_the_last_of_a_snapshot_still_clears() -> None:
    table = Table(GUARDED)

    def refuse(_topic: str, key: str) -> Exception | None:
        return TooLargeError("too large") if key == "acme/articles/2" else None

    table.log = MemoryLog(refuse)
    await table.capture(table.row("c", 200, 1, "gone", acl=["hr"]))
    (done,) = await table.capture(table.row("r", 400, 2, snapshot="last", last_commit=None, acl=["hr"]))
    assert done.refused is not None
    assert (done.ops, done.cleared) == ((Op.ACL,), 1)
    assert table.documents() == {}
    assert [record.key for record in table.log.records(CHANGES) if record.key == "acme/articles/2#acl"] != []


class TestRedriven:
    """A dead letter of a captured record that was appended to its topic again."""

    @staticmethod
    def again(table: Table, delivery: Delivery) -> Delivery:
        copy = table.tell(delivery.value, delivery.key)
        return replace(copy, headers=((REDRIVEN, str(delivery.coordinates).encode()),))

    async def test_what_a_truncate_took_away_before_it_was_a_document_stays_away(self) -> None:
        table = Table()
        letter, truncate = table.row("c", 200, 1), table.tell(debezium.row("t", 400))
        await table.capture(truncate, self.again(table, letter))
        assert table.documents() == {}

    async def test_a_row_that_is_there_is_read_as_it_is_now_under_the_version_it_had(self) -> None:
        table = Table()
        table.rows[1] = {"id": 1, "title": "now", "body": "Text."}
        await table.capture(self.again(table, table.row("u", 200, 1, "then")))
        (record,) = table.log.records(CHANGES)
        change = decode(record.value or b"", DocumentChange)
        assert (change.title, change.version.sequence, change.event_id) == ("now", 200, "cdc.articles/0/0")

    async def test_its_place_is_looked_for_where_it_was_told_first(self) -> None:
        """Its transaction overlapped the snapshot, and Debezium knew no commit before it."""
        table = Table()
        table.rows[1] = {"id": 1, "title": "now", "body": "Text."}
        told = [table.row("r", 400, 1, "seen", snapshot="last", last_commit=None)]
        told.append(table.row("u", 240, 1, "then", last_commit=None, txId=7))
        later = table.row("u", 800, 2, last_commit=700, txId=8)
        await table.capture(*told[:1], later, self.again(table, told[1]))
        assert table.documents() == {"1": "now", "2": "T"}

    async def test_a_record_that_lies_about_it_is_read_where_it_lies(self) -> None:
        table = Table()
        await table.capture(replace(table.row("c", 200, 1, "one"), headers=((REDRIVEN, b"nonsense"),)))
        assert table.documents() == {"1": "one"}


def test_only_what_clears_or_begins_a_snapshot_is_a_barrier() -> None:
    table = Table()
    barriers = [
        table.tell(debezium.row("t", 400)),
        table.tell(debezium.notification("STARTED")),
        table.tell(debezium.scanned(0)),
        table.row("r", 800, 1, last_commit=None, snapshot="last"),
    ]
    others = [
        table.row("r", 800, 1, last_commit=None, snapshot="true"),
        table.row("c", 800, 1),
        table.tell(debezium.scanned(1)),
        table.tell(debezium.notification("COMPLETED")),
        table.tell(debezium.HEARTBEAT),
        table.tell(None),
        table.tell(b"nonsense"),
    ]
    assert all(map(is_barrier, barriers))
    assert not any(map(is_barrier, others))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("cud"), st.integers(1, 4)),
        st.just(("t", 0)),
        st.just(("snapshot", 0)),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.data())
def test_any_history_with_any_redelivery_ends_equal_to_the_table(
    steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Rows change, tables are emptied and read anew while the stage runs them overlapping and starts again anywhere."""
    table, held = Table(), dict[int, str]()
    here = 800
    for number, (op, row) in enumerate(steps):
        here += 80
        title = f"edition {number}"
        if op == "t":
            held.clear()
            table.tell(debezium.row("t", here, last_commit=here - 40))
        elif op == "snapshot":
            if held and data.draw(st.booleans()):
                held.pop(next(iter(held)))  # nobody told that it went
            snapshot(table, here, dict(held))
        elif op == "d":
            held.pop(row, None)
            table.row("d", here, row, last_commit=here - 40)
        else:
            held[row] = title
            table.row(op, here, row, title, last_commit=here - 40)

    async def run(first: int) -> None:
        capturer, crashes = table.capturer(), list[BaseException]()

        async def work(delivery: Delivery, lease: Lease) -> None:
            await capturer.capture(delivery, lease)

        window = Window(work, crashes.append, records=8, max_bytes=10**6, is_barrier=is_barrier)
        for offset in range(first, len(table.told)):
            await window.put(table.delivery(offset))
        while len(window) and not crashes:
            await asyncio.sleep(0.001)
        assert crashes == []

    async def all_runs() -> None:
        await run(0)
        for first in data.draw(st.lists(st.integers(0, len(table.told) - 1), max_size=3)):
            await run(first)

    asyncio.run(all_runs())
    assert table.documents() == {str(row): title for row, title in held.items()}


async def test_what_cannot_be_captured_is_a_dead_letter_and_an_alert_where_it_takes_away() -> None:
    table, metrics = Table(GUARDED), Metrics()
    letters = DeadLetters(table.log, topics(), "capture", ManualClock())
    journal = Journal("capture", metrics, ManualClock())
    work = capture_agent(table.capturer(), letters, journal, metrics, lambda: None)
    table.database = [ConfigError("refused")]
    for delivery in (
        table.tell(b"nonsense"),
        table.row("u", 200, 1, acl={"no": "list"}),
        table.row("u", 280, 2, body="x" * 20_000, acl=["hr"]),
        table.row("u", 360, 3, body=PLACEHOLDER, acl=["hr"]),
    ):
        await work(delivery, table.lease)
    found = [decode(record.value or b"", DeadLetter) for record in table.log.records(DLQ)]
    assert {(letter.reason, str(letter.origin)) for letter in found} == {
        ("undecodable", "cdc.articles/0/0"),
        ("invalid_event", "cdc.articles/0/1"),
        ("too_large", "cdc.articles/0/2"),
        ("unavailable_value", "cdc.articles/0/3"),
    }
    assert metrics.value(RECORDS, stage="capture", outcome=WITHDRAWAL_LOST) == 1
    assert metrics.value(RECORDS, stage="capture", outcome="dead_lettered") == 3
    assert metrics.value(ALERTS, alert="capture_unavailable_value") == 1


async def test_a_source_declared_differently_gives_its_record_up_and_asks_for_a_new_lane() -> None:
    table, asked = Table(), list[bool]()
    table.declared = None
    letters = DeadLetters(table.log, topics(), "capture", ManualClock())
    journal = Journal("capture", Metrics(), ManualClock())
    work = capture_agent(table.capturer(), letters, journal, Metrics(), lambda: asked.append(True))
    with pytest.raises(LeaseEndedError):
        await work(table.tell(debezium.notification("STARTED")), table.lease)
    assert asked == [True]
