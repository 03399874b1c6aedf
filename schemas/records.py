"""The records of the log, as the Avro schemas in schemas/avro state them, one model each.

Frozen and strict about unknown fields: what a schema does not name does not exist. `schemas.codec` turns them into
bytes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from schemas.identity import DocId, Document, Source, Tenant
from schemas.versions import Op, Rank, StatedVersion, Version


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs a zone")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time lies within the years 1 to 9999, in UTC") from None


Time = Annotated[datetime, AfterValidator(_utc)]
"""A moment with a zone, kept in UTC; microseconds on the wire."""


class Record(BaseModel):
    """Base of all records; `schema_name` is the file in schemas/avro without its version."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_name: ClassVar[str]


class Origin(BaseModel):
    """How a change came in."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    connector: str
    reference: str


class Coordinates(BaseModel):
    """Where a record lies in the log. `topic` is without the installation's prefix."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Coordinates":
        """Read back `str(coordinates)`."""
        topic, partition, offset = text.rsplit("/", 2)
        return cls(topic=topic, partition=int(partition), offset=int(offset))


class DocumentRecord(Record):
    """A record about one document."""

    tenant: Tenant
    source: Source
    doc_id: DocId

    @property
    def document(self) -> Document:
        """The document it is about."""
        return Document(self.tenant, self.source, self.doc_id)


class DocumentChange(DocumentRecord):
    """An event about one document, in documents.changes."""

    schema_name = "document_change"
    op: Op
    version: StatedVersion
    event_id: str
    actor: str | None = None
    title: str | None = None
    url: str | None = None
    content_type: str | None = None
    body: bytes | None = None
    acl: tuple[str, ...] | None = None
    default_acl: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    private: tuple[str, ...] = ()
    """Values of the source's declared personal data, masked wherever the document has them; protected like the body."""
    event_time: Time | None = None
    received_at: Time
    origin: Origin
    traceparent: str | None = None

    @property
    def key(self) -> str:
        """The record's key: an acl alone lies under the document's `#acl` key."""
        return self.document.acl_key if self.op is Op.ACL else self.document.key

    def acl_copy(self, offset: int) -> "DocumentChange":
        """The `#acl` copy of a change that carries an acl, same version; `offset` is where the original lies.

        For compaction's sake: a later change without acl replaces the original, never the copy.
        """
        return self.model_copy(
            update={
                "op": Op.ACL,
                "version": self.version.fixed_at(offset),
                "title": None,
                "url": None,
                "content_type": None,
                "body": None,
                "labels": {},
                "private": (),
            }
        )


class PageBreak(BaseModel):
    """A page that begins within a chunk: `at` which character of the chunk's text, and its number, from 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    at: int
    page: int


class Chunk(BaseModel):
    """One retrievable piece of a document; `vector` is float32 little endian, unit length."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ordinal: int
    text: str
    heading_path: tuple[str, ...]
    hash: str
    embedded_hash: str
    pii: tuple[str, ...] = ()
    page: int | None = None
    start: int
    end: int
    vector: bytes
    part: int = 0
    """0 is the document itself, n its n-th attachment: `Content.parts[n - 1]`. Page and span are the part's own."""
    page_breaks: tuple[PageBreak, ...] = ()
    """Pages after `page`, in order."""


class Part(BaseModel):
    """A document within a document: an attachment, by its name and the format it was read as."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    kind: str


def wholes(title: str, kind: str, parts: Sequence[Part]) -> tuple[Part, ...]:
    """What the chunks of a document are cut of, by a chunk's `part`: 0 is the document itself."""
    return (Part(title=title, kind=kind), *parts)


class Content(BaseModel):
    """The content register's new value."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    deleted: bool = False
    chunks: tuple[Chunk, ...] = ()
    content_hash: str = ""
    title: str = ""
    url: str | None = None
    kind: str = ""
    language: str | None = None
    labels: dict[str, str] = {}
    pipeline: str = ""
    parts: tuple[Part, ...] = ()


class Mutation(DocumentRecord):
    """A change made ready for the index, in index.mutations.<generation>."""

    schema_name = "mutation"
    op: Op
    version: Version
    content: Content | None = None
    acl: tuple[str, ...] | None = None
    default_acl: tuple[str, ...] = ()
    change: Coordinates
    origin: Origin
    event_id: str
    actor: str | None = None
    event_time: Time | None = None
    received_at: Time
    prepared_at: Time
    traceparent: str | None = None

    @property
    def key(self) -> str:
        """The record's key, as in documents.changes."""
        return self.document.acl_key if self.op is Op.ACL else self.document.key


class Hide(DocumentRecord):
    """A delete or an acl that runs ahead of the queue, in index.hides; it only ever takes away."""

    schema_name = "hide"
    version: Version
    deleted: bool
    acl: tuple[str, ...] | None = None
    change: Coordinates
    origin: Origin
    event_id: str
    received_at: Time
    prepared_at: Time
    traceparent: str | None = None

    @property
    def key(self) -> str:
        """The record's key: all hides of a document lie in one order."""
        return self.document.key

    @property
    def op(self) -> Op:
        """What the change it runs ahead of does, as far as it takes away."""
        if self.deleted:
            return Op.ERASE if self.version.rank == Rank.ERASE else Op.DELETE
        return Op.ACL


class Commit(DocumentRecord):
    """A mutation made visible, in index.commits: no text, no vectors."""

    schema_name = "commit"
    generation: str
    incarnation: str
    epoch: int
    seq: int
    batch_from: int
    batch_to: int
    op: Op
    removed: tuple[str, ...]
    added: tuple[str, ...]
    acl_before: tuple[str, ...] | None = None
    acl_after: tuple[str, ...]
    change: Coordinates
    mutation: Coordinates
    origin: Origin
    event_time: Time | None = None
    received_at: Time
    prepared_at: Time
    committed_at: Time
    traceparent: str | None = None


class TakeOver(Record):
    """A writer takes a tenant over; its offset in index.commits plus one is the writer's epoch."""

    schema_name = "take_over"
    tenant: Tenant
    generation: str
    incarnation: str
    writer: str
    at: Time


class Header(BaseModel):
    """A record header."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    value: bytes


class DeadLetter(Record):
    """An input that cannot be processed, kept with its reason and its original bytes, in documents.dlq."""

    schema_name = "dead_letter"
    stage: str
    reason: str
    error: str
    attempts: int
    origin: Coordinates
    tenant: str | None = None
    source: str | None = None
    doc_id: str | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[Header, ...] = ()
    failed_at: Time


class GenerationState(StrEnum):
    """Life of a generation's incarnation."""

    BUILDING = "building"
    LIVE = "live"
    RETIRED = "retired"


class Generation(Record):
    """Which generation and incarnation is building, live or retired, in index.generations."""

    schema_name = "generation"
    name: str
    incarnation: str
    state: GenerationState
    recipe: str
    acknowledged: dict[str, int] = {}
    at: Time


RECORDS: tuple[type[Record], ...] = (DocumentChange, Mutation, Hide, Commit, TakeOver, DeadLetter, Generation)
