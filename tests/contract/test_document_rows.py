"""Document rows of every versioned index: read back as written, by documents, history, seqs and records."""

import pytest

from index.port import VersionedIndex
from schemas.identity import Source, Tenant
from schemas.records import Coordinates
from schemas.versions import Version
from tests.contract.conftest import new_tenant
from tests.contract.index_rows import NOW, document, document_row, entries

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
