"""The door: what becomes a change, what is refused, and in which order changes reach the log."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.changes import (
    Event,
    InvalidEventError,
    Receipt,
    TooLargeDocumentError,
    append_change,
    append_changes,
    change_from,
)
from runtime.log_port import MemoryLog
from runtime.settings import PACKAGED_TOPICS
from schemas.codec import decode
from schemas.errors import TransientError
from schemas.identity import Document
from schemas.records import DocumentChange, Origin
from schemas.sources import SourceConfig
from schemas.topics import CHANGES, parse_topics
from schemas.versions import Op, Rank, StatedVersion, Version

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
TOPICS = parse_topics(PACKAGED_TOPICS.read_text())
WIKI = SourceConfig(name="wiki", tenant="acme", kind="webhook", default_acl=("staff",))
ERP = SourceConfig(name="erp", tenant="acme", kind="webhook", versioning="source", epoch=3)
RECEIPT = Receipt(NOW, "msg_1/0", Origin(connector="webhook", reference="msg_1/0"))
LIMIT = 1000
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def change(event: Event, source: SourceConfig = WIKI, receipt: Receipt = RECEIPT) -> DocumentChange:
    return change_from(event, source, receipt, LIMIT)


def upsert(doc_id: str = "a", **fields: object) -> Event:
    return Event(op=Op.UPSERT, doc_id=doc_id, **{"body": b"text", **fields})  # type: ignore[arg-type]


def test_an_upsert_becomes_a_change_with_everything_it_said() -> None:
    made = change(
        upsert(
            "Caf\u0065\u0301",
            title="A title",
            url="https://wiki.example/a",
            content_type="text/markdown; charset=utf-8",
            acl=("staff", "user:ann", "staff"),
            labels={"department": "sales"},
            actor="ann",
            event_time=datetime(2026, 11, 21, 11, 0, tzinfo=timezone(timedelta(hours=2))),
        )
    )
    assert made.doc_id == "Café"
    assert (made.tenant, made.source, made.op) == ("acme", "wiki", Op.UPSERT)
    assert made.version == StatedVersion(1, None, Rank.UPSERT)
    assert made.acl == ("staff", "user:ann")
    assert made.default_acl == ("staff",)
    assert made.event_time == NOW
    assert made.received_at == NOW
    assert made.body == b"text"


def test_an_absent_acl_stays_absent_and_an_empty_one_is_nobody() -> None:
    assert change(upsert()).acl is None
    assert change(upsert(acl=())).acl == ()


def test_a_source_that_states_versions_gives_the_sequence() -> None:
    assert change(upsert(version=7), ERP).version == StatedVersion(3, 7, Rank.UPSERT)
    assert change(Event(op=Op.DELETE, doc_id="a", version=8), ERP).version == StatedVersion(3, 8, Rank.DELETE)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (upsert(""), "doc_id"),
        (upsert(" a"), "doc_id"),
        (upsert("a\x00"), "doc_id"),
        (upsert("\ud800"), "doc_id"),
        (upsert("a" * 1025), "doc_id"),
        (upsert(version=1), "version"),
        (upsert(title="x" * 513), "title"),
        (upsert(title="a\nb"), "title"),
        (upsert(title="\ud800"), "title"),
        (upsert(url="ftp://a.example/"), "url"),
        (upsert(url="javascript:alert(1)"), "url"),
        (upsert(url="https://a.example/ b"), "url"),
        (upsert(url="https://a.example/" + "x" * 2048), "url"),
        (upsert(content_type="markdown"), "content_type"),
        (upsert(content_type="text/html\r\nx: y"), "content_type"),
        (upsert(acl=("",)), "acl"),
        (upsert(acl=("user:",)), "acl"),
        (upsert(acl=("staff ",)), "acl"),
        (upsert(acl=tuple(str(number) for number in range(513))), "acl"),
        (upsert(labels={"A": "b"}), "labels"),
        (upsert(labels={"": "b"}), "labels"),
        (upsert(labels={"a": "x" * 257}), "labels.a"),
        (upsert(labels={"a": "b\x07"}), "labels.a"),
        (upsert(labels={str(number): "x" for number in range(33)}), "labels"),
        (upsert(actor="x" * 257), "actor"),
        (upsert(event_time=datetime(2026, 1, 1)), "event_time"),  # noqa: DTZ001
        (upsert(event_time=NOW + timedelta(days=1, seconds=1)), "event_time"),
        (upsert(event_time=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))), "event_time"),
        (Event(op=Op.UPSERT, doc_id="a"), "body"),
        (Event(op=Op.DELETE, doc_id="a", body=b""), "body"),
        (Event(op=Op.DELETE, doc_id="a", body=b"x"), "body"),
        (Event(op=Op.DELETE, doc_id="a", acl=("staff",)), "acl"),
        (Event(op=Op.DELETE, doc_id="a", title="x"), "title"),
        (Event(op=Op.ACL, doc_id="a"), "acl"),
        (Event(op=Op.ACL, doc_id="a", acl=(), labels={"a": "b"}), "labels"),
        (Event(op=Op.ERASE, doc_id="a"), "op"),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused_with_its_field(event: Event, field: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        change(event)
    assert caught.value.field == field


@pytest.mark.parametrize("version", [None, -1, 2**63])
def test_a_source_that_states_versions_must_state_a_whole_number(version: int | None) -> None:
    with pytest.raises(InvalidEventError) as caught:
        change(upsert(version=version), ERP)
    assert caught.value.field == "version"


def test_a_body_over_the_limit_says_both_sizes() -> None:
    with pytest.raises(TooLargeDocumentError, match="1001 bytes are over the limit of 1000"):
        change(upsert(body=bytes(LIMIT + 1)))
    assert change(upsert(body=bytes(LIMIT))).body == bytes(LIMIT)


def test_an_empty_body_is_a_document() -> None:
    assert change(upsert(body=b"")).body == b""


@given(st.text(max_size=50), st.text(max_size=20), st.binary(max_size=50))
def test_any_text_is_taken_or_refused_and_never_breaks_anything_else(doc_id: str, title: str, body: bytes) -> None:
    refused: InvalidEventError | None = None
    try:
        made = change(upsert(doc_id, title=title, body=body, acl=(title,) if title else None))
    except InvalidEventError as error:
        refused = error
    else:
        assert Document.from_key(made.key) == made.document
    if refused is not None:
        assert refused.field in {"doc_id", "title", "acl"}
        assert len(title) < 4 or title not in refused.detail


async def test_a_change_with_an_acl_is_followed_by_the_acls_copy_of_the_same_version() -> None:
    log = MemoryLog()
    await append_change(log, TOPICS, change(upsert("other")))
    accepted = await append_change(log, TOPICS, change(upsert("a", acl=("staff",))))
    partition = TOPICS.partition(CHANGES, document=accepted.document)
    original, copy = list(log.records(CHANGES, partition))[-2:]
    assert accepted.coordinates == original.coordinates
    assert accepted.version == Version(1, original.coordinates.offset, Rank.UPSERT)
    assert (original.key, copy.key) == ("acme/wiki/a", "acme/wiki/a#acl")
    assert copy.value is not None
    record = decode(copy.value, DocumentChange)
    assert (record.op, record.acl, record.body) == (Op.ACL, ("staff",), None)
    assert record.version.at(copy.coordinates.offset) == accepted.version
    assert accepted.register == "content"


async def test_an_acl_alone_is_one_record_under_the_acl_key() -> None:
    log = MemoryLog()
    accepted = await append_change(log, TOPICS, change(Event(op=Op.ACL, doc_id="a", acl=("hr",))))
    (record,) = log.records(CHANGES)
    assert record.key == "acme/wiki/a#acl"
    assert accepted.register == "acl"
    assert accepted.version.rank == Rank.ACL


async def test_headers_tell_op_version_and_acl_without_the_body() -> None:
    log = MemoryLog()
    receipt = Receipt(NOW, "msg_1/0", RECEIPT.origin, TRACE)
    await append_change(log, TOPICS, change(upsert(version=5, acl=("b", "a")), ERP, receipt))
    record = next(log.records(CHANGES))
    assert record.header("ms-op") == b"upsert"
    assert record.header("ms-version") == b"3.5.0"
    assert orjson.loads(record.header("ms-acl") or b"") == ["a", "b"]
    assert record.header("ms-event-id") == b"msg_1/0"
    assert record.header("traceparent") == TRACE.encode()


def test_a_malformed_traceparent_is_left_out() -> None:
    assert change(upsert(), receipt=Receipt(NOW, "e", RECEIPT.origin, "garbage")).traceparent is None


class SlowLog(MemoryLog):
    """Acknowledges after a time that depends on the key, to provoke reordering."""

    async def append(self, topic, partition, key, value, headers=()):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.002 if key.endswith("a") else 0)
        return await super().append(topic, partition, key, value, headers)


async def test_changes_of_one_document_keep_their_order_and_results_come_in_the_order_asked() -> None:
    log = SlowLog()
    events = [upsert("a", body=b"1", acl=("x",)), upsert("b"), upsert("a", body=b"2", acl=("y",)), upsert("c")]
    accepted = await append_changes(log, TOPICS, [change(event) for event in events])
    assert [each.document.doc_id for each in accepted] == ["a", "b", "a", "c"]
    mine = [record for record in log.records(CHANGES) if (record.key or "").startswith("acme/wiki/a")]
    assert [record.key for record in mine] == ["acme/wiki/a", "acme/wiki/a#acl"] * 2
    assert accepted[0].version < accepted[2].version


async def test_after_a_failed_append_later_changes_of_that_document_are_not_tried() -> None:
    log = MemoryLog(refuse=lambda _topic, key: TransientError("down") if key == "acme/wiki/a" else None)
    with pytest.raises(TransientError):
        await append_changes(log, TOPICS, [change(upsert("a", acl=("x",))), change(upsert("b"))])
    assert [record.key for record in log.records(CHANGES)] == ["acme/wiki/b"]
