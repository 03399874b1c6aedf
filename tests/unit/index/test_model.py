"""Decisions of the model: who may read a row, what was published, which ids and hashes are the same."""

import uuid
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.model import (
    ChunkSubject,
    ContentState,
    Head,
    IndexIdentity,
    Published,
    chunk_hash,
    content_hash,
    first_head,
    head_id,
    label_list,
    newest_head,
    row_id,
)
from schemas.identity import DocId, Document, Source, Tenant
from schemas.records import Coordinates
from schemas.versions import Version
from tests.contract.index_rows import NOW, document, document_row

ACME = Tenant("acme")
DOCUMENT = document(ACME)
IDENTITY = IndexIdentity("g1", "i1")
AT = Coordinates(topic="index.mutations.g1", partition=0, offset=7)

row = document_row(
    DOCUMENT,
    1,
    acl=("staff", "public"),
    acl_version=None,
    content_version=Version(0, 10, 0),
    hide_deleted=None,
    hide_acl=(),
    hide_acl_version=None,
)


@pytest.mark.parametrize(
    ("principals", "readable"),
    [({"staff"}, True), ({"public", "x"}, True), ({"x"}, False), (set(), False), ({"Staff"}, False)],
)
def test_a_row_is_readable_by_a_principal_of_its_acl(principals: set[str], readable: bool) -> None:
    assert row.readable_by(principals) is readable


def test_nobody_reads_a_row_without_content() -> None:
    for content in (ContentState.ABSENT, ContentState.DELETED):
        assert not replace(row, content=content).readable_by({"staff"})


@pytest.mark.parametrize(
    ("hidden_at", "present"),
    [(None, True), (Version(0, 9, 2), True), (Version(0, 10, 2), False), (Version(0, 11, 2), False)],
)
def test_a_hide_takes_the_content_away_while_it_is_newer(hidden_at: Version | None, present: bool) -> None:
    assert replace(row, hide_deleted=hidden_at).is_present is present


@pytest.mark.parametrize(
    ("acl_version", "principals", "readable"),
    [
        (None, {"staff"}, False),
        (None, {"public"}, True),
        (None, {"guests"}, False),
        (Version(0, 4, 1), {"staff"}, False),
        (Version(0, 4, 1), {"public"}, True),
        (Version(0, 5, 1), {"staff"}, True),
        (Version(0, 6, 1), {"staff"}, True),
        (Version(0, 6, 1), {"guests"}, False),
    ],
)
def test_while_a_hide_is_newer_its_acl_must_match_too(
    acl_version: Version | None, principals: set[str], readable: bool
) -> None:
    hidden = replace(row, acl_version=acl_version, hide_acl=("public", "guests"), hide_acl_version=Version(0, 5, 1))
    assert hidden.readable_by(principals) is readable


def test_principals_may_match_the_acl_and_the_hide_by_different_groups() -> None:
    hidden = replace(row, hide_acl=("guests",), hide_acl_version=Version(0, 5, 1))
    assert hidden.readable_by({"staff", "guests"})


HEAD = Head(ACME, epoch=9, seq=20, earlier={0: 0, 4: 12, 6: 15}, published_at=NOW)


@pytest.mark.parametrize(
    ("epoch", "seq", "valid"),
    [(9, 20, True), (9, 21, False), (4, 12, True), (4, 13, False), (6, 15, True), (5, 1, False), (10, 1, False)],
)
def test_a_row_is_valid_up_to_what_its_epoch_published(epoch: int, seq: int, valid: bool) -> None:
    assert Published(HEAD).is_valid(document_row(DOCUMENT, seq, epoch=epoch)) is valid


def test_the_state_at_a_seq_is_the_newest_valid_row_whatever_the_order() -> None:
    published = Published(HEAD)
    rows = [
        document_row(DOCUMENT, 3, epoch=4),
        document_row(DOCUMENT, 14, epoch=4),
        document_row(DOCUMENT, 14, epoch=6),
        document_row(DOCUMENT, 18, epoch=9),
        document_row(DOCUMENT, 25, epoch=9),
    ]
    for order in permutations(rows):
        assert published.state_at(order, 2) is None
        assert published.state_at(order, 13) is rows[0]
        assert published.state_at(order, 14) is rows[2]
        assert published.state_at(order, 99) is rows[3]


def test_of_two_valid_rows_of_one_seq_the_higher_epoch_counts() -> None:
    lower, higher = document_row(DOCUMENT, 11, epoch=4), document_row(DOCUMENT, 11, epoch=6)
    assert Published(HEAD).state_at([lower, higher], 20) is higher
    assert Published(HEAD).state_at([higher, lower], 20) is higher


def test_no_rows_are_no_state() -> None:
    assert Published(HEAD).state_at([], 20) is None


def test_the_head_of_the_highest_epoch_counts() -> None:
    first = first_head(ACME, NOW)
    assert newest_head([HEAD, first]) is HEAD
    assert newest_head([first, HEAD]) is HEAD
    assert newest_head([]) is None
    assert first.seq == 0


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
documents = st.builds(lambda doc_id: Document(ACME, Source("docs"), DocId(doc_id)), names)
places = st.tuples(
    st.builds(IndexIdentity, st.sampled_from(["g1", "g11"]), st.sampled_from(["i1", "1i1"])),
    documents,
    st.integers(0, 12),
    st.builds(Coordinates, topic=st.just("t"), partition=st.integers(0, 12), offset=st.integers(0, 12)),
    st.sampled_from(["0", "1", "11", "document"]),
)


@given(places, places)
def test_two_rows_have_the_same_id_only_if_they_are_the_same(
    one: tuple[IndexIdentity, Document, int, Coordinates, str],
    other: tuple[IndexIdentity, Document, int, Coordinates, str],
) -> None:
    assert (row_id(*one) == row_id(*other)) is (one == other)


def test_ids_are_version_5_uuids_and_stay_what_they_are() -> None:
    made = row_id(IDENTITY, DOCUMENT, 3, AT, "0")
    assert uuid.UUID(made).version == 5
    assert made == row_id(IDENTITY, DOCUMENT, 3, AT, "0")
    assert made == "6cd3a8c1-a1bf-5378-be50-4046c0f2407c"
    assert head_id(IDENTITY, ACME, 3) == "a823a7be-b2a2-5324-94b7-49c2207ff7a6"


def test_no_attempt_at_a_mutation_reuses_an_id() -> None:
    ids = {row_id(IDENTITY, DOCUMENT, epoch, AT, part) for epoch in range(5) for part in ("0", "1", "document")}
    assert len(ids) == 15


SUBJECT = ChunkSubject(
    document=DOCUMENT,
    text="the pump hums",
    title="Pumps",
    heading_path=("A", "B"),
    kind="html",
    language="en",
    labels=("team=blue",),
    pii=("EMAIL",),
)


@pytest.mark.parametrize(
    "other",
    [
        replace(SUBJECT, document=document(ACME, "other")),
        replace(SUBJECT, text="the pump hum"),
        replace(SUBJECT, title=""),
        replace(SUBJECT, heading_path=("A B",)),
        replace(SUBJECT, heading_path=("A", "B", "")),
        replace(SUBJECT, kind="text"),
        replace(SUBJECT, language=None),
        replace(SUBJECT, labels=()),
        replace(SUBJECT, pii=()),
    ],
)
def test_every_stored_property_but_acl_and_time_is_in_a_chunks_hash(other: ChunkSubject) -> None:
    assert chunk_hash(other) != chunk_hash(SUBJECT)


def test_a_hash_is_32_hex_digits_and_repeatable() -> None:
    assert chunk_hash(SUBJECT) == chunk_hash(replace(SUBJECT))
    assert len(bytes.fromhex(chunk_hash(SUBJECT))) == 16
    assert len(bytes.fromhex(content_hash([]))) == 16


def test_a_contents_hash_depends_on_the_order_of_its_chunks() -> None:
    assert content_hash(["a" * 32, "b" * 32]) != content_hash(["b" * 32, "a" * 32])


def test_labels_are_sorted_pairs() -> None:
    assert label_list({"team": "blue", "area": "north"}) == ("area=north", "team=blue")
