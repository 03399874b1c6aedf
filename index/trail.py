"""Reads what was committed, in order: the audit trail forwards, each row with the state before and the newest one."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace

from index.model import DocumentRow, Published, Seq
from index.moments import row_at
from index.port import VersionedIndex
from index.states import NewestStates, state_before
from schemas.identity import Tenant

_AT_ONCE = 16
"""Reads under way for one caller."""
_ROWS = 4096
"""Rows that are kept for the next who asks, with the state before them, but without their manifests: some 8 MB."""
_STATES = 10_000


@dataclass(frozen=True, slots=True)
class TrailStep:
    """One committed document row. Manifests are left out."""

    row: DocumentRow
    before: DocumentRow | None
    """The document's state just before it; None: there was none."""
    today: DocumentRow
    """The document's state at the newest position."""


_Kept = tuple[DocumentRow, DocumentRow | None]


class Trail:
    """Reads the trails of one incarnation; safe for concurrent calls."""

    def __init__(self, index: VersionedIndex) -> None:
        self._index = index
        self._newest = NewestStates(index, room=_STATES)
        self._kept: OrderedDict[tuple[Tenant, int, Seq], _Kept] = OrderedDict()

    async def read(self, published: Published, *, after: Seq, at_most: Seq) -> tuple[TrailStep, ...]:
        """One step for each seq of after < seq <= at_most <= the published seq, in order.

        Raises TransientError, BrokenIndexError.
        """
        seqs = range(after + 1, at_most + 1)
        rows: list[_Kept] = []
        for start in range(0, len(seqs), _AT_ONCE):
            some = seqs[start : start + _AT_ONCE]
            rows += await asyncio.gather(*(self._row(published, seq) for seq in some))
        today = await self._newest.read(published, {row.document for row, _ in rows})
        return tuple(TrailStep(row, before, today.get(row.document, row)) for row, before in rows)

    async def _row(self, published: Published, seq: Seq) -> _Kept:
        """What is published at a seq stays so for as long as the writer's epoch counts."""
        key = (published.head.tenant, published.head.epoch, seq)
        kept = self._kept.get(key)
        if kept is None:
            row = await row_at(self._index, published, seq)
            before = await state_before(self._index, published, row.document, seq)
            kept = (_without_manifest(row), None if before is None else _without_manifest(before))
            self._kept[key] = kept
            while len(self._kept) > _ROWS:
                self._kept.popitem(last=False)
        return kept


def _without_manifest(row: DocumentRow) -> DocumentRow:
    return replace(row, manifest=(), superseded=())
