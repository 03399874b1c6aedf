"""Decides, purely, what the sweep does (design §5): which rows a stretch of seqs supersedes, what dead writers left,
and what was published long enough ago.

Rows superseded for longer than 2 L (the writer's own monotonic clock) are closed, older ones first, where the tenant
keeps history, removed where it does not or when history ends. Document rows stay: they are the audit trail. Garbage of
lower epochs is removed; what has the writer's own epoch is never taken for garbage.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from index.manifest import ChunkId
from index.model import Head, Place, Published, RowId, Seq
from index.port import DeadRows
from schemas.identity import Document
from schemas.topics import HIDES

_GRAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows to close or remove; once that is done, rows superseded up to `swept_seq` are swept."""

    swept_seq: Seq
    chunks: Mapping[ChunkId, Seq] = field(default_factory=dict)
    """To close, with their to_seq."""
    documents: Mapping[RowId, Seq] = field(default_factory=dict)
    removed: tuple[ChunkId, ...] = ()

    @property
    def closes(self) -> bool:
        """Whether rows are rewritten that as-of reads may be looking for."""
        return bool(self.chunks or self.documents)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.closes or self.removed)


@dataclass(frozen=True, slots=True)
class _Superseded:
    """One row that is superseded from `by` on."""

    by: Seq
    chunk: ChunkId | None = None
    document: RowId | None = None


def slices(
    published: Published,
    changed: Sequence[Place],
    still_open: Sequence[Place],
    *,
    upto: Seq,
    history_from: Seq,
    size: int,
) -> tuple[Slice, ...]:
    """What the document rows `changed`, all there are in a stretch that ends at `upto`, supersede: oldest first, `size`
    rows a slice.

    `still_open` are the open document rows of their documents up to `upto`. What is superseded at or below
    `history_from` no read can ask for any more (the caller has waited 2 L since it was published), so chunk rows are
    removed; above it they are closed.
    """
    found = [
        _Superseded(place.from_seq, chunk=chunk)
        for place in changed
        if published.is_valid(place)
        for chunk in place.superseded
    ]
    found += _followed(place for place in still_open if published.is_valid(place))
    return tuple(_cut(sorted(found, key=lambda row: row.by), upto, history_from, size))


def _followed(still_open: Iterable[Place]) -> Iterable[_Superseded]:
    """All but the newest row of each document."""
    of_document: dict[Document, list[Place]] = defaultdict(list)
    for place in still_open:
        of_document[place.document].append(place)
    for places in of_document.values():
        for one, after in pairwise(sorted(places, key=lambda place: place.from_seq)):
            yield _Superseded(after.from_seq, document=one.id)


def _cut(found: Sequence[_Superseded], upto: Seq, history_from: Seq, size: int) -> Iterable[Slice]:
    for start in range(0, max(1, len(found)), size):
        some = found[start : start + size]
        rest = found[start + size :]
        yield Slice(
            swept_seq=rest[0].by - 1 if rest else upto,
            chunks={row.chunk: row.by for row in some if row.chunk is not None and row.by > history_from},
            documents={row.document: row.by for row in some if row.document is not None},
            removed=tuple(row.chunk for row in some if row.chunk is not None and row.by <= history_from),
        )


def dead_documents(head: Head) -> tuple[DeadRows, ...]:
    """Document rows of lower epochs that were never published, by the list of a settled head.

    That list is final once no later writer's claim is found beside the head: every later take-over builds on it.
    An epoch that is not in it published nothing that counts.
    """
    epochs = sorted(epoch for epoch in head.earlier if epoch < head.epoch)
    found: list[DeadRows] = []
    for epoch, following in pairwise([*epochs, head.epoch]):
        found.append(DeadRows(epoch, epoch + 1, head.earlier[epoch]))
        if following > epoch + 1:
            found.append(DeadRows(epoch + 1, following, -1))
    return tuple(found)


def dead_chunks(dead: DeadRows, last_content: Seq) -> DeadRows:
    """Chunk rows beside these document rows. `last_content`: the last published row of the epoch that is not a hide's.

    Chunk rows are inserted while hides are committed: those of a batch that was cut off may begin below what its epoch
    published, but not below the last batch that ended, and a hide lists no new ones.
    """
    return DeadRows(dead.low, dead.below, min(dead.above, last_content))


def last_content(published: Published, places: Iterable[Place]) -> Seq | None:
    """The greatest from_seq of a valid row that is not a hide's; None where there is none."""
    seqs = (place.from_seq for place in places if published.is_valid(place) and place.mutation.topic != HIDES)
    return max(seqs, default=None)


def begun_at(head: Head, epoch: int) -> Seq:
    """The last seq published before an earlier epoch published anything."""
    return max((seq for other, seq in head.earlier.items() if other < epoch), default=0)


class Marks:
    """Which seq was reached when, on a monotonic clock; to the second, so that it stays small.

    A mark may only be late: rows are swept later for it, never earlier.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float, Seq]] = deque()
        """When it began, when it last grew, the seq it grew to."""
        self._reached: Seq = 0

    def note(self, seq: Seq, now: float) -> None:
        """`seq` is reached now."""
        began = now
        if self._marks and now - self._marks[-1][0] < _GRAIN_SECONDS:
            began = self._marks.pop()[0]
        self._marks.append((began, now, seq))

    def reached(self, by: float) -> Seq:
        """The greatest seq that was reached at or before `by`; ever later times are asked for."""
        while self._marks and self._marks[0][1] <= by:
            self._reached = self._marks.popleft()[2]
        return self._reached

    def next(self) -> float | None:
        """When the earliest seq was reached that `reached` has not answered yet; None: there is none."""
        return self._marks[0][1] if self._marks else None
