"""What the versioned index holds: chunk rows, document rows, heads (design §5).

Rows are written once; only `to_seq` ever changes. A document row says what the document is from its `from_seq` on;
a chunk row counts only if the manifest of the document row in force lists it. So what a dead, failed or paused
writer left behind is never seen.
"""

import hashlib
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

import numpy as np
import numpy.typing as npt

from index.manifest import ChunkId, Entry
from schemas.identity import Document, Tenant
from schemas.records import Coordinates, Origin, Part, wholes
from schemas.versions import Op, Version

RowId = NewType("RowId", str)
Seq = int
"""Place in a tenant's log, from 1; 0 is before everything."""

Vector = npt.NDArray[np.float32]
"""Shape (dimension,), float32, unit length."""

SCHEMA = "4"
"""Raised when rows get other properties, or are indexed or hashed otherwise: part of the recipe."""

OPEN = 2**53 - 1
"""`to_seq` of a row that is not superseded; the store's ints are doubles."""

_NAMESPACE = uuid.UUID("6f0d4bb2-95a5-5d0c-8f5a-9d1f0a3f6c11")


@dataclass(frozen=True, slots=True)
class IndexIdentity:
    """One physical build of one recipe."""

    generation: str
    incarnation: str

    def __str__(self) -> str:
        return f"{self.generation}-{self.incarnation}"


class ContentState(StrEnum):
    """What the content register holds."""

    ABSENT = "absent"
    """Only an acl was ever seen."""
    PRESENT = "present"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """One retrievable piece of a document as it was written. `to_seq` closes it when it is swept."""

    id: ChunkId
    document: Document
    text: str
    title: str
    heading_path: tuple[str, ...]
    hash: str
    embedded_hash: str
    acl: tuple[str, ...]
    """A hint: everyone it was written for. Permission is the document row's."""
    kind: str
    language: str | None
    labels: tuple[str, ...]
    """`key=value`, sorted."""
    event_time: datetime | None
    """Of the change it was written for, a hint: the document may have another since. The document row's counts."""
    pii: tuple[str, ...]
    epoch: int
    from_seq: Seq
    """The head when it was written, plus 1: a lower bound that keeps the unborn out of a leg; the manifest is exact."""
    vector: Vector | None
    to_seq: Seq = OPEN


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """The state of one document from `from_seq` on; all of them together are the audit trail."""

    id: RowId
    document: Document
    epoch: int
    from_seq: Seq
    op: Op
    content: ContentState
    content_version: Version | None
    acl: tuple[str, ...]
    """Effective acl: the register's, or the source's default where the register was never set."""
    acl_version: Version | None
    hint: tuple[str, ...]
    """Principals that every chunk row of the manifest carries in its own acl."""
    hide_deleted: Version | None
    hide_acl: tuple[str, ...]
    hide_acl_version: Version | None
    manifest: tuple[Entry, ...]
    superseded: tuple[ChunkId, ...]
    """Chunk rows of the manifest before that this one no longer lists."""
    title: str
    url: str | None
    kind: str
    language: str | None
    labels: tuple[str, ...]
    content_hash: str
    pipeline: str
    origin: Origin
    event_id: str
    actor: str | None
    change: Coordinates
    """The record in documents.changes."""
    mutation: Coordinates
    """The record that this row was made of."""
    mutation_high: int
    """Greatest offset of index.mutations this document's rows were made of: at or below it is a redelivery."""
    event_time: datetime | None
    received_at: datetime
    prepared_at: datetime
    committed_at: datetime
    batch_from: Seq
    """The head before the batch this row was committed in."""
    batch_to: Seq
    """The head that batch published."""
    traceparent: str | None = None
    parts: tuple[Part, ...] = ()
    """The attachments that were read, part 1 first."""
    to_seq: Seq = OPEN

    @property
    def is_present(self) -> bool:
        """Whether there is something to read: content, and no newer hide says it is gone."""
        return self.content is ContentState.PRESENT and not _covers(self.hide_deleted, self.content_version)

    def readable_by(self, principals: Collection[str]) -> bool:
        """Whether it is there and one of `principals` may read it."""
        return self.is_present and self.permits(principals)

    def permits(self, principals: Collection[str]) -> bool:
        """Whether one of `principals` matches the register's acl and, while that is newer, the hide's as well.

        The sets are never intersected: a principal may match each by another group.
        """
        if not any(principal in principals for principal in self.acl):
            return False
        if self.hide_acl_version is not None and not _covers(self.acl_version, self.hide_acl_version):
            return any(principal in principals for principal in self.hide_acl)
        return True

    @property
    def weight(self) -> int:
        """About how much memory it takes, in manifest entries."""
        return 8 + len(self.manifest) + len(self.superseded) + len(self.parts)

    def whole(self, part: int) -> Part:
        """What a chunk of this part is a chunk of, by its title and kind: of part 0 the document itself."""
        return wholes(self.title, self.kind, self.parts)[part]

    def chunk_ids(self, parts: Collection[int] | None = None) -> frozenset[ChunkId]:
        """Ids of the manifest, of these parts alone where some are named."""
        return frozenset(entry.chunk_id for entry in self.manifest if parts is None or entry.part in parts)


def _covers(register: Version | None, other: Version | None) -> bool:
    """Whether `register` is at `other` or beyond."""
    return register is not None and (other is None or register >= other)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document row stands, without what it says: what the sweep decides by. The fields are DocumentRow's."""

    id: RowId
    document: Document
    epoch: int
    from_seq: Seq
    to_seq: Seq
    superseded: tuple[ChunkId, ...]
    mutation: Coordinates


@dataclass(frozen=True, slots=True)
class Head:
    """What one writer epoch has published for a tenant. The highest epoch counts."""

    tenant: Tenant
    epoch: int
    seq: Seq
    earlier: Mapping[int, Seq]
    """Earlier epoch -> the last seq it published, as this one found it at its take-over; the first epoch has an entry
    always, others where they published something. Empty while this is only a claim; with its own epoch -> the seq it
    began at, once the take-over is settled.
    """
    published_at: datetime
    swept_seq: Seq = 0
    """Rows superseded up to here are closed or removed."""
    history_from: Seq = 0
    """The earliest position that may be asked as of: a published head."""
    sweeps: int = 0
    """Written before and after a run of the sweep that rewrites rows of kept history: odd while it runs."""

    @property
    def is_claim(self) -> bool:
        """Whether it only tells older writers that they are superseded, and shows readers nothing yet."""
        return not self.earlier

    @property
    def is_sweeping(self) -> bool:
        """Whether rows that only as-of reads need are being rewritten: such a row is in no posting list for moments."""
        return self.sweeps % 2 == 1

    @property
    def is_settled(self) -> bool:
        """Whether its take-over is finished; a later one builds on settled heads alone."""
        return self.epoch in self.earlier


@dataclass(frozen=True, slots=True)
class Moment:
    """A published position and when it was published: None for position 0 of an index that has moved on."""

    seq: Seq
    committed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Published:
    """What readers may see: decided from all heads of a tenant, as read at one moment."""

    head: Head

    @property
    def seq(self) -> Seq:
        """The newest published seq."""
        return self.head.seq

    @property
    def newest(self) -> Moment:
        """The newest published position."""
        return Moment(self.head.seq, self.head.published_at)

    def limit(self, epoch: int) -> Seq:
        """The last seq an epoch published; below 1: nothing."""
        return self.head.seq if epoch == self.head.epoch else self.head.earlier.get(epoch, 0)

    def is_valid(self, row: DocumentRow | Place) -> bool:
        """A document row is valid if its from_seq is at most what its epoch published."""
        return row.from_seq <= self.limit(row.epoch)

    def state_at(self, rows: Iterable[DocumentRow], seq: Seq) -> DocumentRow | None:
        """State at `seq` of one document: the valid row with the greatest from_seq <= seq, then the highest epoch."""
        return max(
            (row for row in rows if row.from_seq <= seq and self.is_valid(row)),
            key=lambda row: (row.from_seq, row.epoch),
            default=None,
        )


def first_head(tenant: Tenant, at: datetime) -> Head:
    """The head a tenant is created with: epoch 0, nothing published."""
    return Head(tenant=tenant, epoch=0, seq=0, earlier={0: 0}, published_at=at)


def newest_head(heads: Iterable[Head]) -> Head | None:
    """The head that counts: the highest epoch's that is more than a claim."""
    return max((head for head in heads if not head.is_claim), key=lambda head: head.epoch, default=None)


def row_id(identity: IndexIdentity, document: Document, epoch: int, mutation: Coordinates, part: str) -> str:
    """uuid5 over length-prefixed (incarnation, document, epoch, mutation coordinates, part): no attempt reuses an id.

    `part` is a chunk's ordinal, or `document`. A Weaviate insert that was cancelled and then retried under the same ids
    leaves rows stored and filterable but for ever missing from vector search (measured: 43 % of retried rows).
    """
    parts = (str(identity), document.key, str(epoch), str(mutation), part)
    return str(uuid.uuid5(_NAMESPACE, _length_prefixed(parts)))


def head_id(identity: IndexIdentity, tenant: Tenant, epoch: int) -> str:
    """Row id of a head: one per tenant and writer epoch."""
    return str(uuid.uuid5(_NAMESPACE, _length_prefixed((str(identity), tenant, "head", str(epoch)))))


def _length_prefixed(parts: Iterable[str]) -> str:
    return "".join(f"{len(part)}:{part}" for part in parts)


@dataclass(frozen=True, slots=True)
class ChunkSubject:
    """What a chunk's hash covers: every stored property but acl, place, event time and seqs."""

    document: Document
    text: str
    title: str
    heading_path: tuple[str, ...]
    kind: str
    language: str | None
    labels: tuple[str, ...]
    pii: tuple[str, ...] = field(default=())


def chunk_hash(subject: ChunkSubject) -> str:
    """32 hex digits of SHA-256 over the length-prefixed fields: of two rows with equal hashes either will do."""
    parts = [
        subject.document.key,
        subject.text,
        subject.title,
        _length_prefixed(subject.heading_path),
        subject.kind,
        subject.language or "",
        _length_prefixed(subject.labels),
        _length_prefixed(subject.pii),
    ]
    return hashlib.sha256(_length_prefixed(parts).encode()).hexdigest()[:32]


def content_hash(chunk_hashes: Iterable[str]) -> str:
    """32 hex digits over all chunk hashes of a document, in order."""
    return hashlib.sha256("".join(chunk_hashes).encode()).hexdigest()[:32]


def label_list(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Labels as the rows carry them: `key=value`, sorted."""
    return tuple(sorted(f"{key}={value}" for key, value in labels.items()))
