"""What differs, decided: registers of log and index, seqs that commits tell of, a row's own word."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.audit.changes import Changes
from index.audit.compare import Registers, Told, commit_findings, own_word, register_findings, unlisted
from index.audit.findings import Kind
from index.manifest import ChunkId
from index.model import ContentState, Head
from index.port import OpenChunk
from runtime.log_port import StoredRecord
from schemas.codec import encode
from schemas.headers import headers_of
from schemas.records import Coordinates
from schemas.versions import Op, Version
from tests.contract.index_rows import NOW, chunk_row, document, document_row
from tests.unit.index.fakes import TENANT
from tests.unit.streams.records import change

OF = document(TENANT)
OLD, NEW = Version(1, 4, 0), Version(1, 7, 0)
ROW = document_row(OF, 1, content_version=NEW, acl_version=NEW)
READ = ROW.change.offset + 1


@pytest.mark.parametrize(
    ("log", "row", "found"),
    [
        (Registers(NEW, 7, False, NEW, 7), ROW, []),
        (Registers(NEW, 7, True, NEW, 7), ROW, [Kind.WRONG_STATE]),
        (Registers(NEW, 7, False, NEW, 7), None, [Kind.MISSING_DOCUMENT]),
        (Registers(Version(1, 9, 0), 9, False, NEW, 7), ROW, [Kind.BEHIND_LOG]),
        (Registers(NEW, 7, False, Version(1, 9, 1), 9), ROW, [Kind.BEHIND_LOG]),
        (Registers(OLD, 4, False, NEW, 7), ROW, [Kind.AHEAD_OF_LOG]),
        (Registers(NEW, 7, False, None, -1), ROW, [Kind.AHEAD_OF_LOG]),
        (None, ROW, [Kind.UNKNOWN_DOCUMENT]),
        (None, None, []),
    ],
)
def test_registers_of_log_and_index_are_compared_by_version(
    log: Registers | None, row: object, found: list[Kind]
) -> None:
    state = None if row is None else ROW
    assert [one.kind for one in register_findings(OF, log, state, READ)] == found


def test_what_came_after_the_log_was_read_is_not_ahead_of_it() -> None:
    assert register_findings(OF, Registers(OLD, 4, False, NEW, 7), ROW, ROW.change.offset) == []
    assert register_findings(OF, None, ROW, ROW.change.offset) == []


def test_a_document_that_is_deleted_in_both_does_not_differ() -> None:
    deleted = replace(ROW, content=ContentState.DELETED, manifest=())
    assert register_findings(OF, Registers(NEW, 7, True, NEW, 7), deleted, READ) == []


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(0, 14))
def test_a_seq_is_missing_from_the_first_that_is_told_on_if_nothing_tells_of_it(told: list[int], head: int) -> None:
    kept = Told()
    for seq in told:
        kept.add(seq)
    wanted = sorted(set(range(told[0], head + 1)) - set(told)) if told else []
    assert [seq for seq in kept.missing(head) if seq >= (told[0] if told else 1)] == wanted


def test_a_lost_commit_is_named_by_its_seq() -> None:
    told = Told()
    for seq in (1, 2, 4):
        told.add(seq)
    head = Head(TENANT, 1, 5, {0: 0, 1: 0}, NOW)
    assert [(one.kind, one.seq) for one in commit_findings(TENANT, told, head)] == [
        (Kind.LOST_COMMIT, 3),
        (Kind.LOST_COMMIT, 5),
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The opening hours of the hotline", "opening"),
        ("to be or not to be", None),
        ("…", None),
        ("größer als 10", "als"),
        ("İnternet", "İnternet"),
        ("ΟΔΟΣ", "ΟΔΟΣ"),
        ("THE Hotline", "Hotline"),
    ],
)
def test_a_row_is_looked_for_by_its_longest_plain_word(text: str, word: str | None) -> None:
    assert own_word(chunk_row(OF, text=text)) == word


def test_rows_that_are_being_written_while_hides_move_the_head_are_not_extra() -> None:
    head, row = Head(TENANT, 2, 9, {0: 0, 1: 5, 2: 5}, NOW, swept_seq=8), replace(ROW, from_seq=6)
    under_way, stray = OpenChunk(ChunkId("x"), OF, 2, 8), OpenChunk(ChunkId("y"), OF, 1, 4)
    assert unlisted(row, head, [under_way, stray]) == [stray]


def stored(offset: int, op: Op, *, sequence: int | None = None, acl: tuple[str, ...] | None = None) -> StoredRecord:
    record = change(op, sequence=sequence, acl=acl)
    at = Coordinates(topic="documents.changes", partition=0, offset=offset)
    return StoredRecord(at, record.key, encode(record), headers_of(record))


def test_the_log_says_the_newest_version_of_each_register_whatever_lies_last() -> None:
    changes = Changes(ends={0: 9})
    changes.take(
        [
            stored(0, Op.UPSERT, sequence=5, acl=("staff",)),
            stored(1, Op.ACL, sequence=8, acl=("public",)),
            stored(2, Op.UPSERT, sequence=3),
            stored(3, Op.DELETE, sequence=6),
            stored(9, Op.UPSERT, sequence=99),
        ],
        lambda _document: True,
    )
    ((_, found),) = changes.registers.items()
    assert (found.content_at, found.deleted, found.acl_at) == (3, True, 1)
    assert found.content is not None
    assert found.content.sequence == 6


def test_of_equal_versions_the_register_lies_where_the_last_does() -> None:
    changes = Changes(ends={0: 9})
    acl = ("staff",)
    records = [stored(0, Op.UPSERT, sequence=5, acl=acl), stored(3, Op.UPSERT, sequence=5, acl=acl)]
    changes.take(records, lambda _document: True)
    ((_, found),) = changes.registers.items()
    assert (found.content_at, found.acl_at) == (3, 3)


def test_a_record_that_cannot_be_read_says_nothing() -> None:
    at = Coordinates(topic="documents.changes", partition=0, offset=0)
    changes = Changes(ends={0: 9})
    changes.take([StoredRecord(at, "no/key", b"x"), StoredRecord(at, None, None)], lambda _document: True)
    assert changes.registers == {}
