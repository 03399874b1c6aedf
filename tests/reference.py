"""The serial reference: what the documents are, by the rules of versions and registers alone (design, section 4).

From the changes of documents.changes, in any order, any number of times; nothing here knows of stages, batches,
chunks, compaction or crashes. A document has two registers, content and acl; of each the change with the highest
version counts, of equal ones the one that lies first. So this is a maximum, and every index has to come to it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from index.model import ContentState, DocumentRow
from runtime.log_port import StoredRecord
from schemas.codec import decode
from schemas.identity import Document
from schemas.records import Coordinates, DocumentChange
from schemas.versions import Op, Version


@dataclass(frozen=True, slots=True)
class Logged:
    """A change and where it lies in documents.changes."""

    change: DocumentChange
    at: Coordinates

    @property
    def version(self) -> Version:
        """Complete: without a sequence of its own, its offset."""
        return self.change.version.at(self.at.offset)

    @property
    def is_understood(self) -> bool:
        """Whether it says anything at all: the others become dead letters, and change nothing."""
        if self.change.op is Op.UPSERT:
            return self.change.body is not None
        return self.change.op is not Op.ACL or self.change.acl is not None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a document has to be. `title`, `body` and `event_id` are those of the content that counts."""

    content: ContentState
    content_version: Version | None
    acl: frozenset[str]
    acl_version: Version | None
    title: str | None = None
    body: bytes | None = None
    event_id: str | None = None

    @property
    def is_tombstone(self) -> bool:
        """Whether it was deleted, and has to stay so whatever comes late."""
        return self.content is ContentState.DELETED


def reference(changes: Iterable[Logged]) -> dict[Document, Expected]:
    """Document -> what it has to be. A change that lies at the same coordinates twice is one change."""
    records = {str(one.at): one for one in changes if one.is_understood}
    by_document: dict[Document, list[Logged]] = defaultdict(list)
    for one in sorted(records.values(), key=lambda one: (one.at.partition, one.at.offset)):
        by_document[one.change.document].append(one)
    return {document: expected(found) for document, found in by_document.items()}


def expected(changes: Iterable[Logged]) -> Expected:
    """What one document has to be, from its changes in the order of the log."""
    content: Logged | None = None
    acl: Logged | None = None
    for one in changes:
        if one.change.op is not Op.ACL and (content is None or one.version > content.version):
            content = one
        if one.change.acl is not None and (acl is None or one.version > acl.version):
            acl = one
    return Expected(
        content=_state(content),
        content_version=None if content is None else content.version,
        acl=_acl(content, acl),
        acl_version=None if acl is None else acl.version,
        title=None if content is None else content.change.title,
        body=None if content is None else content.change.body,
        event_id=None if content is None else content.change.event_id,
    )


def _state(content: Logged | None) -> ContentState:
    if content is None:
        return ContentState.ABSENT
    return ContentState.PRESENT if content.change.op is Op.UPSERT else ContentState.DELETED


def _acl(content: Logged | None, acl: Logged | None) -> frozenset[str]:
    """A delete keeps the acl; the source's default applies only where none was ever set."""
    if acl is not None:
        return frozenset(acl.change.acl or ())
    return frozenset() if content is None else frozenset(content.change.default_acl)


def logged(records: Iterable[StoredRecord]) -> Iterator[Logged]:
    """The records of documents.changes as the reference takes them. Raises DecodeError."""
    for record in records:
        yield Logged(decode(record.value or b"", DocumentChange), record.coordinates)


def differences(wanted: Mapping[Document, Expected], rows: Mapping[Document, DocumentRow]) -> list[str]:
    """What document rows say otherwise than the reference, one line each; none: the index is the log's. Text is for
    the caller to compare: a row has no body.
    """
    found = [f"{document.key}: is missing" for document in wanted.keys() - rows.keys()]
    found += [f"{document.key}: is in the index alone" for document in rows.keys() - wanted.keys()]
    for document in wanted.keys() & rows.keys():
        promised, row = wanted[document], rows[document]
        pairs = {
            "content": (promised.content, row.content),
            "content version": (promised.content_version, row.content_version),
            "acl": (promised.acl, frozenset(row.acl)),
            "acl version": (promised.acl_version, row.acl_version),
        }
        found += [
            f"{document.key}: {name} is {is_}, not {to_be}" for name, (to_be, is_) in pairs.items() if to_be != is_
        ]
    return sorted(found)
