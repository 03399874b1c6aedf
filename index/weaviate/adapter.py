"""The versioned index in Weaviate (design §5): the port's questions as queries, its rows as rows of its collections."""

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, Head, IndexIdentity, Place, RowId, Seq, Vector, head_id
from index.port import Acknowledged, DeadRows, Hit, IndexRecord, LegFilter, OpenChunk
from index.record import check_same_record, check_vectors
from index.weaviate import rows as codec
from index.weaviate import sweeping
from index.weaviate.administration import Administration
from index.weaviate.auditing import AuditedRows
from index.weaviate.client import Client, NoCollectionError, StoreAddress
from index.weaviate.legs import LEXICAL, batches, leg_conditions
from index.weaviate.newest import NewestRows
from index.weaviate.query import MAX_ROWS, ROW_ID, Condition, Found, Operator, Query, Row
from index.weaviate.schema import CHUNK, DOCUMENT, HEAD, META, Collections
from schemas.errors import BrokenIndexError, ConfigError
from schemas.identity import Document, Source, Tenant
from schemas.records import Coordinates

PAGE_ROWS = 500
_IDS_AT_ONCE = 1000
_NEWEST_FIRST = ("from_seq", "epoch")


class WeaviateIndex:
    """One incarnation in a Weaviate. Connects at its first call, in the running event loop.

    `prefix` keeps several indexes on one server apart; it starts with a capital. Errors are the port's.
    """

    def __init__(
        self,
        address: StoreAddress,
        identity: IndexIdentity,
        *,
        prefix: str = "Ms",
        read_seconds: float = 5.0,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self._identity = identity
        self._names = Collections.of(identity, prefix)
        self._client = Client(address, read_seconds=read_seconds)
        self._newest = NewestRows(self._client, self._names.document)
        self._swept = sweeping.SweptRows(self._client)
        self._audited = AuditedRows(self._client, self._names.chunk)
        self._administration = Administration(address)
        self._page_rows = page_rows
        self._dimension: int | None = None

    @property
    def identity(self) -> IndexIdentity:
        """Which build this is."""
        return self._identity

    @property
    def connection(self) -> int:
        """Which connection to the store this is."""
        return self._client.connection

    async def create(self, record: IndexRecord) -> None:
        """Create collections and the index record; where they exist, nothing. Raises ConfigError on another record."""
        existing = await self.record()
        if existing is not None:
            check_same_record(existing, record)
            return
        await self._administration.create_collections(self._names.shapes())
        await self._put_meta("record", {"record": codec.record_to_text(record)})

    async def record(self) -> IndexRecord | None:
        """What the index was created with; None where there is none."""
        try:
            listed = await self._list(self._names.meta, tuple(META))
        except NoCollectionError:
            return None
        texts = [str(row.properties["record"]) for row in listed if "record" in row.properties]
        return codec.text_to_record(texts[0]) if texts else None

    async def drop(self) -> None:
        """Drop the incarnation's collections with all their rows: for retired incarnations. The heads go first: without
        them no read begins, so whoever has not heard of it reads nothing old.
        """
        names = [shape.name for shape in self._names.shapes()]
        for name in sorted(names, key=lambda name: name != self._names.head):
            await self._administration.drop_collections([name])

    async def counts(self, tenant: Tenant) -> tuple[int, int]:
        """How many chunk rows and document rows a tenant has, closed ones too: for operators and benchmarks."""
        chunks, documents = self._names.chunk, self._names.document
        return await self._client.count(chunks, _shard(tenant)), await self._client.count(documents, _shard(tenant))

    async def create_tenant(self, first: Head) -> None:
        """Create the tenant's shards and first head; where both exist, nothing.

        A shard without a head is completed only while it holds no document row; otherwise BrokenIndexError.
        """
        tenant = first.tenant
        await self._administration.create_shards(self._names.of_tenants, _shard(tenant))
        if await self._list(self._names.head, tuple(HEAD), tenant):
            return
        if await self._client.search(Query(self._names.document, 1, _shard(tenant))):
            raise BrokenIndexError(f"tenant {tenant} has document rows but no head: restore the store from its backup")
        await self.put_head(first)

    async def tenants(self) -> frozenset[Tenant]:
        """Every tenant with a shard."""
        return frozenset(Tenant(name.removeprefix("t_")) for name in await self._client.tenants(self._names.head))

    async def heads(self, tenant: Tenant) -> tuple[Head, ...]:
        """All heads, listed past every inverted index: there, a row being replaced is missing for milliseconds."""
        listed = await self._list(self._names.head, tuple(HEAD), tenant)
        if not listed:
            raise BrokenIndexError(f"tenant {tenant} has a shard but no head: run `millstream source apply`")
        return tuple(codec.row_to_head(tenant, row) for row in listed)

    async def put_head(self, head: Head) -> None:
        """Write or replace the head of (tenant, epoch), at once and whole."""
        row = codec.head_to_row(self._identity, head)
        await self._client.write(self._names.head, _shard(head.tenant), [row])

    async def drop_heads(self, tenant: Tenant, epochs: Collection[int]) -> None:
        """Remove heads; absent ones are fine."""
        ids = [head_id(self._identity, tenant, epoch) for epoch in epochs]
        for start in range(0, len(ids), _IDS_AT_ONCE):
            await self._client.delete(self._names.head, _shard(tenant), ids[start : start + _IDS_AT_ONCE])

    async def insert_chunks(self, tenant: Tenant, rows: Sequence[ChunkRow]) -> None:
        """Insert rows with vectors, some hundred a message; searchable in both legs when it returns."""
        if rows:
            check_vectors(rows, await self._known_dimension())
            await self._insert(self._names.chunk, tenant, (codec.chunk_to_row(row) for row in rows))

    async def insert_documents(self, tenant: Tenant, rows: Sequence[DocumentRow]) -> None:
        """Insert document rows; readable when it returns."""
        await self._insert(self._names.document, tenant, (codec.document_to_row(row) for row in rows))

    async def document_rows(
        self, tenant: Tenant, documents: Collection[Document], *, at: Seq
    ) -> Mapping[Document, tuple[DocumentRow, ...]]:
        """Rows with from_seq <= at < to_seq of each document, newest first: the 32 newest of each."""
        return await self._newest.read(_shard(tenant), tuple(documents), at) if documents else {}

    async def document_history(
        self, document: Document, *, limit: int, below: Seq | None = None
    ) -> tuple[DocumentRow, ...]:
        """Rows of one document with from_seq < below, newest first; rows of one seq are never parted."""
        of_document = Condition("document", Operator.EQUAL, document.key)
        conditions = [of_document]
        if below is not None:
            conditions.append(Condition("from_seq", Operator.BELOW, below))
        found = await self._documents(document.tenant, *conditions, limit=limit, newest_by=_NEWEST_FIRST)
        if len(found) == limit and found:
            last = Condition("from_seq", Operator.EQUAL, found[-1].from_seq)
            found += await self._documents(document.tenant, of_document, last)
        return _newest_first(found)

    async def rows_at(self, tenant: Tenant, seq: Seq) -> tuple[DocumentRow, ...]:
        """Every document row with exactly this from_seq."""
        return _newest_first(await self._documents(tenant, Condition("from_seq", Operator.EQUAL, seq)))

    async def changed_documents(
        self, tenant: Tenant, *, after: Seq, at_most: Seq, limit: int
    ) -> frozenset[Document] | None:
        """Documents with a row, valid or not, of after < from_seq <= at_most; None: over `limit` rows."""
        between = (Condition("from_seq", Operator.ABOVE, after), Condition("from_seq", Operator.AT_MOST, at_most))
        query = Query(self._names.document, limit + 1, _shard(tenant), between, properties=("document",))
        found = await self._client.search(query)
        if len(found) > limit:
            return None
        return frozenset(codec.document_of_key(str(row.properties["document"])) for row in found)

    async def rows_made_of(
        self, tenant: Tenant, records: Mapping[Document, Coordinates]
    ) -> Mapping[Document, tuple[DocumentRow, ...]]:
        """Rows of each document that were made of this record, newest first; one without any is missing."""
        if not records:
            return {}
        made: dict[Document, list[DocumentRow]] = defaultdict(list)
        for row in await self._documents(
            tenant,
            Condition("document", Operator.ANY_OF, tuple(document.key for document in records)),
            Condition("mutation", Operator.ANY_OF, tuple(str(at) for at in records.values())),
        ):
            if records.get(row.document) == row.mutation:
                made[row.document].append(row)
        return {document: _newest_first(rows) for document, rows in made.items()}

    async def source_rows(self, tenant: Tenant, source: Source) -> AsyncIterator[DocumentRow]:
        """Every document row of a source, in no order: pages of the whole shard, because a filter cannot be paged."""
        async for row in self._pages(self._names.document, tuple(DOCUMENT), tenant):
            if row.properties.get("source") == source:
                yield codec.row_to_document(row)

    async def vector_leg(self, tenant: Tenant, vector: Vector, where: LegFilter, limit: int) -> tuple[Hit, ...]:
        """Nearest rows by cosine, best first."""
        return await self._leg(
            Query(
                self._names.chunk,
                limit,
                _shard(tenant),
                leg_conditions(where),
                near=codec.vector_bytes(vector),
                properties=("document",),
            )
        )

    async def lexical_leg(self, tenant: Tenant, question: str, where: LegFilter, limit: int) -> tuple[Hit, ...]:
        """Best rows by BM25 over text and title, best first; the store refuses a question without text."""
        return await self._leg(
            Query(
                self._names.chunk,
                limit,
                _shard(tenant),
                leg_conditions(where),
                words=(question if question.strip() else "-", LEXICAL),
                properties=("document",),
            )
        )

    async def chunks(
        self, tenant: Tenant, ids: Collection[ChunkId], *, vectors: bool = False
    ) -> Mapping[ChunkId, ChunkRow]:
        """Rows by id; an id that does not exist is missing from the answer. `vector` is None unless asked for."""
        found: list[Found] = []
        wanted = tuple(dict.fromkeys(ids))
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            some = wanted[start : start + _IDS_AT_ONCE]
            query = Query(
                self._names.chunk,
                len(some),
                _shard(tenant),
                (Condition(ROW_ID, Operator.ANY_OF, some),),
                properties=tuple(CHUNK),
                vectors=vectors,
            )
            found += await self._client.search(query)
        return {ChunkId(row.id): codec.row_to_chunk(row) for row in found}

    async def open_chunks(self, documents: Collection[Document], *, limit: int) -> tuple[OpenChunk, ...]:
        """Up to `limit` chunk rows of one tenant's documents that are not closed, listed or not."""
        if not documents:
            return ()
        (tenant,) = {document.tenant for document in documents}
        return await self._audited.open_chunks(_shard(tenant), {document.key for document in documents}, limit)

    async def in_graph(self, tenant: Tenant, ids: Collection[ChunkId]) -> frozenset[ChunkId]:
        """Those of these chunk rows that the vector graph has."""
        return await self._audited.in_graph(_shard(tenant), tuple(ids), await self._known_dimension())

    async def in_words(self, tenant: Tenant, words: Mapping[ChunkId, str]) -> frozenset[ChunkId]:
        """Those of these chunk rows that are found by the word named."""
        return await self._audited.in_words(_shard(tenant), words)

    async def count_documents(self, tenant: Tenant) -> int:
        """How many document rows a tenant has, valid or not."""
        return await self._client.count(self._names.document, _shard(tenant))

    async def places(self, tenant: Tenant, *, after: Seq, at_most: Seq) -> tuple[Place, ...]:
        """Document rows, valid or not, with after < from_seq <= at_most, oldest first."""
        return await self._swept.places(self._names.document, _shard(tenant), *sweeping.between(after, at_most))

    async def open_places(self, documents: Collection[Document], *, at_most: Seq) -> tuple[Place, ...]:
        """Document rows of one tenant's documents with from_seq <= at_most that are not closed, oldest first."""
        if not documents:
            return ()
        (tenant,) = {document.tenant for document in documents}
        conditions = sweeping.still_open(tuple({document.key for document in documents}), at_most)
        return await self._swept.places(self._names.document, _shard(tenant), *conditions)

    async def close_chunks(self, tenant: Tenant, closings: Mapping[ChunkId, Seq]) -> None:
        """Set `to_seq` of chunk rows, and nothing else; absent ones are fine."""
        wanted = {str(id_): to_seq for id_, to_seq in closings.items()}
        await self._swept.close(self._names.chunk, _shard(tenant), tuple(CHUNK), wanted, vectors=True)

    async def close_documents(self, tenant: Tenant, closings: Mapping[RowId, Seq]) -> None:
        """Set `to_seq` of document rows, and nothing else; absent ones are fine."""
        wanted = {str(id_): to_seq for id_, to_seq in closings.items()}
        await self._swept.close(self._names.document, _shard(tenant), tuple(DOCUMENT), wanted, vectors=False)

    async def closed_chunks(self, tenant: Tenant, *, at_most: Seq, limit: int) -> tuple[ChunkId, ...]:
        """Up to `limit` chunk rows with to_seq <= at_most."""
        found = await self._swept.ids(self._names.chunk, _shard(tenant), limit, *sweeping.closed_by(at_most))
        return tuple(ChunkId(id_) for id_ in found)

    async def dead_chunks(self, tenant: Tenant, where: DeadRows, *, limit: int) -> tuple[ChunkId, ...]:
        """Up to `limit` chunk rows that nothing published counts."""
        found = await self._swept.ids(self._names.chunk, _shard(tenant), limit, *sweeping.dead(where))
        return tuple(ChunkId(id_) for id_ in found)

    async def dead_documents(self, tenant: Tenant, where: DeadRows, *, limit: int) -> tuple[RowId, ...]:
        """Up to `limit` document rows that nothing published counts."""
        found = await self._swept.ids(self._names.document, _shard(tenant), limit, *sweeping.dead(where))
        return tuple(RowId(id_) for id_ in found)

    async def remove_chunks(self, tenant: Tenant, ids: Collection[ChunkId]) -> None:
        """Remove chunk rows; absent ones are fine."""
        await self._swept.remove(self._names.chunk, _shard(tenant), tuple(ids))

    async def remove_documents(self, tenant: Tenant, ids: Collection[RowId]) -> None:
        """Remove document rows; absent ones are fine."""
        await self._swept.remove(self._names.document, _shard(tenant), tuple(ids))

    async def put_acknowledged(self, partition: int, offset: int) -> None:
        """Record the next offset to apply of a partition of index.mutations."""
        await self._put_meta(f"acknowledged {partition}", {"partition": partition, "offset": offset})

    async def acknowledged(self) -> Acknowledged:
        """What `put_acknowledged` recorded."""
        listed = await self._list(self._names.meta, tuple(META))
        pairs = ((row.properties.get("partition"), row.properties.get("offset")) for row in listed)
        return Acknowledged(
            {part: offset for part, offset in pairs if isinstance(part, int) and isinstance(offset, int)}
        )

    async def ready(self) -> bool:
        """Whether the store answers."""
        return await self._client.ready()

    async def close(self) -> None:
        """Let running writes end and release the connection; every call after raises TransientError."""
        await self._client.close()

    async def _leg(self, query: Query) -> tuple[Hit, ...]:
        found = await self._client.search(query)
        return tuple(
            Hit(ChunkId(row.id), codec.document_of_key(str(row.properties["document"])), row.score) for row in found
        )

    async def _documents(
        self, tenant: Tenant, *conditions: Condition, limit: int = MAX_ROWS, newest_by: tuple[str, ...] = ()
    ) -> list[DocumentRow]:
        query = Query(
            self._names.document,
            limit,
            _shard(tenant),
            conditions,
            newest_by=newest_by,
            properties=tuple(DOCUMENT),
        )
        return [codec.row_to_document(row) for row in await self._client.search(query)]

    async def _list(self, collection: str, properties: tuple[str, ...], tenant: Tenant | None = None) -> list[Found]:
        return [row async for row in self._pages(collection, properties, tenant)]

    async def _pages(self, collection: str, properties: tuple[str, ...], tenant: Tenant | None) -> AsyncIterator[Found]:
        after: str | None = None
        shard = None if tenant is None else _shard(tenant)
        while True:
            page = await self._client.search(
                Query(collection, self._page_rows, shard, after=after, properties=properties)
            )
            for row in page:
                yield row
            if len(page) < self._page_rows:
                return
            after = page[-1].id

    async def _insert(self, collection: str, tenant: Tenant, rows: Iterable[Row]) -> None:
        for batch in batches(rows):
            await self._client.write(collection, _shard(tenant), batch)

    async def _put_meta(self, what: str, properties: Mapping[str, str | int]) -> None:
        row_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._identity} {what}"))
        await self._client.write(self._names.meta, None, [Row(row_id, properties)])

    async def _known_dimension(self) -> int:
        if self._dimension is None:
            record = await self.record()
            if record is None:
                raise ConfigError(f"the index {self._identity} does not exist yet: run `millstream up`")
            self._dimension = record.dimension
        return self._dimension


def _shard(tenant: Tenant) -> str:
    """Names of a store's tenants have at least four characters, ours may have two."""
    return f"t_{tenant}"


def _newest_first(rows: Iterable[DocumentRow]) -> tuple[DocumentRow, ...]:
    distinct = {row.id: row for row in rows}
    return tuple(sorted(distinct.values(), key=lambda row: (row.from_seq, row.epoch), reverse=True))
