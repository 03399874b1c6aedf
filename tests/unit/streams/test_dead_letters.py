"""Dead letters: what is kept, where it lies, and how it is read back."""

from collections.abc import Iterable
from dataclasses import replace

from runtime.clock import ManualClock
from runtime.log_port import MAX_RECORD_BYTES, MemoryLog, StoredRecord
from schemas.codec import decode
from schemas.errors import DecodeError, PermanentError
from schemas.records import Coordinates, DeadLetter
from schemas.topics import DLQ
from streams.dead_letters import DeadLetters, LetterLine
from streams.redrive import Selection, select
from streams.window import Delivery
from tests.unit.streams.records import change, change_delivery, topics

ERROR = PermanentError("the parser crashed twice on this document", reason="parser_crashed")


def listed(records: Iterable[StoredRecord], wanted: Selection = Selection()) -> list[LetterLine]:
    return [one.line for one in select(records, wanted)]


async def kept(delivery: Delivery, error: PermanentError = ERROR) -> tuple[StoredRecord, DeadLetter]:
    log = MemoryLog()
    await DeadLetters(log, topics(), "prepare", ManualClock()).put(delivery, error, attempts=1)
    (record,) = log.records(DLQ)
    return record, decode(record.value or b"", DeadLetter)


async def test_a_letter_keeps_the_original_bytes_headers_and_coordinates() -> None:
    delivery = change_delivery(change(), offset=9)
    record, letter = await kept(delivery)
    assert (letter.key, letter.value, letter.origin) == (delivery.key, delivery.value, delivery.coordinates)
    assert [(header.name, header.value) for header in letter.headers] == [("ms-op", b"upsert")]
    assert (letter.stage, letter.reason, letter.attempts) == ("prepare", "parser_crashed", 1)
    assert (letter.tenant, letter.source, letter.doc_id) == ("acme", "wiki", "guides/setup.md")
    assert record.key == "acme/wiki/guides/setup.md"
    assert record.coordinates.partition == topics().partition(DLQ, document=change().document)


async def test_letters_of_a_documents_acl_lie_with_the_documents() -> None:
    plain, _ = await kept(change_delivery(change()))
    acl, _ = await kept(replace(change_delivery(change()), key=change().document.acl_key.encode()))
    assert acl.coordinates.partition == plain.coordinates.partition


async def test_a_record_whose_key_says_nothing_is_kept_all_the_same() -> None:
    for key in (None, b"\xff\xfe", b"no document"):
        _, letter = await kept(replace(change_delivery(change()), key=key))
        assert letter.key == key
        assert letter.doc_id is None


async def test_a_record_too_large_for_a_letter_keeps_its_coordinates() -> None:
    delivery = replace(change_delivery(change()), value=b"x" * (MAX_RECORD_BYTES - 5000))
    _, letter = await kept(delivery)
    assert letter.value is None
    assert letter.origin == delivery.coordinates
    assert "do not fit" in letter.error


async def test_letters_are_listed_newest_first_without_their_content() -> None:
    log, clock = MemoryLog(), ManualClock()
    letters = DeadLetters(log, topics(), "prepare", clock)
    await letters.put(change_delivery(change(), 1), ERROR, 1)
    clock.advance(5)
    await letters.put(change_delivery(change(doc="b"), 2), DecodeError("bytes left over"), 1)
    lines = listed(log.records(DLQ))
    assert [line.document for line in lines] == ["acme/wiki/b", "acme/wiki/guides/setup.md"]
    assert [line.reason for line in listed(log.records(DLQ), Selection(reason="undecodable"))] == ["undecodable"]
    assert listed(log.records(DLQ), Selection(tenant="initech")) == []
    assert not any(b"Turn the key" in str(line).encode() for line in lines)


async def test_a_letter_is_found_by_its_own_coordinates_or_its_records() -> None:
    log = MemoryLog()
    delivery = change_delivery(change(), 3)
    at = await DeadLetters(log, topics(), "prepare", ManualClock()).put(delivery, ERROR, 1)
    for wanted in (at, delivery.coordinates):
        (found,) = select(log.records(DLQ), Selection(wanted))
        assert found.letter.letter.value == delivery.value
    assert select(log.records(DLQ), Selection(Coordinates(topic="other", partition=0, offset=0))) == []


def test_a_letter_that_does_not_decode_is_listed_too() -> None:
    at = Coordinates(topic=DLQ, partition=0, offset=0)
    (line,) = listed([StoredRecord(at, "k", b"nonsense", (), 1_000)])
    assert (line.stage, line.reason, line.at) == ("dlq", "undecodable", at)
