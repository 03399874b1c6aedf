"""What Debezium's records say: rows, truncates, the end of a snapshot, and a lot that says nothing."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.debezium.envelope import (
    EmptySnapshot,
    Position,
    Quiet,
    RowChange,
    Snapshot,
    SnapshotStarted,
    Truncated,
    read_envelope,
)
from schemas.errors import DecodeError
from tests.unit.connectors.debezium_records import HEARTBEAT, TABLE, key, notification, row, scanned, source


def test_a_row_is_read_with_its_key_its_images_and_its_place() -> None:
    read = read_envelope(key(id=1), row("u", 300, before={"id": 1, "title": "a"}, after={"id": 1, "title": "b"}))
    place = Position(lsn=300, last_commit=100, transaction=7)
    assert read == RowChange("u", TABLE, place, {"id": 1}, {"id": 1, "title": "a"}, {"id": 1, "title": "b"})


def test_an_lsn_is_shown_as_postgres_writes_it() -> None:
    assert Position(lsn=0x16B374D848).text == "16/B374D848"


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("false", Snapshot.NO),
        ("first", Snapshot.ROW),
        ("true", Snapshot.ROW),
        ("last_in_data_collection", Snapshot.ROW),
        ("last", Snapshot.LAST),
    ],
)
def test_a_row_of_a_snapshot_tells_where_in_it_it_stands(mark: str, expected: Snapshot) -> None:
    read = read_envelope(key(id=1), row("r", 300, after={"id": 1}, last_commit=None, snapshot=mark))
    assert isinstance(read, RowChange)
    assert (read.position.snapshot, read.position.last_commit) == (expected, None)


def test_a_truncate_has_neither_key_nor_row() -> None:
    read = read_envelope(None, row("t", 500))
    assert read == Truncated(TABLE, Position(lsn=500, last_commit=100, transaction=7))


def test_a_snapshots_begin_is_told_by_its_notification() -> None:
    assert read_envelope(key(id="1"), notification("STARTED")) == SnapshotStarted()


def test_a_snapshot_that_read_no_row_is_told_by_its_notification_alone() -> None:
    assert read_envelope(key(id="1"), scanned(0)) == EmptySnapshot(TABLE)
    assert read_envelope(key(id="1"), scanned(1)) == Quiet("notification")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "tombstone"),
        (HEARTBEAT, "heartbeat"),
        (notification("IN_PROGRESS"), "notification"),
        (notification("COMPLETED"), "notification"),
        (orjson.dumps({"op": "m", "source": source(5), "message": {"prefix": "hb", "content": ""}}), "message"),
    ],
)
def test_what_says_nothing_about_a_document_is_quiet(value: bytes | None, kind: str) -> None:
    assert read_envelope(key(serverName="x"), value) == Quiet(kind)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"secret",
        b"[]",
        b"{}",
        orjson.dumps({"schema": {}, "payload": {}}),
        orjson.dumps({"op": "c", "after": {"id": 1}}),
        orjson.dumps({"op": "x", "source": source(1), "after": {"id": 1}}),
        row("c", 0, after={"id": 1}),
        row("c", 5, after=None),
        row("d", 5, after={"id": 1}),
        row("c", 5, after=["secret"]),
        orjson.dumps({"op": "c", "source": source(5, sequence=None), "after": {"id": 1}}),
        orjson.dumps({"op": "c", "source": {**source(5), "lsn": "5"}, "after": {"id": 1}}),
    ],
)
def test_anything_else_cannot_be_decoded_and_is_not_quoted(value: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        read_envelope(key(id=1), value)
    assert "secret" not in str(caught.value)


@given(st.binary(max_size=60), st.one_of(st.none(), st.binary(max_size=10)))
def test_any_bytes_are_read_or_refused(value: bytes, raw_key: bytes | None) -> None:
    try:
        read_envelope(raw_key, value)
    except DecodeError as error:
        refused = error
        assert refused.reason == "undecodable"
