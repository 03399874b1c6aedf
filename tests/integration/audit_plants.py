"""Plants, on a real Weaviate, what an audit has to find: what crashes, lost writes and old defects leave behind."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace

from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, Head, RowId, newest_head
from index.weaviate import WeaviateIndex
from index.weaviate import rows as codec
from index.weaviate.messages import batch_request
from schemas.identity import DocId, Tenant

_PADDING = 400
_TRIES = 60


async def head_of(index: WeaviateIndex, tenant: Tenant) -> Head:
    head = newest_head(await index.heads(tenant))
    assert head is not None
    return head


async def vector_hole(index: WeaviateIndex, tenant: Tenant, victims: Sequence[ChunkId]) -> ChunkId:
    """Make one of these chunk rows a hole: removed, inserted by a call that is cut off, and under the same id again."""
    rows = list((await index.chunks(tenant, victims, vectors=True)).values())
    nowhere = replace(rows[0].document, doc_id=DocId("padding"))
    for number in range(_TRIES):
        padding = [replace(rows[0], id=ChunkId(str(uuid.uuid4())), document=nowhere) for _ in range(_PADDING)]
        await index.remove_chunks(tenant, victims)
        await _cut_off(index, tenant, [*rows, *padding], 0.01 + 0.01 * (number % 20))
        await index.insert_chunks(tenant, [*rows, *padding])
        found = await index.in_graph(tenant, victims)
        await index.remove_chunks(tenant, [row.id for row in padding])
        assert len(await index.chunks(tenant, victims)) == len(rows), "stored they all are"
        if holes := sorted(set(victims) - found):
            return holes[0]
    raise AssertionError(f"{_TRIES} inserts that were cut off left no hole")


async def _cut_off(index: WeaviateIndex, tenant: Tenant, rows: Sequence[ChunkRow], seconds: float) -> None:
    client = index._client
    request = batch_request(index._names.chunk, f"t_{tenant}", [codec.chunk_to_row(row) for row in rows])
    call = client._open().BatchObjects(request, metadata=client._metadata, timeout=60)
    attempt = asyncio.ensure_future(call)
    await asyncio.wait([attempt], timeout=seconds)
    attempt.cancel()
    await asyncio.wait([attempt])
    await asyncio.sleep(0.2)


async def resurrection(index: WeaviateIndex, older: DocumentRow) -> None:
    """A valid row at a new seq that says again what a document was before it was deleted; its commit was never told."""
    head = await head_of(index, older.document.tenant)
    seq = head.seq + 1
    row = replace(older, id=RowId(str(uuid.uuid4())), epoch=head.epoch, from_seq=seq, batch_from=head.seq, batch_to=seq)
    await index.insert_documents(older.document.tenant, [row])
    await index.put_head(replace(head, seq=seq))


async def head_ahead(index: WeaviateIndex, tenant: Tenant) -> None:
    """A head that publishes a seq of which there is no row."""
    head = await head_of(index, tenant)
    await index.put_head(replace(head, seq=head.seq + 1))


async def lost_row(index: WeaviateIndex, row: DocumentRow) -> None:
    """The newest row of a document gone."""
    await index.remove_documents(row.document.tenant, [row.id])
