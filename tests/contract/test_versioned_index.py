"""What every versioned index promises: creation, tenants, heads, document rows, chunks, offsets. Legs: test_legs.py."""

import asyncio
import logging
import uuid
from dataclasses import replace

import numpy as np
import pytest

from index.manifest import ChunkId
from index.model import Head, first_head
from index.port import VersionedIndex
from schemas.errors import BrokenIndexError, ConfigError, PermanentError, TransientError, UnknownTenantError
from schemas.identity import Source, Tenant
from tests.contract.conftest import BareShard, OpenIndex, new_tenant
from tests.contract.index_rows import (
    DIMENSION,
    NOW,
    SECRET,
    chunk_row,
    document,
    document_row,
    everyone,
    index_record,
    vector,
)


async def test_an_index_that_was_never_created_has_no_record(open_index: OpenIndex, incarnation: str) -> None:
    assert await (await open_index(incarnation)).record() is None


async def test_creating_an_index_twice_changes_nothing(open_index: OpenIndex, incarnation: str) -> None:
    index = await open_index(incarnation)
    record = index_record(index.identity)
    await index.create(record)
    await index.create(replace(record, created_at=NOW.replace(year=2027)))
    assert await index.record() == record
    assert await (await open_index(incarnation)).record() == record


async def test_an_index_of_another_recipe_is_refused_with_what_differs(open_index: OpenIndex, incarnation: str) -> None:
    index = await open_index(incarnation)
    await index.create(index_record(index.identity))
    with pytest.raises(ConfigError, match="redaction"):
        await index.create(index_record(index.identity, redaction="names"))
    record = index_record(index.identity)
    with pytest.raises(ConfigError, match=r"topic index\.mutations\.g1"):
        await index.create(replace(record, topics={"index.mutations.g1": ("topic-id", 8)}))
    with pytest.raises(ConfigError, match="dimension"):
        await index.create(replace(record, dimension=DIMENSION + 1))


async def test_a_store_that_runs_is_ready(index: VersionedIndex) -> None:
    assert await index.ready()


async def test_acknowledged_offsets_survive_their_writer(open_index: OpenIndex, incarnation: str) -> None:
    index = await open_index(incarnation)
    await index.create(index_record(index.identity))
    assert (await index.acknowledged()).offsets == {}
    for partition, offset in ((0, 5), (3, 1), (0, 2**40)):
        await index.put_acknowledged(partition, offset)
    again = await open_index(incarnation)
    assert (await again.acknowledged()).offsets == {0: 2**40, 3: 1}
    assert await again.record() is not None


async def test_a_tenant_that_nobody_created_is_unknown(index: VersionedIndex) -> None:
    nobody = Tenant("nobody")
    of = document(nobody)
    with pytest.raises(UnknownTenantError):
        await index.heads(nobody)
    with pytest.raises(UnknownTenantError):
        await index.vector_leg(nobody, vector(1.0), everyone(), 5)
    with pytest.raises(UnknownTenantError):
        await index.lexical_leg(nobody, "words", everyone(), 5)
    with pytest.raises(UnknownTenantError):
        await index.document_rows(nobody, [of], at=9)
    with pytest.raises(UnknownTenantError):
        await index.insert_chunks(nobody, [chunk_row(of)])
    with pytest.raises(UnknownTenantError):
        await index.put_head(first_head(nobody, NOW))


async def test_a_new_tenant_is_listed_and_has_its_first_head(index: VersionedIndex, tenant: Tenant) -> None:
    assert tenant in await index.tenants()
    assert await index.heads(tenant) == (first_head(tenant, NOW),)


async def test_creating_a_tenant_again_keeps_its_heads(index: VersionedIndex, tenant: Tenant) -> None:
    published = Head(tenant, epoch=4, seq=9, earlier={0: 0}, published_at=NOW)
    await index.put_head(published)
    await index.put_head(replace(first_head(tenant, NOW), seq=3))
    await index.create_tenant(first_head(tenant, NOW))
    assert set(map(_plain, await index.heads(tenant))) == {
        _plain(published),
        _plain(replace(first_head(tenant, NOW), seq=3)),
    }


async def test_the_shortest_and_the_longest_tenant_names_work(index: VersionedIndex) -> None:
    for name in (Tenant(f"z{uuid.uuid4().hex[0]}"), Tenant("y" * 62)):
        await index.create_tenant(first_head(name, NOW))
        assert await index.heads(name) == (first_head(name, NOW),)


async def test_a_head_is_replaced_whole(index: VersionedIndex, tenant: Tenant) -> None:
    first = Head(tenant, epoch=7, seq=1, earlier={0: 0, 3: 2**40}, published_at=NOW, swept_seq=1, history_from=1)
    second = Head(tenant, epoch=7, seq=2, earlier={0: 0}, published_at=NOW.replace(year=2027))
    await index.put_head(first)
    await index.put_head(second)
    assert [head for head in await index.heads(tenant) if head.epoch == 7] == [second]


async def test_dropped_heads_are_gone_and_absent_ones_are_fine(index: VersionedIndex, tenant: Tenant) -> None:
    for epoch in (3, 4, 7):
        await index.put_head(Head(tenant, epoch, seq=epoch, earlier={0: 0}, published_at=NOW))
    await index.drop_heads(tenant, [0, 3, 4, 99])
    await index.drop_heads(tenant, [])
    assert [head.epoch for head in await index.heads(tenant)] == [7]


async def test_more_heads_than_a_page_are_all_read(index: VersionedIndex, tenant: Tenant) -> None:
    for epoch in range(1, 20):
        await index.put_head(Head(tenant, epoch, seq=epoch, earlier={}, published_at=NOW))
    assert sorted(head.epoch for head in await index.heads(tenant)) == list(range(20))


async def test_a_head_never_vanishes_while_it_is_replaced(index: VersionedIndex, tenant: Tenant) -> None:
    done = asyncio.Event()

    async def replace_head() -> None:
        for seq in range(1, 60):
            await index.put_head(Head(tenant, 5, seq, {0: seq}, NOW, swept_seq=seq))
        done.set()

    async def read_heads() -> None:
        newest = 0
        while not done.is_set():
            heads = {head.epoch: head for head in await index.heads(tenant)}
            if newest:
                assert set(heads) == {0, 5}
            if 5 in heads:
                assert heads[5].seq == heads[5].swept_seq == heads[5].earlier[0]
                assert heads[5].seq >= newest
                newest = heads[5].seq
            await asyncio.sleep(0)

    await asyncio.gather(replace_head(), read_heads(), read_heads())


async def test_a_chunk_row_reads_back_as_it_was_written(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    full = chunk_row(of, text="Line one\n\tline two – “quoted” 泵", vector=vector(1, 2, 3))
    sparse = chunk_row(
        of, text="", title="", heading_path=(), acl=(), language=None, labels=(), event_time=None, pii=()
    )
    await index.insert_chunks(tenant, [full, sparse])
    missing = ChunkId(str(uuid.uuid4()))
    found = await index.chunks(tenant, [full.id, missing, sparse.id])
    assert found == {full.id: replace(full, vector=None), sparse.id: replace(sparse, vector=None)}


async def test_vectors_are_returned_when_asked_for(index: VersionedIndex, tenant: Tenant) -> None:
    row = chunk_row(document(tenant), vector=vector(3, -1, 2))
    await index.insert_chunks(tenant, [row])
    found = (await index.chunks(tenant, [row.id], vectors=True))[row.id].vector
    assert found is not None
    assert found.dtype == np.float32
    assert row.vector is not None
    assert np.allclose(found, row.vector, atol=1e-6)


async def test_a_thousand_chunks_are_written_and_read_at_once(index: VersionedIndex, tenant: Tenant) -> None:
    rows = [chunk_row(document(tenant), text=f"number {number}") for number in range(1050)]
    await index.insert_chunks(tenant, rows)
    found = await index.chunks(tenant, [row.id for row in rows])
    assert {id_: row.text for id_, row in found.items()} == {row.id: row.text for row in rows}


async def test_a_tenant_never_sees_rows_of_another(index: VersionedIndex, tenant: Tenant) -> None:
    other = await new_tenant(index)
    of = document(tenant)
    chunk, row = chunk_row(of), document_row(of, 1)
    await index.insert_chunks(tenant, [chunk])
    await index.insert_documents(tenant, [row])
    assert await index.chunks(other, [chunk.id]) == {}
    assert await index.document_rows(other, [of], at=9) == {of: ()}
    assert await index.rows_at(other, 1) == ()
    assert await index.vector_leg(other, vector(1.0), everyone(), 5) == ()
    assert await index.lexical_leg(other, "plain words", everyone(), 5) == ()
    assert [row async for row in index.source_rows(other, Source("docs"))] == []


async def test_a_refused_row_says_so_without_its_text(
    index: VersionedIndex, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    of = document(tenant, f"{SECRET} file")
    refused = chunk_row(of, text=f"{SECRET} sleeps", vector=np.ones(DIMENSION + 1, dtype=np.float32))
    with pytest.raises(PermanentError) as raised:
        await index.insert_chunks(tenant, [chunk_row(of, text=SECRET), refused])
    assert SECRET not in str(raised.value)
    assert raised.value.reason == "refused_row"
    assert SECRET not in caplog.text


async def test_nothing_that_is_written_or_asked_is_logged(
    index: VersionedIndex, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    of = document(tenant, f"{SECRET} file")
    row = chunk_row(of, text=f"{SECRET} sleeps", title=SECRET)
    await index.insert_chunks(tenant, [row])
    await index.insert_documents(tenant, [document_row(of, 1, title=SECRET)])
    assert await index.lexical_leg(tenant, f"where is {SECRET}?", everyone(), 5)
    assert (await index.chunks(tenant, [row.id]))[row.id].text == row.text
    with pytest.raises(UnknownTenantError) as raised:
        await index.lexical_leg(Tenant("nobody"), SECRET, everyone(), 5)
    assert SECRET not in str(raised.value) + caplog.text


async def test_a_write_ends_even_when_its_caller_is_cancelled(index: VersionedIndex, tenant: Tenant) -> None:
    rows = [chunk_row(document(tenant), text=f"number {number}") for number in range(200)]
    writing = asyncio.create_task(index.insert_chunks(tenant, rows))
    await asyncio.sleep(0.005)
    writing.cancel()
    await asyncio.wait({writing})
    stored = await index.chunks(tenant, [row.id for row in rows])
    assert len(stored) in (0, len(rows))
    found = await index.vector_leg(tenant, vector(1.0), everyone(), len(rows))
    assert {hit.chunk_id for hit in found} == set(stored)


async def test_a_shard_without_head_is_broken_until_its_creation_is_completed(
    index: VersionedIndex, bare_shard: BareShard
) -> None:
    tenant = await bare_shard()
    with pytest.raises(BrokenIndexError):
        await index.heads(tenant)
    await index.create_tenant(first_head(tenant, NOW))
    assert await index.heads(tenant) == (first_head(tenant, NOW),)


async def test_a_shard_with_document_rows_but_no_head_is_never_completed(
    index: VersionedIndex, bare_shard: BareShard
) -> None:
    tenant = await bare_shard()
    await index.insert_documents(tenant, [document_row(document(tenant), 1)])
    with pytest.raises(BrokenIndexError):
        await index.create_tenant(first_head(tenant, NOW))
    with pytest.raises(BrokenIndexError):
        await index.heads(tenant)


async def test_a_closed_store_fails_reads_and_writes_as_transient(open_index: OpenIndex, incarnation: str) -> None:
    index = await open_index(incarnation)
    await index.create(index_record(index.identity))
    tenant = await new_tenant(index)
    await index.close()
    with pytest.raises(TransientError):
        await index.heads(tenant)
    with pytest.raises(TransientError):
        await index.put_head(first_head(tenant, NOW))
    assert not await index.ready()


def _plain(head: Head) -> tuple[object, ...]:
    return head.epoch, head.seq, tuple(head.earlier.items()), head.published_at
