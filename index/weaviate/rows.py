"""Rows of the model as rows of the store, and back (the shapes are in `schema`).

What is filtered is a property of its own; the rest of a document row is one JSON text, because a read decodes tens of
them. Versions are text in it: the store's numbers are doubles. Rows that do not read back raise BrokenIndexError.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, TypeAdapter

from index import manifest
from index.manifest import ChunkId
from index.model import OPEN, ChunkRow, ContentState, DocumentRow, Head, IndexIdentity, Place, RowId, Vector, head_id
from index.port import IndexRecord
from index.weaviate.query import Found, Row, Value
from schemas.errors import BrokenIndexError, PermanentError
from schemas.identity import DocId, Document, Source, Tenant
from schemas.records import Coordinates, Origin, Part
from schemas.versions import Op, Version

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")
VersionText = Annotated[
    Version,
    BeforeValidator(lambda value: Version.parse(value) if isinstance(value, str) else value),
    PlainSerializer(str, return_type=str),
]
CoordinatesText = Annotated[
    Coordinates,
    BeforeValidator(lambda value: Coordinates.parse(value) if isinstance(value, str) else value),
    PlainSerializer(str, return_type=str),
]


class _DocumentState(BaseModel):
    """What of a document row is only read back."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    op: Op
    content: ContentState
    content_version: VersionText | None
    acl: tuple[str, ...]
    acl_version: VersionText | None
    hint: tuple[str, ...]
    hide_deleted: VersionText | None
    hide_acl: tuple[str, ...]
    hide_acl_version: VersionText | None
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
    change: CoordinatesText
    mutation_high: int
    event_time: datetime | None
    received_at: datetime
    prepared_at: datetime
    committed_at: datetime
    batch_from: int
    batch_to: int
    traceparent: str | None
    parts: tuple[Part, ...]


_STATE_FIELDS = tuple(_DocumentState.model_fields)
_RECORD = TypeAdapter(IndexRecord)


def chunk_to_row(chunk: ChunkRow) -> Row:
    """Raises PermanentError for a chunk without vector."""
    if chunk.vector is None:
        raise PermanentError("a chunk row without vector cannot be written", reason="refused_row")
    properties: dict[str, Value] = {
        "document": chunk.document.key,
        "text": chunk.text,
        "title": chunk.title,
        "hash": chunk.hash,
        "embedded_hash": chunk.embedded_hash,
        "source": chunk.document.source,
        "kind": chunk.kind,
        "epoch": chunk.epoch,
        "from_seq": chunk.from_seq,
        "to_seq": chunk.to_seq,
    }
    lists = {"heading_path": chunk.heading_path, "acl": chunk.acl, "labels": chunk.labels, "pii": chunk.pii}
    properties.update({name: values for name, values in lists.items() if values})
    if chunk.language is not None:
        properties["language"] = chunk.language
    if chunk.event_time is not None:
        properties["event_time"] = chunk.event_time.isoformat()
        properties["event_us"] = microseconds(chunk.event_time)
    return Row(chunk.id, properties, vector_bytes(chunk.vector))


def row_to_chunk(row: Found) -> ChunkRow:
    """`vector` is None where the query did not ask for it."""
    read = _Reader(row)
    event_time = read.text("event_time", "")
    return ChunkRow(
        id=ChunkId(row.id),
        document=document_of_key(read.text("document")),
        text=read.text("text"),
        title=read.text("title"),
        heading_path=read.texts("heading_path"),
        hash=read.text("hash"),
        embedded_hash=read.text("embedded_hash"),
        acl=read.texts("acl"),
        kind=read.text("kind"),
        language=read.text("language", "") or None,
        labels=read.texts("labels"),
        event_time=datetime.fromisoformat(event_time) if event_time else None,
        pii=read.texts("pii"),
        epoch=read.number("epoch"),
        from_seq=read.number("from_seq"),
        vector=np.frombuffer(row.vector, dtype="<f4").astype(np.float32) if row.vector else None,
        to_seq=read.number("to_seq"),
    )


def document_to_row(row: DocumentRow) -> Row:
    """One document row, without vector. Raises PermanentError for text that is not Unicode."""
    state = _DocumentState.model_construct(**{name: getattr(row, name) for name in _STATE_FIELDS})
    properties: dict[str, Value] = {
        "document": row.document.key,
        "source": row.document.source,
        "epoch": row.epoch,
        "from_seq": row.from_seq,
        "to_seq": row.to_seq,
        "mutation": str(row.mutation),
        "manifest": manifest.pack(row.manifest),
        "state": _json(state),
    }
    if row.superseded:
        properties["superseded"] = row.superseded
    return Row(row.id, properties)


def row_to_document(row: Found) -> DocumentRow:
    """Raises BrokenIndexError."""
    read = _Reader(row)
    state = _valid(_DocumentState.model_validate_json, read.text("state"), "a document row's state")
    return DocumentRow(
        id=RowId(row.id),
        document=document_of_key(read.text("document")),
        epoch=read.number("epoch"),
        from_seq=read.number("from_seq"),
        to_seq=read.number("to_seq"),
        mutation=_valid(Coordinates.parse, read.text("mutation"), "a document row's mutation"),
        manifest=manifest.unpack(read.text("manifest")),
        superseded=tuple(ChunkId(chunk) for chunk in read.texts("superseded")),
        **{name: getattr(state, name) for name in _STATE_FIELDS},
    )


def found_to_place(row: Found) -> Place:
    """A document row without what it says. Raises BrokenIndexError."""
    read = _Reader(row)
    return Place(
        id=RowId(row.id),
        document=document_of_key(read.text("document")),
        epoch=read.number("epoch"),
        from_seq=read.number("from_seq"),
        to_seq=read.number("to_seq"),
        superseded=tuple(ChunkId(chunk) for chunk in read.texts("superseded")),
        mutation=_valid(Coordinates.parse, read.text("mutation"), "a document row's mutation"),
    )


def head_to_row(identity: IndexIdentity, head: Head) -> Row:
    """The head of (tenant, epoch): always the same id."""
    properties: dict[str, Value] = {
        "epoch": head.epoch,
        "seq": head.seq,
        "swept_seq": head.swept_seq,
        "history_from": head.history_from,
        "sweeps": head.sweeps,
        "earlier": json.dumps({str(epoch): seq for epoch, seq in head.earlier.items()}),
        "published_at": head.published_at.isoformat(),
    }
    return Row(head_id(identity, head.tenant, head.epoch), properties)


def row_to_head(tenant: Tenant, row: Found) -> Head:
    """Raises BrokenIndexError."""
    read = _Reader(row)
    earlier: Mapping[str, int] = _valid(json.loads, read.text("earlier"), "a head's earlier epochs")
    return Head(
        tenant=tenant,
        epoch=read.number("epoch"),
        seq=read.number("seq"),
        earlier={int(epoch): seq for epoch, seq in earlier.items()},
        published_at=_valid(datetime.fromisoformat, read.text("published_at"), "a head's time"),
        swept_seq=read.number("swept_seq"),
        history_from=read.number("history_from"),
        sweeps=read.number("sweeps"),
    )


def record_to_text(record: IndexRecord) -> str:
    """The index record as JSON."""
    return _RECORD.dump_json(record).decode()


def text_to_record(text: str) -> IndexRecord:
    """Raises BrokenIndexError."""
    return _valid(_RECORD.validate_json, text, "the index record")


@lru_cache(maxsize=8192)
def document_of_key(key: str) -> Document:
    """The document of a key this adapter wrote: not checked again, a read meets hundreds."""
    tenant, source, doc_id = key.split("/", 2)
    return Document(Tenant(tenant), Source(source), DocId(doc_id.replace("%23", "#").replace("%25", "%")))


def microseconds(time: datetime) -> int:
    """Since 1970 in UTC, kept within what the store's doubles hold exactly (years 1684 to 2255)."""
    return max(-OPEN, min(OPEN, (time - _EPOCH) // _MICROSECOND))


def vector_bytes(vector: Vector) -> bytes:
    """float32 little endian."""
    return vector.astype("<f4").tobytes()


class _Reader:
    """Typed access to a row's properties. Raises BrokenIndexError where one is missing or of another type."""

    def __init__(self, row: Found) -> None:
        self._properties = row.properties

    def text(self, name: str, default: str | None = None) -> str:
        value = self._properties.get(name, default)
        if not isinstance(value, str):
            raise _broken(name)
        return value

    def number(self, name: str) -> int:
        value = self._properties.get(name)
        if not isinstance(value, int):
            raise _broken(name)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._properties.get(name, ())
        if not isinstance(value, tuple):
            raise _broken(name)
        return value


def _json(state: _DocumentState) -> str:
    try:
        return state.model_dump_json()
    except ValueError:
        raise PermanentError("a row holds text that is not Unicode", reason="refused_row") from None


def _valid(parse: Callable[[str], T], text: str, what: str) -> T:
    try:
        return parse(text)
    except ValueError:
        raise BrokenIndexError(f"{what} does not read back") from None


def _broken(name: str) -> BrokenIndexError:
    return BrokenIndexError(f"a row of the index lacks {name}")
