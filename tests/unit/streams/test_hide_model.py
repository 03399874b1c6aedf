"""Every interleaving of hides and mutations of one document, small and exhaustive.

A log of changes, their `#acl` copies among them, is read twice: by `hide`, whose records are applied ahead, and by
`prepare`, whose mutations are applied in order. (i, j) is the moment when i records have passed the one and j the
other; all moments and both ways into each are visited. States at a moment are equal whichever way led there, so what
holds at every moment holds for every interleaving.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import pytest

from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, first_head
from index.plan import Plan, plan
from index.rows import Batch, Item, PositionedHide, PositionedMutation, Step, chunk_rows_of, document_row_of
from schemas.headers import headers_of, stated_change
from schemas.records import Content, Coordinates, DocumentChange, Mutation, Origin
from schemas.versions import RANKS, Op, StatedVersion, Version
from streams.core.hides import LastAcls, hide_of
from tests.unit.index.fakes import (
    IDENTITY,
    START,
    TENANT,
    content,
    doc,
)

DOCUMENT = doc("d")
DEFAULT = ("a", "b")
READERS = (frozenset("a"), frozenset("b"), frozenset("ab"))
HEAD = first_head(TENANT, START)

Kind = tuple[Op, tuple[str, ...] | None]
KINDS: tuple[Kind, ...] = (
    (Op.UPSERT, None),
    (Op.UPSERT, ("a",)),
    (Op.ACL, ("b",)),
    (Op.ACL, ("a", "b")),
    (Op.DELETE, None),
)
MORE_KINDS: tuple[Kind, ...] = (*KINDS, (Op.UPSERT, ("b",)))


def log_of(kinds: Sequence[Kind], sequences: Sequence[int]) -> tuple[DocumentChange, ...]:
    """The records of documents.changes, in order, as the connectors append them."""
    records: list[DocumentChange] = []
    for (op, acl), sequence in zip(kinds, sequences, strict=True):
        change = DocumentChange(
            tenant=DOCUMENT.tenant,
            source=DOCUMENT.source,
            doc_id=DOCUMENT.doc_id,
            op=op,
            version=StatedVersion(1, sequence, RANKS[op]),
            event_id=f"e{sequence}",
            body=b"" if op is Op.UPSERT else None,
            acl=acl,
            default_acl=DEFAULT,
            received_at=START,
            origin=Origin(connector="webhook", reference="m"),
        )
        records.append(change)
        if acl is not None and op is not Op.ACL:
            records.append(change.acl_copy(len(records) - 1))
    return tuple(records)


def version_of(record: DocumentChange) -> Version:
    return record.version.at(0)


@cache
def edition(name: str) -> Content:
    return content(DOCUMENT, [f"edition {name}", "the same in all"])


def mutation_of(record: DocumentChange, offset: int) -> PositionedMutation:
    """What `prepare` makes of a record."""
    made: Content | None = None
    if record.op is Op.UPSERT:
        made = edition(record.event_id)
    elif record.op is Op.DELETE:
        made = Content(deleted=True)
    return PositionedMutation(
        Mutation(
            **{name: getattr(record, name) for name in ("tenant", "source", "doc_id", "op", "acl", "default_acl")},
            version=version_of(record),
            content=made,
            change=Coordinates(topic="documents.changes", partition=0, offset=offset),
            origin=record.origin,
            event_id=record.event_id,
            received_at=START,
            prepared_at=START,
        ),
        Coordinates(topic="index.mutations.g1", partition=0, offset=offset),
    )


def hides_of(log: Sequence[DocumentChange]) -> list[list[PositionedHide]]:
    """What `hide` sends at each record."""
    acls, sent, offset = LastAcls(), [], 0
    for number, record in enumerate(log):
        at = Coordinates(topic="documents.changes", partition=0, offset=number)
        hide = hide_of(DOCUMENT, stated_change(headers_of(record)), at, START)
        chosen = None if hide is None else acls.choose(hide)
        place = Coordinates(topic="index.hides", partition=0, offset=offset)
        sent.append([] if chosen is None else [PositionedHide(chosen, place)])
        offset += len(sent[-1])
    return sent


@dataclass(frozen=True)
class Truth:
    """What the records that were delivered one way or the other allow at most."""

    hidden: Sequence[DocumentChange]
    mutated: Sequence[DocumentChange]

    def allows(self, readers: frozenset[str]) -> bool:
        acls = [record for record in (*self.hidden, *self.mutated) if record.acl is not None]
        acl = max(acls, key=version_of).acl if acls else DEFAULT
        deletes = [version_of(record) for record in (*self.hidden, *self.mutated) if record.op is Op.DELETE]
        upserts = [version_of(record) for record in self.mutated if record.op is Op.UPSERT]
        newest = max(upserts, default=None)
        there = newest is not None and all(newest > delete for delete in deletes)
        return there and not readers.isdisjoint(acl or ())


def readable(row: DocumentRow | None, readers: frozenset[str]) -> bool:
    return row is not None and row.readable_by(readers)


Registers = tuple[object, ...]


def registers(row: DocumentRow | None) -> Registers:
    """All that later rows depend on, but for seqs, ids and coordinates."""
    if row is None:
        return ()
    hidden = (row.hide_deleted, frozenset(row.hide_acl), row.hide_acl_version)
    texts = tuple(entry.hash for entry in row.manifest)
    return (row.content, row.content_version, texts, frozenset(row.acl), row.acl_version, *hidden)


def written(row: DocumentRow | None, item: Item, chunks: dict[ChunkId, ChunkRow]) -> DocumentRow | None:
    """The row after an item, decided and built as the writer does; `chunks` is the store."""
    match plan(row, item.record):
        case Plan() as wanted:
            batch, step = Batch(IDENTITY, HEAD, 1, START), Step(item, row, wanted)
            added = chunk_rows_of(batch, step, chunks)
            chunks.update({chunk.id: chunk for chunk in added if chunk is not None})
            return document_row_of(batch, step, added, 1)
    return row


def check_log(log: Sequence[DocumentChange], lost: frozenset[int] = frozenset()) -> None:
    """Visit every moment of one log. The mutations of `lost` records become dead letters: then what hide leaves out
    counts from the moment when it has read as far as the mutations are applied.
    """
    sent = hides_of(log)
    mutations = [mutation_of(record, number) for number, record in enumerate(log)]
    rows: dict[tuple[int, int], DocumentRow | None] = {(0, 0): None}
    chunks: dict[ChunkId, ChunkRow] = {}
    for i, j in product(range(len(log) + 1), repeat=2):
        ways = []
        if i:
            row = rows[i - 1, j]
            for hide in sent[i - 1]:
                row = written(row, hide, chunks)
            ways.append(row)
        if j:
            row = rows[i, j - 1]
            ways.append(row if j - 1 in lost else written(row, mutations[j - 1], chunks))
        if ways:
            assert len({registers(row) for row in ways}) == 1, f"two states at {i}, {j}"
            rows[i, j] = ways[0]
        for readers in READERS:
            if readable(rows[i, j], readers) and (i >= j or not lost):
                mutated = [record for number, record in enumerate(log[:j]) if number not in lost]
                assert Truth(log[:i], mutated).allows(readers), f"{set(readers)} reads at {i}, {j}"
                assert readable(rows[0, j], readers), f"a hide gives {set(readers)} something at {i}, {j}"
    for i in range(len(log) + 1 if not lost else 0):
        assert registers(rows[i, len(log)]) == registers(rows[0, len(log)]), f"hides leave a trace after {i}"


@pytest.mark.parametrize("first", KINDS, ids=lambda kind: f"{kind[0]} {kind[1]}")
def test_four_changes_in_the_order_of_their_versions(first: Kind) -> None:
    for rest in product(KINDS, repeat=3):
        check_log(log_of((first, *rest), range(4)))


@pytest.mark.parametrize("sequences", list(permutations(range(3))), ids=str)
def test_three_changes_in_any_order_of_versions(sequences: tuple[int, ...]) -> None:
    for kinds in product(MORE_KINDS, repeat=3):
        check_log(log_of(kinds, sequences))


@pytest.mark.parametrize("sequences", [(0, 1, 2), (0, 2, 1), (2, 0, 1)], ids=str)
def test_what_a_dead_letter_would_have_taken_away_stays_hidden(sequences: tuple[int, ...]) -> None:
    """Any one change and its copy, lost between prepare and the index."""
    for kinds in product(KINDS, repeat=3):
        log = log_of(kinds, sequences)
        for sequence in sequences:
            check_log(
                log, frozenset(number for number, record in enumerate(log) if record.version.sequence == sequence)
            )
