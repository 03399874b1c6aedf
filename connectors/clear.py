"""Clears a source: every document of it that is older than a cut is deleted, in the cut's version.

What is older is read off the headers of documents.changes; no body is decoded. Versions decide, so a clear that runs
again, or late, takes nothing away that came after it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from connectors.changes import Receipt, append_change
from runtime.log_port import Log, StoredRecord
from schemas.codec import decode
from schemas.errors import DecodeError, InvalidNameError
from schemas.headers import stated_change
from schemas.identity import ACL_SUFFIX, Document, Source
from schemas.records import Coordinates, DocumentChange
from schemas.sources import SourceConfig
from schemas.topics import Topics
from schemas.versions import Op, Rank, StatedVersion, Version

_AT_ONCE = 256
_LOOK_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Newest:
    """A document's newest content, as far as the log's headers tell. `partition`: of documents.changes."""

    version: Version
    op: Op
    event_id: str
    partition: int


Cut = Callable[[Newest], StatedVersion | None]
"""The version in which a document is deleted whose newest content is this; None: it stays."""
ReadChanges = Callable[[], Iterable[StoredRecord]]
"""Reads documents.changes up to the end it has when called. Blocks."""
Progress = Callable[[int], None]
"""Called now and then with how many more records were read, or deletes appended."""


def older_than(cut: Version) -> Cut:
    """Everything below `cut`, whose rank is upsert's, goes, in the version right below it: what stands at `cut` itself
    stays.
    """
    below = StatedVersion(cut.epoch, cut.sequence - 1, Rank.DELETE)

    def due(newest: Newest) -> StatedVersion | None:
        return below if newest.version < cut else None

    return due


def truncated(at: Version) -> Cut:
    """Everything below `at` goes, in that version."""

    def due(newest: Newest) -> StatedVersion | None:
        return StatedVersion(at.epoch, at.sequence, at.rank) if newest.version < at else None

    return due


def told_before(at: Coordinates) -> Cut:
    """Everything goes that was told by an earlier record of the capture topic than the one at `at`, in the version it
    has: that record says that nothing was left, but not where in the write-ahead log.
    """

    def due(newest: Newest) -> StatedVersion | None:
        told = _coordinates(newest.event_id)
        if told is not None and told.topic == at.topic and told.offset >= at.offset:
            return None
        version = newest.version
        return StatedVersion(version.epoch, version.sequence, version.rank + Rank.DELETE)

    return due


def before_offsets(epoch: int, ends: Mapping[int, int]) -> Cut:
    """Everything goes that lies before these offsets of documents.changes, whose source takes them for versions."""

    def due(newest: Newest) -> StatedVersion | None:
        end = ends.get(newest.partition, 0)
        older = newest.version < Version(epoch, end, Rank.UPSERT)
        return StatedVersion(epoch, end - 1, Rank.DELETE) if older else None

    return due


def newest_contents(
    records: Iterable[StoredRecord], source: Source, progress: Progress = lambda _: None
) -> dict[Document, Newest]:
    """What the log holds of each document of a source, deleted ones included; acls alone are passed by."""
    found: dict[Document, Newest] = {}
    for number, record in enumerate(records, 1):
        if number % _LOOK_EVERY == 0:
            progress(_LOOK_EVERY)
        document = _document(record.key, source)
        newest = None if document is None else _newest(record)
        if document is None or newest is None:
            continue
        known = found.get(document)
        if known is None or newest.version > known.version:
            found[document] = newest
    return found


@dataclass(frozen=True, slots=True)
class Clearing:
    """Clears one source. `read` is called once a round."""

    source: SourceConfig
    read: ReadChanges
    log: Log
    topics: Topics
    progress: Progress = lambda _: None

    async def count(self, cut: Cut) -> int:
        """How many documents are older than the cut and lie in the log now."""
        newest = await asyncio.to_thread(self._newest)
        return sum(content.op is Op.UPSERT and cut(content) is not None for content in newest.values())

    async def once(self, cut: Cut, receipt: Receipt) -> int:
        """Delete what is older than the cut and lies in the log now; how many documents that were. Raises what
        `Log.append` raises; it may be called again.
        """
        newest = await asyncio.to_thread(self._newest)
        due = list(self._due(newest, cut, receipt))
        for first in range(0, len(due), _AT_ONCE):
            several = due[first : first + _AT_ONCE]
            # Nothing is cancelled: what was begun is brought to its acknowledgement.
            outcomes = await asyncio.gather(*map(self._append, several), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            self.progress(len(several))
        return len(due)

    def _newest(self) -> dict[Document, Newest]:
        return newest_contents(self.read(), self.source.source, self.progress)

    def _due(self, newest: Mapping[Document, Newest], cut: Cut, receipt: Receipt) -> Iterator[DocumentChange]:
        for document, content in newest.items():
            version = cut(content) if content.op is Op.UPSERT else None
            if version is not None:
                yield self._delete(document, version, receipt)

    def _delete(self, document: Document, version: StatedVersion, receipt: Receipt) -> DocumentChange:
        return DocumentChange(
            tenant=document.tenant,
            source=document.source,
            doc_id=document.doc_id,
            op=Op.DELETE,
            version=version,
            event_id=receipt.event_id,
            default_acl=self.source.default_acl,
            received_at=receipt.received_at,
            origin=receipt.origin,
        )

    async def _append(self, change: DocumentChange) -> None:
        await append_change(self.log, self.topics, change)


def _document(key: str | None, source: Source) -> Document | None:
    """The document whose content a record's key names, of this source."""
    if key is None or key.endswith(ACL_SUFFIX) or f"/{source}/" not in key:
        return None
    try:
        document = Document.from_key(key)
    except InvalidNameError:
        return None
    return document if document.source == source else None


def _newest(record: StoredRecord) -> Newest | None:
    """None for what no stage takes for a change either."""
    at = record.coordinates
    try:
        stated = stated_change(record.headers)
        return Newest(stated.version.at(at.offset), stated.op, stated.event_id, at.partition)
    except DecodeError:
        pass
    try:
        change = decode(record.value or b"", DocumentChange)
    except DecodeError:
        return None
    return Newest(change.version.at(at.offset), change.op, change.event_id, at.partition)


def _coordinates(event_id: str) -> Coordinates | None:
    try:
        return Coordinates.parse(event_id)
    except ValueError:
        return None
