"""Which published position a read is given at: the newest, an earlier seq, or what was published by a point in time
(design §5: rounded down to a published head, refused before history_from).

Times need no index of their own: committed_at never goes back along a tenant's seqs (index.writer), so the head of a
time is found by halving the seqs.
"""

from datetime import datetime

from index.model import DocumentRow, Moment, Published, Seq
from index.port import VersionedIndex
from runtime.clock import Clock
from schemas.errors import BrokenIndexError, PermanentError

AsOf = Seq | datetime
"""A seq, or an aware time: the newest head with committed_at at or before it."""


class FuturePositionError(PermanentError):
    """An as-of position that was not published yet, or a time to come."""

    reason = "future_position"

    def __init__(self, newest: Seq) -> None:
        super().__init__(f"the newest published position is {newest}")
        self.newest = newest


class HistoryUnavailableError(PermanentError):
    """An as-of position from before the kept history."""

    reason = "history_unavailable"

    def __init__(self, history_from: Seq) -> None:
        super().__init__(f"history is kept from position {history_from} on")
        self.history_from = history_from


class Moments:
    """Finds positions of one incarnation; keeps nothing."""

    def __init__(self, index: VersionedIndex, clock: Clock) -> None:
        self._index = index
        self._clock = clock

    async def at(self, published: Published, as_of: AsOf | None) -> Moment:
        """The position to read at: `as_of` rounded down to a published head, the newest without one.

        Raises FuturePositionError, HistoryUnavailableError.
        """
        if as_of is None:
            return published.newest
        if isinstance(as_of, datetime):
            return await self._at_time(published, as_of)
        return await self._at_seq(published, as_of)

    async def _at_seq(self, published: Published, as_of: Seq) -> Moment:
        if as_of == published.seq:
            return published.newest
        if as_of > published.seq:
            raise FuturePositionError(published.seq)
        if as_of < published.head.history_from or as_of < 0:
            raise HistoryUnavailableError(published.head.history_from)
        if as_of == 0:
            return Moment(0, None)
        row = await row_at(self._index, published, as_of)
        if row.batch_to != as_of:
            if row.batch_from == 0:
                return Moment(0, None)
            row = await row_at(self._index, published, row.batch_from)
        return Moment(row.from_seq, row.committed_at)

    async def _at_time(self, published: Published, as_of: datetime) -> Moment:
        """A time is to come if it is later than both this clock and the newest position, whose writer's clock may be
        ahead of ours: the committed_at of an answer can always be asked as of.
        """
        if as_of >= published.head.published_at:
            if as_of > self._clock.now() and as_of > published.head.published_at:
                raise FuturePositionError(published.seq)
            return published.newest
        found = await self._last_by(published, as_of)
        if found.seq < published.head.history_from:
            raise HistoryUnavailableError(published.head.history_from)
        return found

    async def _last_by(self, published: Published, time: datetime) -> Moment:
        """The last position committed by `time`, which is earlier than the newest. One small read a halving: 17 for
        100,000 seqs.

        `low` and `high` are always published heads, because a batch is committed at one time and skipped as one.
        """
        low, high = Moment(0, None), published.seq
        while low.seq < high:
            row = await row_at(self._index, published, (low.seq + high) // 2 + 1)
            if row.committed_at <= time:
                low = Moment(row.batch_to, row.committed_at)
            else:
                high = row.batch_from
        return low


async def row_at(index: VersionedIndex, published: Published, seq: Seq) -> DocumentRow:
    """The one valid document row of a published seq. Raises BrokenIndexError."""
    valid = [row for row in await index.rows_at(published.head.tenant, seq) if published.is_valid(row)]
    if len(valid) != 1:
        raise BrokenIndexError(f"tenant {published.head.tenant}: {len(valid)} valid document rows at seq {seq}")
    return valid[0]
