"""Ports of the versioned index: what a store must be able to do, and the log a writer emits to.

Adapters: `index.weaviate.WeaviateIndex`, and the in-memory twin `index.memory.MemoryIndex` that passes the same
contract suite and serves unit and property tests only. The protocols over these (take-over, commit, read) are
`index.writer` and `index.reader`, one for both.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, Head, IndexIdentity, Place, RowId, Seq, Vector
from schemas.identity import Document, Source, Tenant
from schemas.records import Commit, Coordinates, TakeOver


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """What an index was created with; a process that finds anything else refuses to start."""

    identity: IndexIdentity
    recipe: Mapping[str, str]
    """Part of the recipe (embedder, reading, redaction, schema) -> its fingerprint."""
    topics: Mapping[str, tuple[str, int]]
    """Topic -> (topic id, partition count) at creation."""
    dimension: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LegFilter:
    """What both legs ask inside the query: position, permission hint, the user's filters (empty: any)."""

    at: Seq
    """Rows with from_seq <= at < to_seq."""
    principals: frozenset[str]
    """Never empty: a principal without groups is answered before the call."""
    sources: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """`key=value`; all must match."""
    documents: tuple[Document, ...] = ()
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk row a leg found: no text. `score` is the raw cosine (vector leg) or BM25 (lexical leg)."""

    chunk_id: ChunkId
    document: Document
    score: float


@dataclass(frozen=True, slots=True)
class OpenChunk:
    """A chunk row that is not closed, as far as it says whose it is."""

    id: ChunkId
    document: Document
    epoch: int
    from_seq: Seq


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Per partition of index.mutations: the next offset to apply, as the store itself has it."""

    offsets: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeadRows:
    """Rows that nothing published counts: low <= epoch < below and from_seq > above."""

    low: int
    below: int
    above: Seq


class VersionedIndex(Protocol):
    """One incarnation in a store. Ids are never reused and writes never cancelled or raced by a timeout.

    Reads have a time budget of their own. Errors: UnknownTenantError where a tenant has no shard; TransientError
    for a read that failed; AmbiguousWriteError for a write whose outcome is unknown; PermanentError for a row the
    store refuses.
    """

    @property
    def identity(self) -> IndexIdentity: ...

    @property
    def connection(self) -> int:
        """Which connection to the store this is. Another number than before: the store may have restarted since, or
        stand where a backup did.
        """

    async def create(self, record: IndexRecord) -> None:
        """Create collections and the index record; where they exist, nothing. Raises ConfigError on another record."""

    async def record(self) -> IndexRecord | None:
        """What the index was created with; None where there is none."""

    async def create_tenant(self, first: Head) -> None:
        """Create the tenant's shard and first head together; where both exist, nothing.

        A shard without a head is completed only while it holds no document row; otherwise BrokenIndexError.
        """

    async def tenants(self) -> frozenset[Tenant]:
        """Every tenant with a shard."""

    async def heads(self, tenant: Tenant) -> tuple[Head, ...]:
        """All heads, in one small read past every inverted index. Never empty: a shard without head raises
        BrokenIndexError.
        """

    async def put_head(self, head: Head) -> None:
        """Write or replace the head of (tenant, epoch), at once and whole."""

    async def drop_heads(self, tenant: Tenant, epochs: Collection[int]) -> None:
        """Remove heads that a settled take-over has made part of its own; absent ones are fine."""

    async def insert_chunks(self, tenant: Tenant, rows: Sequence[ChunkRow]) -> None:
        """Insert rows with vectors; searchable in both legs when it returns."""

    async def insert_documents(self, tenant: Tenant, rows: Sequence[DocumentRow]) -> None:
        """Insert document rows; readable when it returns."""

    async def document_rows(
        self, tenant: Tenant, documents: Collection[Document], *, at: Seq
    ) -> Mapping[Document, tuple[DocumentRow, ...]]:
        """Rows with from_seq <= at < to_seq of each document, valid or not, newest first: the row in force at `at`, and
        beside it earlier ones not closed yet and dead ones.

        A document may have many: at least the 32 newest of each are returned.
        """

    async def document_history(
        self, document: Document, *, limit: int, below: Seq | None = None
    ) -> tuple[DocumentRow, ...]:
        """Rows of one document with from_seq < below, newest first."""

    async def rows_at(self, tenant: Tenant, seq: Seq) -> tuple[DocumentRow, ...]:
        """Every document row with exactly this from_seq (one is valid, others are of dead epochs)."""

    async def changed_documents(
        self, tenant: Tenant, *, after: Seq, at_most: Seq, limit: int
    ) -> frozenset[Document] | None:
        """Documents with a row, valid or not, of after < from_seq <= at_most; None: over `limit` rows."""

    async def rows_made_of(
        self, tenant: Tenant, records: Mapping[Document, Coordinates]
    ) -> Mapping[Document, tuple[DocumentRow, ...]]:
        """Rows of each document that were made of this record, newest first; one without any is missing."""

    def source_rows(self, tenant: Tenant, source: Source) -> AsyncIterator[DocumentRow]:
        """Every document row of a source, in no order."""

    async def vector_leg(self, tenant: Tenant, vector: Vector, where: LegFilter, limit: int) -> tuple[Hit, ...]:
        """Nearest rows by cosine, best first; `score` in [-1, 1]."""

    async def lexical_leg(self, tenant: Tenant, question: str, where: LegFilter, limit: int) -> tuple[Hit, ...]:
        """Best rows by BM25 over text, title and headings, best first."""

    async def chunks(
        self, tenant: Tenant, ids: Collection[ChunkId], *, vectors: bool = False
    ) -> Mapping[ChunkId, ChunkRow]:
        """Rows by id; an id that does not exist is missing from the answer. `vector` is None unless asked for."""

    async def open_chunks(self, documents: Collection[Document], *, limit: int) -> tuple[OpenChunk, ...]:
        """Up to `limit` chunk rows of one tenant's documents that are not closed, listed or not, in no order."""

    async def in_graph(self, tenant: Tenant, ids: Collection[ChunkId]) -> frozenset[ChunkId]:
        """Those of these chunk rows that the vector graph has; a row that is stored may be missing from it."""

    async def in_words(self, tenant: Tenant, words: Mapping[ChunkId, str]) -> frozenset[ChunkId]:
        """Those of these chunk rows that are found by the word named, one of their own."""

    async def count_documents(self, tenant: Tenant) -> int:
        """How many document rows a tenant has, valid or not."""

    async def places(self, tenant: Tenant, *, after: Seq, at_most: Seq) -> tuple[Place, ...]:
        """Document rows, valid or not, with after < from_seq <= at_most, oldest first; at most 10,000."""

    async def open_places(self, documents: Collection[Document], *, at_most: Seq) -> tuple[Place, ...]:
        """Document rows of one tenant's documents, valid or not, with from_seq <= at_most that are not closed, oldest
        first; at most 10,000.
        """

    async def close_chunks(self, tenant: Tenant, closings: Mapping[ChunkId, Seq]) -> None:
        """Set `to_seq` of chunk rows, and nothing else; absent ones are fine.

        A row being closed may be missing from both legs for moments, so only rows that no reader at head needs.
        """

    async def close_documents(self, tenant: Tenant, closings: Mapping[RowId, Seq]) -> None:
        """The same of document rows."""

    async def closed_chunks(self, tenant: Tenant, *, at_most: Seq, limit: int) -> tuple[ChunkId, ...]:
        """Up to `limit` chunk rows with to_seq <= at_most, in no order."""

    async def dead_chunks(self, tenant: Tenant, where: DeadRows, *, limit: int) -> tuple[ChunkId, ...]:
        """Up to `limit` chunk rows, in no order."""

    async def dead_documents(self, tenant: Tenant, where: DeadRows, *, limit: int) -> tuple[RowId, ...]:
        """Up to `limit` document rows, in no order."""

    async def remove_chunks(self, tenant: Tenant, ids: Collection[ChunkId]) -> None:
        """Remove chunk rows; absent ones are fine."""

    async def remove_documents(self, tenant: Tenant, ids: Collection[RowId]) -> None:
        """Remove document rows; absent ones are fine."""

    async def put_acknowledged(self, partition: int, offset: int) -> None:
        """Record the next offset to apply of a partition of index.mutations."""

    async def acknowledged(self) -> Acknowledged:
        """What `put_acknowledged` recorded."""

    async def ready(self) -> bool:
        """Whether the store answers."""

    async def close(self) -> None:
        """Release connections."""


class CommitLog(Protocol):
    """The topic index.commits, as a writer sees it."""

    async def take_over(self, record: TakeOver) -> int:
        """Append a take-over record and return its offset in the tenant's partition."""

    async def emit(self, commits: Sequence[Commit]) -> None:
        """Append commits, in order; returns when all are acknowledged."""
