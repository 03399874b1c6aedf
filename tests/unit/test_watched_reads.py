"""The judge of reads finds what it is there for, and nothing in a read that is right."""

from collections.abc import Mapping

import pytest

from index.manifest import ChunkId
from index.model import DocumentRow, Head, Published
from schemas.identity import Tenant
from tests.contract.index_rows import NOW, document, document_row
from tests.soak.watch import Judged, Read, States, judge

TENANT = Tenant("acme")
ONE = document(TENANT, "one")
OPEN: Mapping[str, object] = {"hide_deleted": None, "hide_acl_version": None, "hide_acl": ()}
FIRST = document_row(ONE, 1, epoch=0, acl=("public",), title="first", **OPEN)
SECOND = document_row(ONE, 2, epoch=0, acl=("staff",), title="second", **OPEN)
NEVER = document_row(ONE, 3, epoch=0, acl=("public",), title="never published", **OPEN)
PUBLIC, STAFF = frozenset({"public"}), frozenset({"staff"})


def chunks(row: DocumentRow) -> tuple[ChunkId, ...]:
    return tuple(entry.chunk_id for entry in row.manifest)


def read(
    at: int, persons: frozenset[str], vector: tuple[ChunkId, ...], lexical: tuple[ChunkId, ...], title: str = "first"
) -> Read:
    return Read(TENANT, ONE, persons, at, (vector, lexical), frozenset({title}) if vector else frozenset(), NOW)


def faults_of(one: Read) -> dict[str, int]:
    published = Published(Head(TENANT, 0, 2, {0: 2}, NOW))
    judged = Judged()
    judge([one], {TENANT: States(published, [FIRST, SECOND, NEVER])}, judged)
    return dict(judged.counts)


@pytest.mark.parametrize(
    "right",
    [
        read(0, PUBLIC, (), ()),
        read(1, PUBLIC, chunks(FIRST), chunks(FIRST)),
        read(1, STAFF, (), ()),
        read(2, STAFF, chunks(SECOND), chunks(SECOND), "second"),
        read(2, PUBLIC, (), ()),
    ],
)
def test_a_read_of_the_state_in_force_is_right(right: Read) -> None:
    assert faults_of(right) == {}


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (read(1, PUBLIC, chunks(FIRST)[1:], chunks(FIRST)), "missing"),
        (read(1, PUBLIC, chunks(FIRST), ()), "missing"),
        (read(1, PUBLIC, (*chunks(FIRST), chunks(SECOND)[0]), chunks(FIRST)), "mixed"),
        (read(2, STAFF, (*chunks(SECOND), chunks(NEVER)[0]), chunks(SECOND), "second"), "mixed"),
        (read(2, STAFF, chunks(SECOND), chunks(SECOND), "first"), "mixed"),
        (read(1, STAFF, chunks(FIRST)[:1], ()), "forbidden"),
        (read(2, PUBLIC, (), chunks(SECOND)), "forbidden"),
        (read(1, PUBLIC, (*chunks(FIRST), chunks(FIRST)[0]), chunks(FIRST)), "duplicates"),
    ],
)
def test_a_read_that_is_wrong_is_found(wrong: Read, kind: str) -> None:
    assert faults_of(wrong) == {kind: 1}


def test_a_read_of_a_whole_tenant_is_held_against_all_its_documents() -> None:
    whole = Read(TENANT, None, PUBLIC, 1, (chunks(FIRST), chunks(FIRST)[:-1]), frozenset(), NOW)
    assert faults_of(whole) == {"missing": 1}
