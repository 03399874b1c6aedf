"""Rows of an index for tests: everything has a default, so that a test states only what it is about."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from index.manifest import ChunkId, Entry
from index.model import ChunkRow, ContentState, DocumentRow, IndexIdentity, RowId, Vector
from index.port import IndexRecord, LegFilter
from schemas.identity import DocId, Document, Source, Tenant
from schemas.records import Coordinates, Origin, Part
from schemas.versions import Op, Version

DIMENSION = 8
NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
SECRET = "Wintermute"
"""A word of a text that must never leave the store but in the row itself."""


def index_record(identity: IndexIdentity, **recipe: str) -> IndexRecord:
    """What the tests' indexes are created with."""
    return IndexRecord(
        identity=identity,
        recipe={"embedder": "words-8", "redaction": "none", **recipe},
        topics={"index.mutations.g1": ("topic-id", 4)},
        dimension=DIMENSION,
        created_at=NOW,
    )


def document(tenant: Tenant, doc_id: str = "handbook", source: str = "docs") -> Document:
    """A document of the tenant."""
    return Document(tenant, Source(source), DocId(doc_id))


def vector(*weights: float) -> Vector:
    """A unit vector; what is not given is 0."""
    made = np.zeros(DIMENSION, dtype=np.float32)
    made[: len(weights)] = weights
    return made / np.float32(np.linalg.norm(made))


def chunk_row(of: Document, *, text: str = "plain words", from_seq: int = 1, **changes: object) -> ChunkRow:
    """A chunk row; its id is new at every call."""
    fields: dict[str, object] = {
        "id": ChunkId(str(uuid.uuid4())),
        "document": of,
        "text": text,
        "title": "Untitled",
        "heading_path": ("Part one", "Chapter two"),
        "hash": uuid.uuid4().hex,
        "embedded_hash": uuid.uuid4().hex,
        "acl": ("public",),
        "kind": "markdown",
        "language": "en",
        "labels": ("area=north", "team=blue"),
        "event_time": NOW,
        "pii": ("EMAIL",),
        "epoch": 1,
        "from_seq": from_seq,
        "vector": vector(1.0),
    }
    return ChunkRow(**{**fields, **changes})  # type: ignore[arg-type]


def document_row(of: Document, from_seq: int, *, epoch: int = 1, **changes: object) -> DocumentRow:
    """A document row, made of the mutation at offset `from_seq`; its id is new at every call."""
    at = Coordinates(topic="index.mutations.g1", partition=2, offset=from_seq)
    fields: dict[str, object] = {
        "id": RowId(str(uuid.uuid4())),
        "document": of,
        "epoch": epoch,
        "from_seq": from_seq,
        "op": Op.UPSERT,
        "content": ContentState.PRESENT,
        "content_version": Version(3, 2**62 + from_seq, 0),
        "acl": ("public", "user:ann o'neill"),
        "acl_version": None,
        "hint": ("public",),
        "hide_deleted": Version(1, 5, 2),
        "hide_acl": ("staff",),
        "hide_acl_version": Version(1, 6, 1),
        "manifest": entries(3),
        "superseded": tuple(entry.chunk_id for entry in entries(2)),
        "title": 'The "Handbook" – übersicht',
        "url": "https://wiki.example/a?b=c#d",
        "kind": "markdown",
        "language": None,
        "labels": ("area=north",),
        "content_hash": uuid.uuid4().hex,
        "pipeline": "pipeline-1",
        "origin": Origin(connector="webhook", reference="event-7"),
        "event_id": "event-7",
        "actor": "ann@example.org",
        "change": Coordinates(topic="documents.changes", partition=0, offset=from_seq + 100),
        "mutation": at,
        "mutation_high": at.offset,
        "event_time": None,
        "received_at": NOW,
        "prepared_at": NOW,
        "committed_at": NOW,
        "batch_from": from_seq - 1,
        "batch_to": from_seq,
        "traceparent": "00-abc-def-01",
        "parts": (Part(title="offer „new“.docx", kind="docx"), Part(title="b.pdf", kind="pdf")),
    }
    return DocumentRow(**{**fields, **changes})  # type: ignore[arg-type]


def entries(count: int) -> tuple[Entry, ...]:
    """A manifest of new chunk ids."""
    return tuple(
        Entry(ChunkId(str(uuid.uuid4())), uuid.uuid4().hex, page or None, page * 10, page * 10 + 9, page % 2)
        for page in range(count)
    )


def ids(rows: Sequence[ChunkRow]) -> set[ChunkId]:
    """Ids of chunk rows."""
    return {row.id for row in rows}


def everyone(at: int = 10, **changes: object) -> LegFilter:
    """What a principal of no group asks."""
    return replace(LegFilter(at=at, principals=frozenset({"public"})), **changes)  # type: ignore[arg-type]
