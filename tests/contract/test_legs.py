"""What both legs of every versioned index promise: what is found, in what order, and what a filter keeps out."""

from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pytest

from index.model import OPEN, ChunkRow
from index.port import Hit, LegFilter, VersionedIndex
from schemas.identity import Document, Source, Tenant
from tests.contract.index_rows import NOW, chunk_row, document, everyone, ids, vector


class Leg(Protocol):
    """One leg; every row of these tests is near the vector and has the word `pump`."""

    async def __call__(self, tenant: Tenant, where: LegFilter) -> set[str]: ...


@pytest.fixture(params=["vector", "lexical"])
def leg(request: pytest.FixtureRequest, index: VersionedIndex) -> Leg:
    async def ask(tenant: Tenant, where: LegFilter) -> set[str]:
        if request.param == "vector":
            hits = await index.vector_leg(tenant, vector(1.0), where, 50)
        else:
            hits = await index.lexical_leg(tenant, "pump", where, 50)
        return {hit.chunk_id for hit in hits}

    return ask


def pump(of: Document, **changes: object) -> ChunkRow:
    """A row that both legs find."""
    return chunk_row(of, text="the pump hums", **changes)  # type: ignore[arg-type]


async def test_rows_are_found_as_soon_as_the_insert_returns(index: VersionedIndex, tenant: Tenant, leg: Leg) -> None:
    for number in range(5):
        row = pump(document(tenant, f"doc {number}"))
        await index.insert_chunks(tenant, [row])
        assert row.id in await leg(tenant, everyone())


async def test_a_leg_sees_rows_from_their_from_seq_until_their_to_seq(
    index: VersionedIndex, tenant: Tenant, leg: Leg
) -> None:
    of = document(tenant)
    unborn, born, open_, closed, closing = (
        pump(of, from_seq=11),
        pump(of, from_seq=10),
        pump(of, to_seq=OPEN),
        pump(of, to_seq=10),
        pump(of, to_seq=11),
    )
    await index.insert_chunks(tenant, [unborn, born, open_, closed, closing])
    assert await leg(tenant, everyone(at=10)) == ids([born, open_, closing])
    assert await leg(tenant, everyone(at=11)) == ids([unborn, born, open_])
    assert await leg(tenant, everyone(at=0)) == set()


async def test_positions_beyond_32_bits_are_exact(index: VersionedIndex, tenant: Tenant, leg: Leg) -> None:
    row = pump(document(tenant), from_seq=2**52 + 1)
    await index.insert_chunks(tenant, [row])
    assert await leg(tenant, everyone(at=2**52)) == set()
    assert await leg(tenant, everyone(at=2**52 + 1)) == ids([row])


async def test_a_row_is_found_by_any_principal_of_its_acl_and_by_no_other(
    index: VersionedIndex, tenant: Tenant, leg: Leg
) -> None:
    of = document(tenant)
    staff, ann, nobody = pump(of, acl=("staff", "user:ann o'neill")), pump(of, acl=("user:Ann",)), pump(of, acl=())
    await index.insert_chunks(tenant, [staff, ann, nobody])
    assert await leg(tenant, everyone(principals=frozenset({"staff", "other"}))) == ids([staff])
    assert await leg(tenant, everyone(principals=frozenset({"user:ann o'neill"}))) == ids([staff])
    assert await leg(tenant, everyone(principals=frozenset({"user:Ann", "staff"}))) == ids([staff, ann])
    for stranger in ("user:ann", "Staff", "staf", "staff staff", "user:ann", "*", "o'neill"):
        assert await leg(tenant, everyone(principals=frozenset({stranger}))) == set()


async def test_groups_that_are_common_words_are_groups(index: VersionedIndex, tenant: Tenant, leg: Leg) -> None:
    row = pump(document(tenant, "the"), acl=("the",), kind="a", labels=("in=it",), language="no")
    await index.insert_chunks(tenant, [row])
    where = everyone(principals=frozenset({"the"}), kinds=("a",), labels=("in=it",), languages=("no",))
    assert await leg(tenant, where) == ids([row])
    assert await leg(tenant, replace(where, documents=(document(tenant, "the"),))) == ids([row])
    assert await leg(tenant, everyone(principals=frozenset({"it"}))) == set()


async def test_user_filters_keep_what_matches_all_of_them(index: VersionedIndex, tenant: Tenant, leg: Leg) -> None:
    base = pump(document(tenant, "base", source="docs"), language="en", kind="html")
    wiki = pump(document(tenant, "base", source="wiki"), language="de", kind="html")
    note = pump(document(tenant, "note", source="docs"), language=None, kind="text")
    await index.insert_chunks(tenant, [base, wiki, note])
    docs, both = Source("docs"), (Source("docs"), Source("wiki"))
    assert await leg(tenant, everyone(sources=(docs,))) == ids([base, note])
    assert await leg(tenant, everyone(sources=both)) == ids([base, wiki, note])
    assert await leg(tenant, everyone(kinds=("html",))) == ids([base, wiki])
    assert await leg(tenant, everyone(languages=("de", "fr"))) == ids([wiki])
    assert await leg(tenant, everyone(documents=(note.document, wiki.document))) == ids([wiki, note])
    assert await leg(tenant, everyone(sources=(docs,), kinds=("html",), languages=("en",))) == ids([base])
    assert await leg(tenant, everyone(kinds=("pdf",))) == set()


async def test_all_labels_asked_for_must_be_there(index: VersionedIndex, tenant: Tenant, leg: Leg) -> None:
    of = document(tenant)
    both = pump(of, labels=("area=north pole", "team=blue"))
    one = pump(of, labels=("team=blue",))
    none = pump(of, labels=())
    await index.insert_chunks(tenant, [both, one, none])
    assert await leg(tenant, everyone(labels=("team=blue",))) == ids([both, one])
    assert await leg(tenant, everyone(labels=("team=blue", "area=north pole"))) == ids([both])
    assert await leg(tenant, everyone(labels=("team=Blue",))) == set()
    assert await leg(tenant, everyone(labels=("area=north",))) == set()


async def test_times_bound_from_after_up_to_before(index: VersionedIndex, tenant: Tenant, leg: Leg) -> None:
    of, instant = document(tenant), timedelta(microseconds=1)
    now, just_before, timeless = pump(of, event_time=NOW), pump(of, event_time=NOW - instant), pump(of, event_time=None)
    long_ago = pump(of, event_time=NOW.replace(year=1920))
    await index.insert_chunks(tenant, [now, just_before, timeless, long_ago])
    assert await leg(tenant, everyone(after=NOW)) == ids([now])
    assert await leg(tenant, everyone(before=NOW)) == ids([just_before, long_ago])
    assert await leg(tenant, everyone(after=NOW - instant, before=NOW + instant)) == ids([now, just_before])
    assert await leg(tenant, everyone(before=NOW.replace(year=1950))) == ids([long_ago])
    assert await leg(tenant, everyone()) == ids([now, just_before, timeless, long_ago])


async def test_the_vector_leg_ranks_by_raw_cosine(index: VersionedIndex, tenant: Tenant) -> None:
    of = document(tenant)
    near, middle, opposite = (
        chunk_row(of, vector=vector(1, 0.1)),
        chunk_row(of, vector=vector(1, 1)),
        chunk_row(of, vector=vector(-1)),
    )
    await index.insert_chunks(tenant, [middle, opposite, near])
    hits = await index.vector_leg(tenant, vector(1.0), everyone(), 5)
    assert [hit.chunk_id for hit in hits] == [near.id, middle.id, opposite.id]
    assert [hit.score for hit in hits] == pytest.approx([1 / 1.01**0.5, 0.5**0.5, -1], abs=1e-5)
    assert {hit.document for hit in hits} == {of}
    assert [hit.chunk_id for hit in await index.vector_leg(tenant, vector(1.0), everyone(), 2)] == [near.id, middle.id]


async def test_the_lexical_leg_ranks_rarer_and_more_frequent_words_higher(
    index: VersionedIndex, tenant: Tenant
) -> None:
    of = document(tenant)
    rows = [
        chunk_row(of, text="valve pump pump station manual"),
        chunk_row(of, text="pump station manual of the northern plant"),
        chunk_row(of, text="a station in the hills far from the plant"),
    ]
    await index.insert_chunks(tenant, rows)
    hits = await index.lexical_leg(tenant, "pump valve", everyone(), 5)
    assert [hit.chunk_id for hit in hits] == [rows[0].id, rows[1].id]
    assert hits[0].score > hits[1].score > 0
    assert await index.lexical_leg(tenant, "pump valve", everyone(), 1) == hits[:1]


async def test_the_lexical_leg_reads_titles_and_ignores_case(index: VersionedIndex, tenant: Tenant) -> None:
    row = chunk_row(document(tenant), text="some words", title="Maintenance of PUMPS")
    await index.insert_chunks(tenant, [row])
    assert await _lexical(index, tenant, "MAINTENANCE") == [row.id]
    assert await _lexical(index, tenant, "pumps?!") == [row.id]


async def test_the_lexical_leg_reads_every_heading_above_a_chunk(index: VersionedIndex, tenant: Tenant) -> None:
    row = chunk_row(document(tenant), text="some words", title="?", heading_path=("Opening hours", "Public holidays"))
    await index.insert_chunks(tenant, [row])
    assert await _lexical(index, tenant, "holidays") == [row.id]
    assert await _lexical(index, tenant, "OPENING") == [row.id]


@pytest.mark.parametrize("question", ["", "   ", "?!", "the of and", "\n", "zebra", "title:(pump) AND *"])
async def test_questions_without_a_word_of_a_row_find_nothing(
    index: VersionedIndex, tenant: Tenant, question: str
) -> None:
    await index.insert_chunks(tenant, [chunk_row(document(tenant), text="the gasket of it", title="?")])
    assert await _lexical(index, tenant, question) == []


async def test_a_question_as_long_as_a_page_is_answered(index: VersionedIndex, tenant: Tenant) -> None:
    row = chunk_row(document(tenant), text="gasket")
    await index.insert_chunks(tenant, [row])
    assert await _lexical(index, tenant, "gasket " + "other words " * 2000) == [row.id]


async def _lexical(index: VersionedIndex, tenant: Tenant, question: str) -> list[str]:
    hits: tuple[Hit, ...] = await index.lexical_leg(tenant, question, everyone(), 5)
    return [hit.chunk_id for hit in hits]
