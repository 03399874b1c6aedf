"""Reads what was committed, in order: the audit trail forwards, each row with the state before and the newest one.

Rows that were superseded a while ago may be being closed by the sweep, and a row being closed is missing for moments:
older stretches are read between two runs of the sweep, what was published just now as it is.
"""

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from index.model import DocumentRow, Published, Seq
from index.moments import row_at
from index.port import VersionedIndex
from index.reader import READ_SECONDS
from index.states import NewestStates, state_before
from index.undisturbed import Position, Undisturbed
from runtime.clock import Clock
from schemas.identity import Tenant

_AT_ONCE = 16
"""Seqs read side by side, and between two runs of the sweep: some 20 ms."""
_ROWS = 4096
"""Rows that are kept for the next who asks, with the state before them, but without their manifests: some 8 MB."""
_STATES = 10_000
_NOTED_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class TrailStep:
    """One committed document row. Manifests are left out."""

    row: DocumentRow
    before: DocumentRow | None
    """The document's state just before it; None: there was none."""
    today: DocumentRow
    """The document's state at the newest position."""


@dataclass(frozen=True, slots=True)
class _Kept:
    row: DocumentRow
    before: DocumentRow | None


class Trail:
    """Reads the trails of one incarnation; safe for concurrent calls. `position` is the reader's."""

    def __init__(self, index: VersionedIndex, position: Position, clock: Clock) -> None:
        self._index = index
        self._undisturbed = Undisturbed(position, clock)
        self._newest = NewestStates(index, room=_STATES)
        self._clock = clock
        self._kept: OrderedDict[tuple[Tenant, int, Seq], _Kept] = OrderedDict()
        self._seen: defaultdict[Tenant, deque[tuple[float, int, Seq]]] = defaultdict(deque)
        """When which epoch had published which seq, for the last READ_SECONDS."""

    async def read(self, published: Published, *, after: Seq, at_most: Seq) -> tuple[TrailStep, ...]:
        """One step for each seq of after < seq <= at_most <= the published seq, in order. `published` was just read.

        Raises TransientError, BrokenIndexError.
        """
        is_recent = self._is_recent(published, after)
        self.note(published)
        rows: list[_Kept] = []
        for start in range(after + 1, at_most + 1, _AT_ONCE):
            rows += await self._rows(published, range(start, min(start + _AT_ONCE, at_most + 1)), is_recent=is_recent)
        today = await self._newest.read(published, {kept.row.document for kept in rows})
        return tuple(TrailStep(kept.row, kept.before, today.get(kept.row.document, kept.row)) for kept in rows)

    def note(self, published: Published) -> None:
        """`published` was just read: what is published later is recent for a while."""
        seen, now = self._seen[published.head.tenant], self._clock.monotonic()
        while seen and seen[0][0] < now - READ_SECONDS:
            seen.popleft()
        if not seen or seen[-1][0] < now - _NOTED_SECONDS or seen[-1][1] != published.head.epoch:
            seen.append((now, published.head.epoch, published.seq))

    def _is_recent(self, published: Published, after: Seq) -> bool:
        """Whether everything beyond `after` was published less than L ago, and superseded what it did: nothing of it is
        swept for another L.
        """
        since = self._clock.monotonic() - READ_SECONDS
        return any(
            time >= since and epoch == published.head.epoch and seq <= after
            for time, epoch, seq in self._seen[published.head.tenant]
        )

    async def _rows(self, published: Published, seqs: Sequence[Seq], *, is_recent: bool) -> list[_Kept]:
        """What is published at a seq stays so for as long as the writer's epoch counts."""
        tenant = published.head.tenant
        found = {seq: self._kept.get((tenant, published.head.epoch, seq)) for seq in seqs}
        missing = [seq for seq, kept in found.items() if kept is None]

        async def read(at: Published) -> list[_Kept]:
            return await asyncio.gather(*(self._row(at, seq) for seq in missing))

        if missing:
            rows = await (read(published) if is_recent else self._undisturbed.read(tenant, read, published))
            for seq, kept in zip(missing, rows, strict=True):
                found[seq] = self._kept[tenant, published.head.epoch, seq] = kept
            while len(self._kept) > _ROWS:
                self._kept.popitem(last=False)
        return [kept for kept in found.values() if kept is not None]

    async def _row(self, published: Published, seq: Seq) -> _Kept:
        row = await row_at(self._index, published, seq)
        before = await state_before(self._index, published, row.document, seq)
        return _Kept(_without_manifest(row), None if before is None else _without_manifest(before))


def _without_manifest(row: DocumentRow) -> DocumentRow:
    return replace(row, manifest=(), superseded=())
