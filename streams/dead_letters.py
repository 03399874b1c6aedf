"""Keeps what cannot be processed, in documents.dlq, with its original bytes and its reason; and reads it back for
people.

A record is acknowledged only after its letter is. Letters carry documents, so the topic is protected like
documents.changes; what is logged about one is its coordinates and reason.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from runtime.clock import Clock
from runtime.log_port import ENVELOPE_BYTES, MAX_RECORD_BYTES, Log, StoredRecord
from schemas.codec import decode, encode
from schemas.errors import DecodeError, PermanentError
from schemas.partitions import murmur2
from schemas.records import Coordinates, DeadLetter, Header
from schemas.topics import DLQ, Topics
from streams.core.letter_limit import LetterLimit
from streams.deliveries import document_of
from streams.window import Delivery

_LETTER_LIMIT = MAX_RECORD_BYTES - 4 * ENVELOPE_BYTES
_NO_KEY = "undecodable"


class DeadLetters:
    """Appends to documents.dlq on behalf of one stage."""

    def __init__(
        self,
        log: Log,
        topics: Topics,
        stage: str,
        clock: Clock,
        *,
        limit: LetterLimit | None = None,
        finished: Callable[[], int] = lambda: 0,
    ) -> None:
        """`limit` over the records that `finished` counts; None: no limit."""
        self._log = log
        self._topics = topics
        self._stage = stage
        self._clock = clock
        self._limit = limit
        self._finished = finished

    async def put(self, delivery: Delivery, error: PermanentError, attempts: int) -> Coordinates:
        """Keep a delivery. Returns where its letter lies, once that is safe. Raises TransientError, and
        TooManyDeadLettersError where too large a share of the stage's records ended as letters.
        """
        if self._limit is not None:
            self._limit.check(self._stage, error.reason, self._finished())
        letter = self._letter(delivery, error, attempts)
        return await self._log.append(DLQ, *self._place(delivery), encode(letter))

    def _letter(self, delivery: Delivery, error: PermanentError, attempts: int) -> DeadLetter:
        document = document_of(delivery)
        headers = tuple(Header(name=name, value=value) for name, value in delivery.headers)
        size = delivery.size + sum(len(header.name) + len(header.value) for header in headers)
        fits = size <= _LETTER_LIMIT
        note = "" if fits else f" (its {size} bytes do not fit into a letter: they lie at the coordinates)"
        return DeadLetter(
            stage=self._stage,
            reason=error.reason,
            error=f"{error}{note}",
            attempts=attempts,
            origin=delivery.coordinates,
            tenant=document.tenant if document else None,
            source=document.source if document else None,
            doc_id=document.doc_id if document else None,
            key=delivery.key,
            value=delivery.value if fits else None,
            headers=headers if fits else (),
            failed_at=self._clock.now(),
        )

    def _place(self, delivery: Delivery) -> tuple[int, str]:
        """Partition and key: the document's; a record without a readable key goes by murmur2 of what it has."""
        document = document_of(delivery)
        if document is not None:
            return self._topics.partition(DLQ, document=document), document.key
        key = delivery.key or b""
        return (murmur2(key) & 0x7FFFFFFF) % self._topics.partitions(DLQ), _NO_KEY


@dataclass(frozen=True, slots=True)
class LetterLine:
    """One letter as a list shows it: no content."""

    at: Coordinates
    stage: str
    reason: str
    error: str
    attempts: int
    origin: Coordinates
    document: str | None
    """tenant/source/doc_id, where known."""
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """One letter with everything it keeps."""

    line: LetterLine
    letter: DeadLetter


def read_letters(records: Iterable[StoredRecord]) -> Iterator[OpenLetter]:
    """Decode records of documents.dlq. One that does not decode is itself shown as a letter, so that nothing hides."""
    for record in records:
        try:
            letter = decode(record.value or b"", DeadLetter)
        except DecodeError as error:
            letter = _unreadable(record, error)
        yield OpenLetter(_line(record.coordinates, letter), letter)


def _line(at: Coordinates, letter: DeadLetter) -> LetterLine:
    known = (letter.tenant, letter.source, letter.doc_id)
    return LetterLine(
        at=at,
        stage=letter.stage,
        reason=letter.reason,
        error=letter.error,
        attempts=letter.attempts,
        origin=letter.origin,
        document="/".join(part for part in known if part is not None) if None not in known else None,
        failed_at=letter.failed_at,
    )


def _unreadable(record: StoredRecord, error: DecodeError) -> DeadLetter:
    written = datetime.fromtimestamp((record.timestamp_ms or 0) / 1000, UTC)
    return DeadLetter(
        stage="dlq",
        reason=error.reason,
        error=str(error),
        attempts=0,
        origin=record.coordinates,
        key=None if record.key is None else record.key.encode(),
        value=record.value,
        failed_at=written,
    )
