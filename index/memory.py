"""The in-memory twin of the index: the same contract on plain dictionaries, for unit and property tests only.

It passes the contract suite that WeaviateIndex passes; BM25 is Robertson's with the store's defaults (k1 1.2, b 0.75).
"""

import math
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from index.manifest import ChunkId
from index.model import OPEN, ChunkRow, DocumentRow, Head, IndexIdentity, Place, RowId, Seq, Vector
from index.port import Acknowledged, DeadRows, Hit, IndexRecord, LegFilter, OpenChunk
from index.record import check_same_record, check_vectors
from index.times import is_within
from schemas.errors import BrokenIndexError, ConfigError, TransientError, UnknownTenantError
from schemas.identity import Document, Source, Tenant
from schemas.records import Coordinates

_K1 = 1.2
_B = 0.75
# The preset `en` of the store.
# fmt: off
_STOP_WORDS = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not",
    "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was",
    "will", "with",
))
# fmt: on


@dataclass(slots=True)
class _Shard:
    """All rows of one tenant."""

    heads: dict[int, Head] = field(default_factory=dict)
    documents: dict[RowId, DocumentRow] = field(default_factory=dict)
    chunks: dict[ChunkId, ChunkRow] = field(default_factory=dict)


class MemoryIndex:
    """One incarnation in this process's memory; it ends with the process. Errors are the port's."""

    def __init__(self, identity: IndexIdentity) -> None:
        self._identity = identity
        self._record: IndexRecord | None = None
        self._shards: dict[Tenant, _Shard] = {}
        self._offsets: dict[int, int] = {}
        self._closed = False
        self.connection = 0
        """See the port; a test that puts an older state back counts it up."""

    @property
    def identity(self) -> IndexIdentity:
        """Which build this is."""
        return self._identity

    async def create(self, record: IndexRecord) -> None:
        """Keep the index record; raises ConfigError on another one."""
        self._check_open()
        if self._record is None:
            self._record = record
        check_same_record(self._record, record)

    async def record(self) -> IndexRecord | None:
        """What the index was created with."""
        self._check_open()
        return self._record

    async def create_tenant(self, first: Head) -> None:
        """A shard and its first head; a shard without head is completed only while it holds no document row."""
        self._check_open()
        shard = self._shards.setdefault(first.tenant, _Shard())
        if shard.heads:
            return
        if shard.documents:
            raise BrokenIndexError(f"tenant {first.tenant} has document rows but no head")
        shard.heads[first.epoch] = first

    async def tenants(self) -> frozenset[Tenant]:
        """Every tenant with a shard."""
        self._check_open()
        return frozenset(self._shards)

    async def heads(self, tenant: Tenant) -> tuple[Head, ...]:
        """All heads of a tenant."""
        heads = tuple(self._shard(tenant).heads.values())
        if not heads:
            raise BrokenIndexError(f"tenant {tenant} has a shard but no head")
        return heads

    async def put_head(self, head: Head) -> None:
        """Write or replace the head of (tenant, epoch)."""
        self._shard(head.tenant).heads[head.epoch] = head

    async def drop_heads(self, tenant: Tenant, epochs: Collection[int]) -> None:
        """Remove heads; absent ones are fine."""
        heads = self._shard(tenant).heads
        for epoch in epochs:
            heads.pop(epoch, None)

    async def insert_chunks(self, tenant: Tenant, rows: Sequence[ChunkRow]) -> None:
        """Insert rows with vectors."""
        shard = self._shard(tenant)
        if self._record is None:
            raise ConfigError(f"the index {self._identity} does not exist yet")
        check_vectors(rows, self._record.dimension)
        shard.chunks.update({row.id: row for row in rows})

    async def insert_documents(self, tenant: Tenant, rows: Sequence[DocumentRow]) -> None:
        """Insert document rows."""
        self._shard(tenant).documents.update({row.id: row for row in rows})

    async def document_rows(
        self, tenant: Tenant, documents: Collection[Document], *, at: Seq
    ) -> Mapping[Document, tuple[DocumentRow, ...]]:
        """Rows with from_seq <= at < to_seq of each document, newest first."""
        rows: dict[Document, list[DocumentRow]] = {document: [] for document in documents}
        for row in self._shard(tenant).documents.values():
            if row.document in rows and row.from_seq <= at < row.to_seq:
                rows[row.document].append(row)
        return {document: _newest_first(of_one) for document, of_one in rows.items()}

    async def document_history(
        self, document: Document, *, limit: int, below: Seq | None = None
    ) -> tuple[DocumentRow, ...]:
        """Rows of one document with from_seq < below, newest first; rows of one seq are never parted."""
        rows = _newest_first(
            row
            for row in self._shard(document.tenant).documents.values()
            if row.document == document and (below is None or row.from_seq < below)
        )
        if len(rows) <= limit:
            return rows
        last = rows[limit - 1].from_seq
        return tuple(row for row in rows if row.from_seq >= last)

    async def rows_at(self, tenant: Tenant, seq: Seq) -> tuple[DocumentRow, ...]:
        """Every document row with exactly this from_seq."""
        return _newest_first(row for row in self._shard(tenant).documents.values() if row.from_seq == seq)

    async def changed_documents(
        self, tenant: Tenant, *, after: Seq, at_most: Seq, limit: int
    ) -> frozenset[Document] | None:
        """Documents with a row, valid or not, of after < from_seq <= at_most; None: over `limit` rows."""
        rows = [row.document for row in self._shard(tenant).documents.values() if after < row.from_seq <= at_most]
        return frozenset(rows) if len(rows) <= limit else None

    async def rows_made_of(
        self, tenant: Tenant, records: Mapping[Document, Coordinates]
    ) -> Mapping[Document, tuple[DocumentRow, ...]]:
        """Rows of each document that were made of this record, newest first; one without any is missing."""
        made: dict[Document, list[DocumentRow]] = defaultdict(list)
        for row in self._shard(tenant).documents.values() if records else ():
            if records.get(row.document) == row.mutation:
                made[row.document].append(row)
        return {document: _newest_first(rows) for document, rows in made.items()}

    async def source_rows(self, tenant: Tenant, source: Source) -> AsyncIterator[DocumentRow]:
        """Every document row of a source."""
        for row in tuple(self._shard(tenant).documents.values()):
            if row.document.source == source:
                yield row

    async def vector_leg(self, tenant: Tenant, vector: Vector, where: LegFilter, limit: int) -> tuple[Hit, ...]:
        """Nearest rows by cosine, best first."""
        return _best(
            ((row, _cosine(row.vector, vector)) for row in self._shard(tenant).chunks.values() if _matches(row, where)),
            limit,
        )

    async def lexical_leg(self, tenant: Tenant, question: str, where: LegFilter, limit: int) -> tuple[Hit, ...]:
        """Best rows by BM25 over text, title and headings, best first."""
        rows = tuple(self._shard(tenant).chunks.values())
        scores = _bm25(rows, _words(question))
        return _best(((row, scores[row.id]) for row in rows if row.id in scores and _matches(row, where)), limit)

    async def chunks(
        self, tenant: Tenant, ids: Collection[ChunkId], *, vectors: bool = False
    ) -> Mapping[ChunkId, ChunkRow]:
        """Rows by id."""
        rows = self._shard(tenant).chunks
        return {id_: rows[id_] if vectors else replace(rows[id_], vector=None) for id_ in ids if id_ in rows}

    async def open_chunks(self, documents: Collection[Document], *, limit: int) -> tuple[OpenChunk, ...]:
        """Up to `limit` chunk rows of one tenant's documents that are not closed."""
        found = (
            OpenChunk(row.id, row.document, row.epoch, row.from_seq)
            for tenant in {document.tenant for document in documents}
            for row in self._shard(tenant).chunks.values()
            if row.document in documents and row.to_seq == OPEN
        )
        return tuple(islice(found, limit))

    async def in_graph(self, tenant: Tenant, ids: Collection[ChunkId]) -> frozenset[ChunkId]:
        """Those of these chunk rows that are there: a twin's vector search has no graph to lose them from."""
        return frozenset(ids & self._shard(tenant).chunks.keys())

    async def in_words(self, tenant: Tenant, words: Mapping[ChunkId, str]) -> frozenset[ChunkId]:
        """Those of these chunk rows that are found by the word named."""
        rows = self._shard(tenant).chunks
        return frozenset(
            id_ for id_, word in words.items() if id_ in rows and {*_words(word)} <= {*_words(rows[id_].text)}
        )

    async def count_documents(self, tenant: Tenant) -> int:
        """How many document rows a tenant has."""
        return len(self._shard(tenant).documents)

    async def places(self, tenant: Tenant, *, after: Seq, at_most: Seq) -> tuple[Place, ...]:
        """Document rows with after < from_seq <= at_most, oldest first."""
        return _places(row for row in self._shard(tenant).documents.values() if after < row.from_seq <= at_most)

    async def open_places(self, documents: Collection[Document], *, at_most: Seq) -> tuple[Place, ...]:
        """Document rows with from_seq <= at_most that are not closed, oldest first."""
        return _places(
            row
            for tenant in {document.tenant for document in documents}
            for row in self._shard(tenant).documents.values()
            if row.document in documents and row.from_seq <= at_most and row.to_seq == OPEN
        )

    async def close_chunks(self, tenant: Tenant, closings: Mapping[ChunkId, Seq]) -> None:
        """Set `to_seq` of chunk rows; absent ones are fine."""
        rows = self._shard(tenant).chunks
        rows.update({id_: replace(rows[id_], to_seq=to_seq) for id_, to_seq in closings.items() if id_ in rows})

    async def close_documents(self, tenant: Tenant, closings: Mapping[RowId, Seq]) -> None:
        """Set `to_seq` of document rows; absent ones are fine."""
        rows = self._shard(tenant).documents
        rows.update({id_: replace(rows[id_], to_seq=to_seq) for id_, to_seq in closings.items() if id_ in rows})

    async def closed_chunks(self, tenant: Tenant, *, at_most: Seq, limit: int) -> tuple[ChunkId, ...]:
        """Up to `limit` chunk rows with to_seq <= at_most."""
        rows = self._shard(tenant).chunks.values()
        return tuple(islice((row.id for row in rows if row.to_seq <= at_most), limit))

    async def dead_chunks(self, tenant: Tenant, where: DeadRows, *, limit: int) -> tuple[ChunkId, ...]:
        """Up to `limit` chunk rows."""
        rows = self._shard(tenant).chunks.values()
        return tuple(islice((row.id for row in rows if _is_dead(row, where)), limit))

    async def dead_documents(self, tenant: Tenant, where: DeadRows, *, limit: int) -> tuple[RowId, ...]:
        """Up to `limit` document rows."""
        rows = self._shard(tenant).documents.values()
        return tuple(islice((row.id for row in rows if _is_dead(row, where)), limit))

    async def remove_chunks(self, tenant: Tenant, ids: Collection[ChunkId]) -> None:
        """Remove chunk rows; absent ones are fine."""
        rows = self._shard(tenant).chunks
        for id_ in ids:
            rows.pop(id_, None)

    async def remove_documents(self, tenant: Tenant, ids: Collection[RowId]) -> None:
        """Remove document rows; absent ones are fine."""
        rows = self._shard(tenant).documents
        for id_ in ids:
            rows.pop(id_, None)

    async def put_acknowledged(self, partition: int, offset: int) -> None:
        """Record the next offset to apply of a partition."""
        self._check_open()
        self._offsets[partition] = offset

    async def acknowledged(self) -> Acknowledged:
        """What `put_acknowledged` recorded."""
        self._check_open()
        return Acknowledged(dict(self._offsets))

    async def ready(self) -> bool:
        """Whether it is open."""
        return not self._closed

    async def close(self) -> None:
        """Every call after raises TransientError."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise TransientError("this connection to the index is closed")

    def _shard(self, tenant: Tenant) -> _Shard:
        self._check_open()
        shard = self._shards.get(tenant)
        if shard is None:
            raise UnknownTenantError("the index has no such tenant: run `millstream source apply`")
        return shard


def _newest_first(rows: Iterable[DocumentRow]) -> tuple[DocumentRow, ...]:
    return tuple(sorted(rows, key=lambda row: (row.from_seq, row.epoch), reverse=True))


def _places(rows: Iterable[DocumentRow]) -> tuple[Place, ...]:
    return tuple(
        Place(row.id, row.document, row.epoch, row.from_seq, row.to_seq, row.superseded, row.mutation)
        for row in sorted(rows, key=lambda row: (row.from_seq, row.epoch))
    )


def _is_dead(row: ChunkRow | DocumentRow, where: DeadRows) -> bool:
    return where.low <= row.epoch < where.below and row.from_seq > where.above


def _matches(row: ChunkRow, where: LegFilter) -> bool:
    return (
        row.from_seq <= where.at < row.to_seq
        and not where.principals.isdisjoint(row.acl)
        and (not where.sources or row.document.source in where.sources)
        and (not where.kinds or row.kind in where.kinds)
        and (not where.languages or row.language in where.languages)
        and set(where.labels) <= set(row.labels)
        and (not where.documents or row.document in where.documents)
        and is_within(row.event_time, where.after, where.before)
    )


def _best(scored: Iterable[tuple[ChunkRow, float]], limit: int) -> tuple[Hit, ...]:
    ranked = sorted(scored, key=lambda pair: (-pair[1], pair[0].id))
    return tuple(Hit(row.id, row.document, score) for row, score in ranked[:limit])


def _cosine(stored: Vector | None, asked: Vector) -> float:
    assert stored is not None
    return float(stored @ asked)


def _words(text: str) -> list[str]:
    """Lower-cased runs of letters and digits, as the store's `word` tokenisation."""
    return "".join(char if char.isalnum() else " " for char in text.lower()).split()


def _bm25(rows: Sequence[ChunkRow], question: Sequence[str]) -> Mapping[ChunkId, float]:
    """Score of every row that shares a word with the question: the sum over text, title and headings."""
    wanted = {word for word in question if word not in _STOP_WORDS}
    scores: dict[ChunkId, float] = defaultdict(float)
    headings = [" ".join(row.heading_path) for row in rows]
    for texts in ([row.text for row in rows], [row.title for row in rows], headings):
        counted = [Counter(_words(text)) for text in texts]
        average = sum(counts.total() for counts in counted) / max(1, len(counted)) or 1.0
        for word in wanted:
            frequency = sum(word in counts for counts in counted)
            idf = math.log(1 + (len(rows) - frequency + 0.5) / (frequency + 0.5))
            for row, counts in zip(rows, counted, strict=True):
                if count := counts[word]:
                    length = _K1 * (1 - _B + _B * counts.total() / average)
                    scores[row.id] += idf * count * (_K1 + 1) / (count + length)
    return scores
