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
from schemas.records import Coordinates
from schemas.versions import Version
from tests.contract.conftest import BareShard, OpenIndex, new_tenant
from tests.contract.index_rows import (
    DIMENSION,
    NOW,
    SECRET,
    chunk_row,
    document,
    document_row,
    entries,
    everyone,
    index_record,
    vector,
)

ODD_NAMES = [
    'it\'s "quoted" `twice`',
    "50% off #1 %23 %25",
    "folder/with/slashes",
    "Straße Ünïcödé 泵 🚰",
    "two  spaces inside",
    "the",
    "a\\b*c?d",
    "x" * 1024,
]


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


async def test_a_document_row_reads_back_as_it_was_written(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    full = document_row(of, 1)
    sparse = document_row(
        of,
        2,
        acl=(),
        hint=(),
        content_version=None,
        acl_version=Version(0, 1, 1),
        hide_deleted=None,
        hide_acl=(),
        hide_acl_version=None,
        manifest=(),
        superseded=(),
        title="",
        url=None,
        language="de",
        labels=(),
        actor=None,
        event_time=NOW,
        traceparent=None,
        parts=(),
    )
    await index.insert_documents(tenant, [full, sparse])
    assert (await index.document_rows(tenant, [of], at=2))[of] == (sparse, full)


async def test_a_manifest_of_four_thousand_chunks_reads_back(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    manifest = entries(4000)
    row = document_row(of, 1, manifest=manifest, superseded=tuple(entry.chunk_id for entry in manifest))
    await index.insert_documents(tenant, [row])
    assert (await index.document_rows(tenant, [of], at=1))[of] == (row,)


async def test_document_rows_are_those_at_or_below_a_seq_newest_first(index: VersionedIndex, tenant: Tenant) -> None:
    one, other, unknown = document(tenant, "one"), document(tenant, "other"), document(tenant, "unknown")
    rows = [
        document_row(one, 5),
        document_row(one, 2),
        document_row(other, 3),
        document_row(one, 5, epoch=9),
        document_row(one, 6),
    ]
    await index.insert_documents(tenant, rows)
    found = await index.document_rows(tenant, [one, other, unknown], at=5)
    assert found == {one: (rows[3], rows[0], rows[1]), other: (rows[2],), unknown: ()}


async def test_of_many_rows_of_many_documents_the_newest_are_complete(index: VersionedIndex, tenant: Tenant) -> None:
    hot = document(tenant, "hot")
    quiet = [document(tenant, f"quiet {number}") for number in range(9)]
    of_hot = [document_row(hot, seq, manifest=(), superseded=()) for seq in range(1, 341)]
    of_quiet = [document_row(of, 400 + number, manifest=()) for number, of in enumerate(quiet)]
    await index.insert_documents(tenant, [*of_hot, *of_quiet])
    found = await index.document_rows(tenant, [hot, *quiet], at=1000)
    assert found[hot][:32] == tuple(reversed(of_hot[-32:]))
    assert [found[of] for of in quiet] == [(row,) for row in of_quiet]
    assert (await index.document_rows(tenant, [hot], at=100))[hot][:32] == tuple(reversed(of_hot[68:100]))


async def test_rows_that_were_read_before_are_read_again_beside_new_ones(index: VersionedIndex, tenant: Tenant) -> None:
    one, other = document(tenant, "one"), document(tenant, "other")
    first, second, third = document_row(one, 1), document_row(other, 2), document_row(one, 3)
    await index.insert_documents(tenant, [first, second])
    assert await index.document_rows(tenant, [one, other], at=9) == {one: (first,), other: (second,)}
    await index.insert_documents(tenant, [third])
    assert await index.document_rows(tenant, [one, other], at=9) == {one: (third, first), other: (second,)}
    assert await index.document_rows(tenant, [one], at=2) == {one: (first,)}
    elsewhere = await new_tenant(index)
    assert await index.document_rows(elsewhere, [one], at=9) == {one: ()}


async def test_no_documents_give_no_rows(index: VersionedIndex, tenant: Tenant) -> None:
    assert await index.document_rows(tenant, [], at=5) == {}
    await index.insert_documents(tenant, [])
    await index.insert_chunks(tenant, [])
    assert await index.chunks(tenant, []) == {}
    assert await index.rows_at(tenant, 1) == ()


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_odd_names_are_told_apart_exactly(index: VersionedIndex, tenant: Tenant, name: str) -> None:
    of = document(tenant, name)
    near = [document(tenant, other) for other in (name[:-1] + "~", name[:-1] or "b", name.swapcase()) if other != name]
    row = document_row(of, 1)
    await index.insert_documents(tenant, [row, *(document_row(other, 1) for other in near)])
    assert await index.document_rows(tenant, [of], at=1) == {of: (row,)}
    assert await index.document_history(of, limit=5) == (row,)
    assert await index.rows_made_of(tenant, {of: row.mutation}) == {of: (row,)}


async def test_documents_whose_names_differ_only_in_source_or_end_are_other_documents(
    index: VersionedIndex, tenant: Tenant
) -> None:
    documents = [
        document(tenant, "a"),
        document(tenant, "a/b"),
        document(tenant, "A"),
        document(tenant, "a", source="docs-a"),
        document(tenant, "ab"),
    ]
    rows = [document_row(of, 1) for of in documents]
    await index.insert_documents(tenant, rows)
    for of, row in zip(documents, rows, strict=True):
        assert await index.document_rows(tenant, [of], at=1) == {of: (row,)}


async def test_history_is_newest_first_and_pages_without_parting_a_seq(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    rows = [document_row(of, seq) for seq in (1, 2, 3, 4)]
    dead = document_row(of, 3, epoch=2)
    await index.insert_documents(tenant, [*rows, dead, document_row(document(tenant, "other"), 4)])
    assert await index.document_history(of, limit=1) == (rows[3],)
    first = await index.document_history(of, limit=2)
    assert first == (rows[3], dead, rows[2])
    assert await index.document_history(of, limit=9, below=3) == (rows[1], rows[0])
    assert await index.document_history(of, limit=9, below=1) == ()


async def test_changed_documents_are_those_with_a_row_between_two_positions(
    index: VersionedIndex, tenant: Tenant
) -> None:
    names = enumerate(("a", "b", "c", "b"), start=1)
    await index.insert_documents(tenant, [document_row(document(tenant, name), seq) for seq, name in names])

    async def changed(after: int, at_most: int, limit: int = 9) -> set[str] | None:
        found = await index.changed_documents(tenant, after=after, at_most=at_most, limit=limit)
        return None if found is None else {each.doc_id for each in found}

    assert await changed(1, 3) == {"b", "c"}
    assert await changed(0, 4) == {"a", "b", "c"}
    assert await changed(4, 9) == set()
    assert await changed(1, 4, limit=3) == {"b", "c"}
    assert await changed(1, 4, limit=2) is None


async def test_rows_at_a_seq_are_of_every_epoch(index: VersionedIndex, tenant: Tenant) -> None:
    one, other = document(tenant, "one"), document(tenant, "other")
    published, dead = document_row(one, 7, epoch=2), document_row(other, 7, epoch=3)
    await index.insert_documents(tenant, [published, dead, document_row(one, 6), document_row(one, 8)])
    assert await index.rows_at(tenant, 7) == (dead, published)


async def test_rows_of_a_mutation_are_found_by_its_coordinates(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    at = Coordinates(topic="index.mutations.g1", partition=1, offset=40)
    made, again = document_row(of, 1, mutation=at), document_row(of, 2, epoch=2, mutation=at)
    other, elsewhere = document(tenant, "b"), Coordinates(topic="index.mutations.g1", partition=1, offset=4)
    others = document_row(other, 4, mutation=elsewhere)
    await index.insert_documents(
        tenant, [made, again, document_row(of, 3), document_row(document(tenant, "c"), 5, mutation=at), others]
    )
    assert await index.rows_made_of(tenant, {of: at}) == {of: (again, made)}
    assert await index.rows_made_of(tenant, {of: at, other: elsewhere}) == {of: (again, made), other: (others,)}
    assert await index.rows_made_of(tenant, {of: elsewhere, other: at}) == {}
    assert await index.rows_made_of(tenant, {}) == {}


async def test_every_row_of_a_source_is_listed_once(index: VersionedIndex, tenant: Tenant) -> None:
    ours = [document_row(document(tenant, f"doc {number}"), number, manifest=()) for number in range(1, 61)]
    theirs = [document_row(document(tenant, f"doc {number}", source="wiki"), number) for number in range(1, 9)]
    await index.insert_documents(tenant, [*ours, *theirs])
    listed = [row async for row in index.source_rows(tenant, Source("docs"))]
    assert sorted(row.id for row in listed) == sorted(row.id for row in ours)
    assert [row async for row in index.source_rows(tenant, Source("none"))] == []


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
