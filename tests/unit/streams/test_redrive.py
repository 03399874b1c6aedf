"""Dead letters taken up again: what is appended, under which version, and what is left open."""

import pytest

from runtime.clock import ManualClock
from runtime.log_port import MAX_RECORD_BYTES, MemoryLog, StoredRecord
from schemas.codec import decode
from schemas.errors import PermanentError
from schemas.headers import REDRIVEN, VERSION, headers_of
from schemas.records import Coordinates, DocumentChange, Origin
from schemas.topics import CHANGES, DLQ
from schemas.versions import Op, Version
from streams.dead_letters import DeadLetters, read_letters
from streams.redrive import Selection, Settlement, discard, given_up, redrive, select
from streams.window import Delivery
from tests.contract.index_rows import document_row
from tests.unit.streams.records import AT, change, change_delivery, topics

ERROR = PermanentError("the parser crashed twice on this document", reason="parser_crashed")


def nothing_there(_at: Coordinates) -> StoredRecord | None:
    return None


async def letters_of(*deliveries: Delivery) -> MemoryLog:
    log, clock = MemoryLog(), ManualClock()
    for delivery in deliveries:
        await DeadLetters(log, topics(), "prepare", clock).put(delivery, ERROR, attempts=1)
        clock.advance(1)
    return log


async def test_a_redriven_change_keeps_the_version_that_its_first_offset_gave_it() -> None:
    log = await letters_of(change_delivery(change(), offset=41))
    done = await redrive(log, select(log.records(DLQ), Selection()), nothing_there, AT)
    (record,) = log.records(CHANGES)
    written = decode(record.value or b"", DocumentChange)
    assert done.appended == (record.coordinates,)
    assert written.version.at(record.coordinates.offset).sequence == 41
    assert record.header(VERSION) == b"1.41.0"
    assert (written.body, record.key) == (change().body, change().key)


async def test_a_stated_version_is_left_as_it_is() -> None:
    log = await letters_of(change_delivery(change(sequence=7), offset=41))
    await redrive(log, select(log.records(DLQ), Selection()), nothing_there, AT)
    (record,) = log.records(CHANGES)
    assert decode(record.value or b"", DocumentChange).version.sequence == 7


async def test_a_captured_record_says_where_it_lay_first_however_often_it_is_redriven() -> None:
    told, first = Coordinates(topic="cdc.articles", partition=0, offset=7), b"cdc.articles/0/7"
    log = await letters_of(Delivery(told, b"key", b"value"))
    await redrive(log, select(log.records(DLQ), Selection()), nothing_there, AT)
    (record,) = log.records("cdc.articles")
    assert record.headers == ((REDRIVEN, first),)
    log = await letters_of(Delivery(record.coordinates, b"key", b"value", record.headers))
    await redrive(log, select(log.records(DLQ), Selection()), nothing_there, AT)
    (record,) = log.records("cdc.articles")
    assert record.headers == ((REDRIVEN, first),)


async def test_letters_go_oldest_first_and_are_settled_once() -> None:
    log = await letters_of(change_delivery(change(doc="a"), 1), change_delivery(change(doc="b"), 2))
    await redrive(log, select(log.records(DLQ), Selection()), nothing_there, AT)
    records = sorted(log.records(CHANGES), key=lambda record: str(record.key))
    assert [record.key for record in records] == ["acme/wiki/a", "acme/wiki/b"]
    again = select(log.records(DLQ), Selection())
    assert [one.settled for one in again] == [Settlement.REDRIVEN, Settlement.REDRIVEN]


async def test_a_letter_without_its_record_takes_it_from_the_log_and_is_refused_where_that_is_gone() -> None:
    large = change(body=b"x" * (MAX_RECORD_BYTES - 9000))
    delivery = change_delivery(large, 3)
    log = await letters_of(delivery)
    refused = await redrive(log, select(log.records(DLQ), Selection()), nothing_there, AT)
    assert (refused.appended, [why for _, why in refused.refused]) == (
        (),
        ["the record did not fit into its letter and is gone from its topic"],
    )
    stored = StoredRecord(delivery.coordinates, large.key, delivery.value, headers_of(large))
    done = await redrive(log, select(log.records(DLQ), Selection()), lambda _at: stored, AT)
    assert len(done.appended) == 1


async def test_what_no_schema_decodes_is_refused_and_stays_open() -> None:
    delivery = Delivery(Coordinates(topic=CHANGES, partition=0, offset=1), b"acme/wiki/a", b"nonsense")
    log = await letters_of(delivery)
    done = await redrive(log, select(log.records(DLQ), Selection()), nothing_there, AT)
    assert (done.appended, len(done.refused)) == ((), 1)
    assert [one.settled for one in select(log.records(DLQ), Selection())] == [None]


async def test_a_discarded_letter_is_settled_and_nothing_is_appended() -> None:
    log = await letters_of(change_delivery(change(), 1))
    assert await discard(log, select(log.records(DLQ), Selection()), "a test upload", AT) == 1
    assert [one.settled for one in select(log.records(DLQ), Selection())] == [Settlement.DISCARDED]
    assert list(log.records(CHANGES)) == []


async def test_letters_are_selected_by_every_field_together() -> None:
    log = await letters_of(change_delivery(change(doc="a"), 1), change_delivery(change(doc="b"), 2))

    def found(**by: str) -> int:
        return len(select(log.records(DLQ), Selection(**by)))  # type: ignore[arg-type]

    assert (found(doc_id="a"), found(source="wiki"), found(tenant="acme", doc_id="b"), found(stage="apply")) == (
        1,
        2,
        1,
        0,
    )
    assert found(reason="parser_crashed", doc_id="c") == 0


@pytest.mark.parametrize(
    ("op", "acl", "content_version", "acl_version", "overtaken"),
    [
        (Op.UPSERT, None, 42, None, True),
        (Op.UPSERT, None, 41, None, False),
        (Op.UPSERT, None, None, 42, False),
        (Op.UPSERT, ("staff",), 42, None, False),
        (Op.UPSERT, ("staff",), 42, 42, True),
        (Op.ACL, ("staff",), 42, None, False),
        (Op.ACL, ("staff",), None, 42, True),
        (Op.DELETE, None, 42, None, True),
        (Op.DELETE, None, 40, None, False),
    ],
)
async def test_a_letter_whose_document_is_newer_in_all_that_it_changes_is_settled_unsent(
    op: Op, acl: tuple[str, ...] | None, content_version: int | None, acl_version: int | None, overtaken: bool
) -> None:
    old = change(op, acl=acl)
    log = await letters_of(change_delivery(old, offset=41))
    row = document_row(
        old.document,
        7,
        content_version=None if content_version is None else Version(1, content_version, 0),
        acl_version=None if acl_version is None else Version(1, acl_version, 1),
        hide_deleted=Version(1, 41, 2),
    )
    done = await redrive(log, select(log.records(DLQ), Selection()), nothing_there, AT, rows={old.document: row})
    assert (len(done.overtaken), len(list(log.records(CHANGES)))) == (overtaken, not overtaken)
    (settled,) = select(log.records(DLQ), Selection())
    assert settled.settled is (Settlement.OVERTAKEN if overtaken else Settlement.REDRIVEN)


async def test_what_is_given_up_is_known_by_its_origin_until_it_is_redriven() -> None:
    first, second = (
        change(doc="a"),
        change(doc="b").model_copy(update={"origin": Origin(connector="files", reference="b@1")}),
    )
    log = await letters_of(change_delivery(first, 1), change_delivery(second, 2))

    def known() -> dict[str, tuple[int, bool]]:
        found = given_up(read_letters(log.records(DLQ))).items()
        return {name: (one.version.sequence, one.discarded) for name, one in found}

    assert known() == {first.origin.reference: (1, False), "b@1": (2, False)}
    await discard(log, select(log.records(DLQ), Selection(doc_id="a")), "never mind", AT)
    await redrive(log, select(log.records(DLQ), Selection(doc_id="b")), nothing_there, AT)
    assert known() == {first.origin.reference: (1, True)}


async def test_what_failed_again_before_its_letter_was_settled_is_given_up() -> None:
    delivery = change_delivery(change(), 1)
    log = await letters_of(delivery)
    letters = select(log.records(DLQ), Selection())
    await DeadLetters(log, topics(), "prepare", ManualClock()).put(delivery, ERROR, attempts=1)
    await redrive(log, letters, nothing_there, AT)
    assert len(given_up(read_letters(log.records(DLQ)))) == 1
    row = document_row(change().document, 7, content_version=Version(1, 9, 0))
    open_one = [one for one in select(log.records(DLQ), Selection()) if one.settled is None]
    await redrive(log, open_one, nothing_there, AT, rows={change().document: row})
    assert given_up(read_letters(log.records(DLQ))) == {}
