"""What every versioned index promises the sweep: to find, close and remove rows, and to touch no others."""

from dataclasses import replace

import pytest

from index.manifest import ChunkId
from index.model import OPEN, RowId
from index.port import DeadRows, VersionedIndex
from schemas.errors import UnknownTenantError
from schemas.identity import Tenant
from tests.contract.conftest import new_tenant
from tests.contract.index_rows import chunk_row, document, document_row, everyone, ids, vector

ABSENT = "00000000-0000-4000-8000-000000000000"


async def test_a_closed_chunk_is_found_before_its_end_and_not_from_it_on(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    closed, kept = (chunk_row(of, text="red apples", from_seq=2, vector=vector(1.0, weight)) for weight in (0.1, 0.2))
    await index.insert_chunks(tenant, [closed, kept])
    await index.close_chunks(tenant, {closed.id: 5})
    for at, found in ((4, {closed.id, kept.id}), (5, {kept.id})):
        near = await index.vector_leg(tenant, vector(1.0), everyone(at), 9)
        worded = await index.lexical_leg(tenant, "apples", everyone(at), 9)
        assert ({hit.chunk_id for hit in near}, {hit.chunk_id for hit in worded}) == (found, found)


async def test_closing_changes_nothing_but_the_end(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    full, sparse = chunk_row(of), chunk_row(of, labels=(), pii=(), heading_path=(), language=None, event_time=None)
    await index.insert_chunks(tenant, [full, sparse])
    before = await index.chunks(tenant, [full.id, sparse.id], vectors=True)
    await index.close_chunks(tenant, {full.id: 7, sparse.id: 9})
    after = await index.chunks(tenant, [full.id, sparse.id], vectors=True)
    for row, to_seq in ((full, 7), (sparse, 9)):
        was, now = before[row.id], after[row.id]
        assert was.vector is not None
        assert now.vector is not None
        assert was.vector.tobytes() == now.vector.tobytes()
        assert replace(now, vector=None) == replace(was, vector=None, to_seq=to_seq)


async def test_closing_twice_is_closing_once_and_absent_rows_stay_absent(index: VersionedIndex, tenant: Tenant) -> None:
    row, of_document = chunk_row(document(tenant)), document_row(document(tenant), 1)
    await index.insert_chunks(tenant, [row])
    await index.insert_documents(tenant, [of_document])
    for _ in range(2):
        await index.close_chunks(tenant, {row.id: 4, ChunkId(ABSENT): 4})
        await index.close_documents(tenant, {of_document.id: 4, RowId(ABSENT): 4})
    await index.close_chunks(tenant, {})
    assert (await index.chunks(tenant, [row.id]))[row.id].to_seq == 4
    assert await index.chunks(tenant, [ChunkId(ABSENT)]) == {}
    assert await index.rows_at(tenant, 1) == (replace(of_document, to_seq=4),)
    assert len(await index.places(tenant, after=0, at_most=9)) == 1


async def test_many_rows_are_closed_and_removed_in_one_call(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    rows = [chunk_row(of, from_seq=1) for _ in range(450)]
    await index.insert_chunks(tenant, rows)
    await index.close_chunks(tenant, {row.id: 3 for row in rows})
    assert len(await index.closed_chunks(tenant, at_most=3, limit=1000)) == 450
    assert len(await index.closed_chunks(tenant, at_most=3, limit=100)) == 100
    await index.remove_chunks(tenant, ids(rows[:440]))
    assert set(await index.closed_chunks(tenant, at_most=3, limit=1000)) == ids(rows[440:])


async def test_a_closed_document_row_is_in_force_until_its_end_and_stays_in_the_trail(
    index: VersionedIndex, tenant: Tenant
) -> None:
    of = document(tenant)
    first, second = document_row(of, 3), document_row(of, 6)
    await index.insert_documents(tenant, [first, second])
    await index.close_documents(tenant, {first.id: 6})
    closed = replace(first, to_seq=6)
    assert await index.document_rows(tenant, [of], at=2) == {of: ()}
    assert await index.document_rows(tenant, [of], at=3) == {of: (closed,)}
    assert await index.document_rows(tenant, [of], at=5) == {of: (closed,)}
    assert await index.document_rows(tenant, [of], at=6) == {of: (second,)}
    assert await index.document_history(of, limit=9) == (second, closed)
    assert await index.rows_made_of(tenant, {of: first.mutation}) == {of: (closed,)}


async def test_places_are_those_of_a_stretch_oldest_first(index: VersionedIndex, tenant: Tenant) -> None:
    one, other = document(tenant, "one"), document(tenant, "other")
    rows = [document_row(one, 1), document_row(other, 2, epoch=2), document_row(one, 2, epoch=1), document_row(one, 3)]
    await index.insert_documents(tenant, rows)
    found = await index.places(tenant, after=1, at_most=3)
    assert [place.id for place in found] == [rows[2].id, rows[1].id, rows[3].id]
    place, row = found[2], rows[3]
    assert (place.document, place.epoch, place.from_seq, place.to_seq) == (one, 1, 3, OPEN)
    assert (set(place.superseded), place.mutation) == (set(row.superseded), row.mutation)
    assert await index.places(tenant, after=3, at_most=99) == ()


async def test_open_places_are_the_documents_rows_that_are_not_closed(index: VersionedIndex, tenant: Tenant) -> None:
    one, other, third = (document(tenant, name) for name in ("one", "other", "third"))
    rows = [document_row(one, 1), document_row(one, 2), document_row(other, 3), document_row(third, 4)]
    later = document_row(one, 5)
    await index.insert_documents(tenant, [*rows, later])
    await index.close_documents(tenant, {rows[0].id: 2})
    found = await index.open_places({one, other}, at_most=4)
    assert [place.id for place in found] == [rows[1].id, rows[2].id]
    assert await index.open_places(set(), at_most=9) == ()


async def test_dead_rows_are_told_by_epoch_and_seq(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    documents = {(epoch, seq): document_row(of, seq, epoch=epoch) for epoch in (2, 3, 4, 5) for seq in (4, 5, 6)}
    chunks = {key: chunk_row(of, epoch=key[0], from_seq=key[1]) for key in documents}
    await index.insert_documents(tenant, list(documents.values()))
    await index.insert_chunks(tenant, list(chunks.values()))
    dead = [(3, 5), (3, 6), (4, 5), (4, 6)]
    where = DeadRows(low=3, below=5, above=4)
    assert set(await index.dead_documents(tenant, where, limit=99)) == {documents[key].id for key in dead}
    assert set(await index.dead_chunks(tenant, where, limit=99)) == {chunks[key].id for key in dead}
    assert len(await index.dead_documents(tenant, where, limit=3)) == 3
    assert len(await index.dead_chunks(tenant, where, limit=3)) == 3
    assert len(await index.dead_chunks(tenant, DeadRows(3, 4, -1), limit=99)) == 3


async def test_removed_rows_are_gone_and_nothing_else_is(index: VersionedIndex, tenant: Tenant) -> None:
    of, elsewhere = document(tenant), await new_tenant(index)
    rows = [chunk_row(of, text="red apples", vector=vector(1.0, weight)) for weight in (0.1, 0.2, 0.3)]
    of_document = [document_row(of, 1), document_row(of, 2)]
    await index.insert_chunks(tenant, rows)
    await index.insert_documents(tenant, of_document)
    other = chunk_row(document(elsewhere))
    await index.insert_chunks(elsewhere, [other])
    await index.remove_chunks(tenant, [rows[0].id, other.id, ChunkId(ABSENT)])
    await index.remove_documents(tenant, [of_document[0].id, RowId(ABSENT)])
    await index.remove_chunks(tenant, [])
    assert {hit.chunk_id for hit in await index.vector_leg(tenant, vector(1.0), everyone(), 9)} == ids(rows[1:])
    assert {hit.chunk_id for hit in await index.lexical_leg(tenant, "apples", everyone(), 9)} == ids(rows[1:])
    assert await index.chunks(tenant, [rows[0].id]) == {}
    assert await index.document_history(of, limit=9) == (of_document[1],)
    assert set(await index.chunks(elsewhere, [other.id])) == {other.id}


async def test_the_sweep_of_an_unknown_tenant_is_refused(index: VersionedIndex) -> None:
    nobody = Tenant("nobody")
    with pytest.raises(UnknownTenantError):
        await index.places(nobody, after=0, at_most=9)
    with pytest.raises(UnknownTenantError):
        await index.closed_chunks(nobody, at_most=9, limit=9)
