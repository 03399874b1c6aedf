"""Builds, purely, the rows of a commit: what one planned mutation looks like in the index, and the commit that
tells of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from index.manifest import ChunkId
from index.model import (
    ChunkRow,
    DocumentRow,
    Head,
    IndexIdentity,
    RowId,
    Seq,
    Vector,
    content_hash,
    label_list,
    newest_head,
    row_id,
)
from index.plan import Add, Keep, Plan, Rewrite, hides_after
from schemas.errors import BrokenIndexError, PermanentError
from schemas.headers import Again
from schemas.identity import Document, Tenant
from schemas.records import Chunk, Commit, Content, Coordinates, Hide, Mutation, Part, wholes


@dataclass(frozen=True, slots=True)
class PositionedMutation:
    """A mutation, where it lies in index.mutations, and why it lies there again if it does."""

    mutation: Mutation
    at: Coordinates
    again: Again | None = None

    @property
    def record(self) -> Mutation:
        """What to plan."""
        return self.mutation

    @property
    def document(self) -> Document:
        """The document it is about."""
        return self.mutation.document


@dataclass(frozen=True, slots=True)
class PositionedHide:
    """A hide and where it lies in index.hides."""

    hide: Hide
    at: Coordinates

    @property
    def again(self) -> None:
        """None: it only runs ahead."""
        return None

    @property
    def record(self) -> Hide:
        """What to plan."""
        return self.hide

    @property
    def document(self) -> Document:
        """The document it is about."""
        return self.hide.document


Item = PositionedMutation | PositionedHide


@dataclass(frozen=True, slots=True)
class Step:
    """One item of a batch: the state it meets, and what it makes of it."""

    item: Item
    previous: DocumentRow | None
    plan: Plan


@dataclass(frozen=True, slots=True)
class Batch:
    """What all rows of one group commit share: the head before it, how many document rows, when."""

    identity: IndexIdentity
    head: Head
    size: int
    at: datetime


Added = tuple[ChunkRow | None, ...]
"""New chunk rows of one step, in the order of its actions; None where an action keeps a row."""


def claiming_head(tenant: Tenant, epoch: int, at: datetime) -> Head:
    """The first head of a take-over: older writers find it when they look, before they acknowledge; readers pass over
    it. So whatever is acknowledged was published before it, and is in every read of the heads after it.
    """
    return Head(tenant=tenant, epoch=epoch, seq=0, earlier={}, published_at=at)


def shown_head(older: Sequence[Head], epoch: int, at: datetime) -> Head:
    """The second head: from now on this epoch counts, and shows what the newest older head shows. What older writers
    publish from now on is seen by nobody.
    """
    return _head_on(newest_head(older), older, epoch, at)


def settled_head(older: Sequence[Head], epoch: int, at: datetime) -> Head:
    """The third head, from the older heads read again after the second: with what was published, and seen, meanwhile.

    It builds on the newest settled head. An unsettled one between them may show less than was published before it,
    and its writer can acknowledge nothing any more.
    """
    head = _head_on(newest_head(head for head in older if head.is_settled), older, epoch, at)
    return replace(head, earlier={**head.earlier, epoch: head.seq})


def _head_on(base: Head | None, older: Sequence[Head], epoch: int, at: datetime) -> Head:
    if base is None:
        raise BrokenIndexError("a tenant's shard has no head: stop and alert")
    return Head(
        tenant=base.tenant,
        epoch=epoch,
        seq=base.seq,
        earlier=_published_by(base),
        published_at=at if base.seq == 0 else base.published_at,
        swept_seq=max(head.swept_seq for head in older),
        # What a predecessor is closing may be away a moment longer: its run goes on until this writer ends it.
        sweeps=int(any(head.is_sweeping for head in older)),
        history_from=max(head.history_from for head in older),
    )


def _published_by(base: Head) -> dict[int, Seq]:
    """Epoch -> the last seq it published, `base` included; an epoch that published nothing needs no entry, but the
    first has one always.
    """
    earlier = dict(base.earlier)
    begun_at = earlier.pop(base.epoch, base.seq)
    if base.seq > begun_at or base.epoch == 0:
        earlier[base.epoch] = base.seq
    return earlier


def chunk_rows_of(batch: Batch, step: Step, copies: Mapping[ChunkId, ChunkRow]) -> Added:
    """The new chunk rows of one step. `copies` holds the rows to rewrite; one that is not there stays listed, for the
    audit to find.
    """
    rows: list[ChunkRow | None] = []
    for ordinal, action in enumerate(step.plan.actions):
        match action:
            case Keep():
                rows.append(None)
            case Rewrite(chunk_id=chunk_id):
                copy = copies.get(chunk_id)
                rows.append(None if copy is None else _rewritten(batch, step, ordinal, copy))
            case Add():
                rows.append(_added(batch, step, ordinal, action))
    return tuple(rows)


def _new_id(batch: Batch, step: Step, ordinal: int) -> ChunkId:
    item = step.item
    return ChunkId(row_id(batch.identity, item.document, batch.head.epoch, item.at, str(ordinal)))


def _rewritten(batch: Batch, step: Step, ordinal: int, row: ChunkRow) -> ChunkRow:
    return replace(
        row,
        id=_new_id(batch, step, ordinal),
        acl=step.plan.acl,
        epoch=batch.head.epoch,
        from_seq=batch.head.seq + 1,
    )


def _added(batch: Batch, step: Step, ordinal: int, action: Add) -> ChunkRow:
    mutation, chunk = step.item.record, action.chunk
    assert isinstance(mutation, Mutation)
    content = mutation.content
    assert content is not None
    whole = _whole(content, chunk)
    return ChunkRow(
        id=_new_id(batch, step, ordinal),
        document=mutation.document,
        text=chunk.text,
        title=whole.title,
        heading_path=chunk.heading_path,
        hash=chunk.hash,
        embedded_hash=chunk.embedded_hash,
        acl=step.plan.acl,
        kind=whole.kind,
        language=content.language,
        labels=label_list(content.labels),
        event_time=mutation.event_time,
        pii=chunk.pii,
        epoch=batch.head.epoch,
        from_seq=batch.head.seq + 1,
        vector=_vector(chunk.vector),
    )


def _whole(content: Content, chunk: Chunk) -> Part:
    """What a chunk is cut of: the document, or one of its parts."""
    if not 0 <= chunk.part <= len(content.parts):
        raise PermanentError("a chunk is of a part that its document does not have", reason="refused_row")
    return wholes(content.title, content.kind, content.parts)[chunk.part]


def _vector(written: bytes) -> Vector:
    try:
        return np.frombuffer(written, dtype="<f4")
    except ValueError:
        raise PermanentError("a chunk's vector is no list of float32", reason="refused_row") from None


@dataclass(frozen=True, slots=True)
class _Described:
    """What the content register says about the document beside its chunks."""

    title: str = ""
    url: str | None = None
    kind: str = ""
    language: str | None = None
    labels: tuple[str, ...] = ()
    pipeline: str = ""
    event_time: datetime | None = None
    parts: tuple[Part, ...] = ()


def _described(step: Step) -> _Described:
    record, previous = step.item.record, step.previous
    if isinstance(record, Mutation) and step.plan.content_moved and record.content is not None:
        content = record.content
        return _Described(
            content.title,
            content.url,
            content.kind,
            content.language,
            label_list(content.labels),
            content.pipeline,
            record.event_time,
            content.parts,
        )
    if previous is None:
        return _Described(event_time=record.event_time if isinstance(record, Mutation) else None)
    return _Described(
        previous.title,
        previous.url,
        previous.kind,
        previous.language,
        previous.labels,
        previous.pipeline,
        previous.event_time,
        previous.parts,
    )


def document_row_of(batch: Batch, step: Step, added: Added, number: int) -> DocumentRow:
    """The document row of one step, the `number`-th (from 1) of its batch. `added` as from `chunk_rows_of`."""
    record, at, previous, wanted = step.item.record, step.item.at, step.previous, step.plan
    mutation, hide = (None, record) if isinstance(record, Hide) else (record, None)
    described, hides = _described(step), hides_after(previous, hide, wanted.content_version, wanted.acl_version)
    known_high = previous.mutation_high if previous else -1
    manifest = tuple(
        entry if row is None else replace(entry, chunk_id=row.id)
        for entry, row in zip(wanted.entries, added, strict=True)
    )
    listed = {entry.chunk_id for entry in manifest}
    return DocumentRow(
        id=RowId(row_id(batch.identity, record.document, batch.head.epoch, at, "document")),
        document=record.document,
        epoch=batch.head.epoch,
        from_seq=batch.head.seq + number,
        op=record.op,
        content=wanted.content,
        content_version=wanted.content_version,
        acl=wanted.acl,
        acl_version=wanted.acl_version,
        hint=wanted.hint,
        hide_deleted=hides.deleted,
        hide_acl=hides.acl,
        hide_acl_version=hides.acl_version,
        manifest=manifest,
        superseded=tuple(id_ for id_ in wanted.superseded if id_ not in listed),
        title=described.title,
        url=described.url,
        kind=described.kind,
        language=described.language,
        labels=described.labels,
        content_hash=content_hash(entry.hash for entry in manifest),
        pipeline=described.pipeline,
        origin=record.origin,
        event_id=record.event_id,
        actor=None if mutation is None else mutation.actor,
        change=record.change,
        mutation=at,
        mutation_high=known_high if mutation is None else max(at.offset, known_high),
        event_time=described.event_time,
        received_at=record.received_at,
        prepared_at=record.prepared_at,
        committed_at=batch.at,
        batch_from=batch.head.seq,
        batch_to=batch.head.seq + batch.size,
        traceparent=record.traceparent,
        parts=described.parts,
    )


def commit_of(identity: IndexIdentity, row: DocumentRow, before: DocumentRow | None) -> Commit:
    """The commit of a document row, from that row and the one before: the same however often it is computed."""
    kept = before.chunk_ids() if before else frozenset()
    return Commit(
        tenant=row.document.tenant,
        source=row.document.source,
        doc_id=row.document.doc_id,
        generation=identity.generation,
        incarnation=identity.incarnation,
        epoch=row.epoch,
        seq=row.from_seq,
        batch_from=row.batch_from,
        batch_to=row.batch_to,
        op=row.op,
        removed=row.superseded,
        added=tuple(entry.chunk_id for entry in row.manifest if entry.chunk_id not in kept),
        acl_before=before.acl if before else None,
        acl_after=row.acl,
        change=row.change,
        mutation=row.mutation,
        origin=row.origin,
        event_time=row.event_time,
        received_at=row.received_at,
        prepared_at=row.prepared_at,
        committed_at=row.committed_at,
        traceparent=row.traceparent,
    )
