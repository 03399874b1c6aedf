"""Dead letters taken up again: redriven under the version they had, or discarded for good.

A letter is settled by another record of documents.dlq that names it, so what became of it stays on the record for as
long as the letter itself. Settled ones are left out of lists unless they are asked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from index.model import DocumentRow
from runtime.log_port import Log, StoredRecord
from schemas.codec import decode, encode
from schemas.copies import Copy, copy_of
from schemas.errors import DecodeError
from schemas.headers import REDRIVEN, stated_again
from schemas.identity import Document
from schemas.records import Coordinates, DeadLetter, DocumentChange
from schemas.topics import CHANGES, DLQ
from schemas.versions import Op, Version
from streams.dead_letters import LetterLine, OpenLetter, read_letters

_CAPTURED = "cdc."
"""What the topics begin with that connectors write to."""


class Settlement(StrEnum):
    """What became of a letter; the `stage` of the record that says so."""

    REDRIVEN = "redrive"
    DISCARDED = "discard"
    OVERTAKEN = "overtaken"
    """Was to be redriven, but the document is newer by now."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters; what is None selects by nothing."""

    at: Coordinates | None = None
    """Where the letter lies, or the record that it is about."""
    reason: str | None = None
    stage: str | None = None
    tenant: str | None = None
    source: str | None = None
    doc_id: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it."""
        return self == Selection()

    def takes(self, letter: OpenLetter) -> bool:
        """Whether a letter is one of them."""
        line, kept = letter.line, letter.letter
        wanted = (
            (self.reason, kept.reason),
            (self.stage, kept.stage),
            (self.tenant, kept.tenant),
            (self.source, kept.source),
            (self.doc_id, kept.doc_id),
        )
        here = self.at is None or self.at in (line.at, line.origin)
        return here and all(one is None or one == other for one, other in wanted)


@dataclass(frozen=True, slots=True)
class Shown:
    """A letter and, where it is settled, how."""

    letter: OpenLetter
    settled: Settlement | None

    @property
    def line(self) -> LetterLine:
        """As a list shows it."""
        return self.letter.line


def select(records: Iterable[StoredRecord], wanted: Selection) -> list[Shown]:
    """Letters of documents.dlq, newest first, settled ones marked."""
    settled: dict[Coordinates, Settlement] = {}
    found: list[OpenLetter] = []
    for letter in read_letters(records):
        if letter.letter.stage in set(Settlement):
            settled[letter.letter.origin] = Settlement(letter.letter.stage)
        elif wanted.takes(letter):
            found.append(letter)
    found.sort(key=lambda letter: letter.line.failed_at, reverse=True)
    return [Shown(letter, settled.get(letter.line.at)) for letter in found]


def change_of(letter: DeadLetter) -> DocumentChange | None:
    """The change that a letter is about, if it is about one and holds it."""
    if letter.origin.topic != CHANGES or letter.value is None:
        return None
    try:
        return decode(letter.value, DocumentChange)
    except DecodeError:
        return None


def is_overtaken(letter: DeadLetter, rows: Mapping[Document, DocumentRow]) -> bool:
    """Whether a document's state is newer than what a letter is about, in each register that its change is of."""
    change = change_of(letter)
    row = rows.get(change.document) if change is not None else None
    if change is None or row is None or change.op is Op.ERASE:
        return False
    known = [] if change.op is Op.ACL else [row.content_version]
    known += [] if change.acl is None else [row.acl_version]
    version = change.version.at(letter.origin.offset)
    return bool(known) and all(one is not None and one > version for one in known)


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A content that ended as a letter. `version`: of its change; `discarded`: whether nobody waits for it."""

    line: LetterLine
    version: Version
    discarded: bool = False


def given_up(letters: Iterable[OpenLetter]) -> dict[str, GivenUp]:
    """Contents whose newest letter was neither redriven nor overtaken, by the reference of their origin. `letters` in
    the order of their topic's partitions.
    """
    found: dict[str, GivenUp] = {}
    places: dict[Coordinates, str] = {}
    for one in letters:
        reference = places.get(one.letter.origin, "")
        if one.letter.stage in set(Settlement):
            known = found.get(reference)
            if known is None or known.line.at != one.letter.origin:
                continue  # it failed again before its letter was settled
            if one.letter.stage == Settlement.DISCARDED:
                found[reference] = replace(known, discarded=True)
            else:
                del found[reference]
        elif (change := change_of(one.letter)) is not None:
            version = change.version.at(one.letter.origin.offset)
            found[change.origin.reference] = GivenUp(one.line, version)
            places[one.line.at] = change.origin.reference
    return found


class ReadRecord(Protocol):
    """Reads one record of the log, for a letter that was too large to hold it."""

    def __call__(self, at: Coordinates) -> StoredRecord | None: ...


def again(letter: DeadLetter, read: ReadRecord) -> Copy:
    """What to append. Raises DecodeError for a letter that no redrive can help; its message says why.

    A change whose version is its own offset gets that offset written in: whatever came after it still wins. A captured
    record says where it lay first: a table may have been emptied since, of which a document unknown till now has no
    trace in the log.
    """
    key, value, headers = letter.key, letter.value, tuple((header.name, header.value) for header in letter.headers)
    if value is None:
        stored = read(letter.origin)
        if stored is None or stored.value is None or stored.key is None:
            raise DecodeError("the record did not fit into its letter and is gone from its topic", reason="gone")
        key, value, headers = stored.key.encode(), stored.value, stored.headers
    try:
        name = (key or b"").decode()
    except UnicodeDecodeError:
        name = ""
    if not name:
        raise DecodeError("the record has no readable key: discard it", reason="misplaced")
    if letter.origin.topic == CHANGES:
        return replace(copy_of(value, letter.origin, stated_again(headers)), key=name)
    if letter.origin.topic.startswith(_CAPTURED) and REDRIVEN not in dict(headers):
        headers = (*headers, (REDRIVEN, str(letter.origin).encode()))
    return Copy(letter.origin.topic, letter.origin.partition, name, value, headers)


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of the letters that were to be redriven."""

    appended: tuple[Coordinates, ...]
    refused: tuple[tuple[LetterLine, str], ...]
    """Letters that no redrive can help, and why."""
    overtaken: tuple[LetterLine, ...] = ()
    """Settled without being sent: their documents are newer."""


async def redrive(
    log: Log,
    letters: Sequence[Shown],
    read: ReadRecord,
    at: datetime,
    on_done: Callable[[int], None] = lambda _done: None,
    *,
    rows: Mapping[Document, DocumentRow] = MappingProxyType({}),
) -> Redriven:
    """Append each letter's record again, oldest first, then settle it; where `rows` has a document's state and that is
    newer, only settle it. Raises TransientError: repeat, it is safe.
    """
    appended: list[Coordinates] = []
    refused: list[tuple[LetterLine, str]] = []
    overtaken: list[LetterLine] = []
    for number, shown in enumerate(reversed(letters), start=1):
        if is_overtaken(shown.letter.letter, rows):
            await _settle(log, shown, Settlement.OVERTAKEN, "the document is newer", at)
            overtaken.append(shown.line)
            on_done(number)
            continue
        try:
            record = again(shown.letter.letter, read)
        except DecodeError as error:
            refused.append((shown.line, str(error)))
            continue
        place = await log.append(record.topic, record.partition, record.key, record.value, record.headers)
        await _settle(log, shown, Settlement.REDRIVEN, f"appended again at {place}", at)
        appended.append(place)
        on_done(number)
    return Redriven(tuple(appended), tuple(refused), tuple(overtaken))


async def discard(log: Log, letters: Sequence[Shown], why: str, at: datetime) -> int:
    """Settle letters for good; how many. Their bytes stay until the topic's retention ends."""
    for shown in letters:
        await _settle(log, shown, Settlement.DISCARDED, why, at)
    return len(letters)


async def _settle(log: Log, shown: Shown, how: Settlement, note: str, at: datetime) -> None:
    letter, place = shown.letter.letter, shown.line.at
    settlement = DeadLetter(
        stage=how.value,
        reason=letter.reason,
        error=note,
        attempts=letter.attempts,
        origin=place,
        tenant=letter.tenant,
        source=letter.source,
        doc_id=letter.doc_id,
        key=letter.key,
        failed_at=at,
    )
    # In the letter's own partition, so that whoever has read the letter to its end has read this too.
    await log.append(DLQ, place.partition, shown.line.document or "settled", encode(settlement))
