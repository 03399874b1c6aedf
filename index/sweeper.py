"""Carries the sweep out for one tenant: the steps of one bounded run (design §5; what is decided lies in index.sweep).

A run belongs to the tenant's writer, between its commits, after a look at the heads showed its epoch still the highest:
what that epoch has published is then valid for ever. `sweeps` in the head is written before and after rows of kept
history are rewritten; an as-of read that saw it move asks again. A run that is cut off anywhere is begun again: closing
and removing twice changes nothing.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from index.model import Head, Published, Seq
from index.moments import HistoryUnavailableError, Moments
from index.port import DeadRows, VersionedIndex
from index.reader import READ_SECONDS
from index.sweep import Marks, Slice, begun_at, dead_chunks, dead_documents, last_content, slices
from index.undisturbed import STALE_SECONDS
from runtime.clock import Clock
from runtime.faults import Point, reach
from schemas.errors import BrokenIndexError

NO_HISTORY = timedelta(0)
_NO_HISTORY_SECONDS = 1.0
"""How often, without history, the newest position becomes its end."""
_PAGE = 64
"""Seqs looked at together."""
_REMOVED_AT_ONCE = 200

_HELD_UP_SECONDS = STALE_SECONDS / 2
"""A writer that has paused for so long closes no more rows in this run."""


@dataclass(frozen=True, slots=True)
class SweepPolicy:
    """How long things wait and how much is done at once."""

    history: Callable[[], timedelta] = lambda: timedelta(hours=24)
    """How long superseded rows are kept; 0: no as-of reads. Asked again at every run."""
    wait_seconds: float = 2 * READ_SECONDS
    """2 L: from being superseded, or from the end of history, until rows are touched."""
    gap_seconds: float = 0.05
    """Between two runs, so that as-of reads find a moment without one."""
    rows: int = 64
    """Closed together: 40 ms of a busy store."""
    history_seconds: float = 60.0
    """How often, at most, the end of history is looked for, and rows that it leaves behind."""
    garbage_seconds: float = 600.0
    """How often rows of dead writers are looked for: a paused one may write more."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one run did."""

    next_in: float
    """Seconds until it is worth asking again."""
    closed: int = 0
    removed: int = 0
    """Rows, of chunks and documents."""


IDLE_SECONDS = 0.25
"""A run while nobody waits: as-of reads wait for its end."""
BUSY_SECONDS = 0.05
"""A run while somebody waits who should not notice it."""


def _idle() -> float:
    return IDLE_SECONDS


class Sweeper:
    """The sweep of one tenant by one writer. Not safe for concurrent calls."""

    def __init__(self, index: VersionedIndex, clock: Clock, policy: SweepPolicy) -> None:
        self._index = index
        self._clock = clock
        self._policy = policy
        self._moments = Moments(index, clock)
        self._published = Marks()
        self._ends = Marks()
        """Ends of history."""
        self._slices: deque[Slice] = deque()
        self._expired: Seq = 0
        self._kept: timedelta | None = None
        """How long history was kept when its end was last looked for."""
        self._removes_first = False
        self._dead: deque[DeadRows] = deque()
        self._next_run = self._next_end = self._next_expiry = self._next_garbage = 0.0
        self._inherited_until = 0.0
        """When a run that a predecessor was in has ended, and with it the last call it may have made."""
        self.closed = self.removed = 0
        """Rows so far."""

    def begin(self, head: Head) -> None:
        """A take-over: everything published before counts from now."""
        now = self._clock.monotonic()
        self._published, self._ends = Marks(), Marks()
        self._published.note(head.seq, now)
        self._ends.note(head.history_from, now)
        self._inherited_until = now + _HELD_UP_SECONDS
        self._slices.clear()
        self._dead.clear()
        self._expired = 0
        self._next_run = self._next_end = self._next_expiry = self._next_garbage = now

    def note(self, head: Head) -> None:
        """`head` is published, and nobody took over before it was."""
        self._published.note(head.seq, self._clock.monotonic())

    def due_in(self, head: Head) -> float:
        """Seconds until a run may find work, or until history may be another."""
        if head.is_sweeping:
            return max(0.0, self._inherited_until - self._clock.monotonic())
        now, wait = self._clock.monotonic(), self._policy.wait_seconds
        times = [self._next_garbage, now + self._policy.history_seconds]
        if self._slices or self._dead or self._limit() > head.swept_seq:
            times.append(now)
        if self._end() > self._expired:
            times.append(self._next_expiry)
        times += [mark + wait for mark in (self._published.next(), self._ends.next()) if mark is not None]
        if head.history_from < head.seq:
            times.append(self._next_end if self._policy.history() == self._kept else now)
        return max(0.0, self._next_run - now, min(times) - now)

    async def run(self, head: Head, seconds: Callable[[], float] = _idle) -> Head:
        """One run; the head as it left it. After so many `seconds`, asked again before every step, nothing new begins.

        Raises TransientError, BrokenIndexError.
        """
        began = self._clock.monotonic()

        def goes_on() -> bool:
            return self._clock.monotonic() - began < seconds()

        head = await self._end_history(head)
        # By turns: where rows are superseded as fast as they are swept, a run's time is over before what comes second.
        self._removes_first = not self._removes_first
        if self._removes_first:
            await self._remove(head, goes_on)
        head = await self._supersede(head, goes_on)
        await self._remove(head, goes_on)
        self._next_run = self._clock.monotonic() + self._policy.gap_seconds
        return head

    async def _end_history(self, head: Head) -> Head:
        """Move history_from to what is in force as long ago as history is kept. Rows are removed 2 L later."""
        now, keeps = self._clock.monotonic(), self._policy.history()
        if head.history_from >= head.seq or (now < self._next_end and keeps == self._kept):
            return head
        self._kept = keeps
        if keeps <= NO_HISTORY:
            self._next_end, end = now + _NO_HISTORY_SECONDS, head.seq
        else:
            end = await self._kept_from(head, keeps)
            self._next_end = now + await self._until_later(head, end, keeps)
        if end <= head.history_from:
            return head
        head = replace(head, history_from=end)
        await self._index.put_head(head)
        reach(Point.SWEEP_2)
        self._ends.note(end, self._clock.monotonic())
        return head

    async def _kept_from(self, head: Head, keeps: timedelta) -> Seq:
        try:
            return (await self._moments.at(Published(head), self._clock.now() - keeps)).seq
        except (HistoryUnavailableError, BrokenIndexError):  # a lost row is for the audit to find
            return head.history_from

    async def _until_later(self, head: Head, end: Seq, keeps: timedelta) -> float:
        """Seconds until history ends later than `end`: when the row after it is as old as history."""
        shortest, longest = self._policy.history_seconds, keeps.total_seconds()
        rows = await self._index.rows_at(head.tenant, end + 1)
        ages = [self._clock.now() - row.committed_at for row in rows if Published(head).is_valid(row)]
        return max([shortest, *(longest - age.total_seconds() for age in ages)])

    def _end(self) -> Seq:
        """The end of history that no running read is before."""
        return self._ends.reached(self._clock.monotonic() - self._policy.wait_seconds)

    def _limit(self) -> Seq:
        """Up to where superseded rows may be touched: without history they are only ever removed, once it has ended."""
        limit = self._published.reached(self._clock.monotonic() - self._policy.wait_seconds)
        return limit if self._policy.history() > NO_HISTORY else min(limit, self._end())

    async def _supersede(self, head: Head, goes_on: Callable[[], bool]) -> Head:
        """Close or remove what is superseded, older ones first."""
        began, since = head, self._clock.monotonic()
        if head.is_sweeping and since < self._inherited_until:
            return head
        while goes_on():
            if not self._slices:
                if head.swept_seq >= self._limit():
                    break
                self._slices.extend(await self._load(head))
            if self._slices[0].closes and not head.is_sweeping:
                since = self._clock.monotonic()
                head = replace(head, sweeps=head.sweeps + 1)
                await self._index.put_head(head)
                reach(Point.SWEEP_3)
            if head.is_sweeping and self._clock.monotonic() - since > _HELD_UP_SECONDS:
                break  # readers may take the run for ended: the next one goes on
            part = self._slices[0] = await self._carry_out_some(head, self._slices[0])
            if not part.is_empty:
                continue
            reach(Point.SWEEP_4)
            self._slices.popleft()
            head = replace(head, swept_seq=max(head.swept_seq, part.swept_seq))
        if head.is_sweeping:
            head = replace(head, sweeps=head.sweeps + 1)
        if head != began:
            await self._index.put_head(head)
            reach(Point.SWEEP_5)
        return head

    async def _load(self, head: Head) -> tuple[Slice, ...]:
        upto = min(self._limit(), head.swept_seq + _PAGE)
        changed = await self._index.places(head.tenant, after=head.swept_seq, at_most=upto)
        still_open = await self._index.open_places({place.document for place in changed}, at_most=upto)
        return slices(Published(head), changed, still_open, upto=upto, history_from=self._end(), size=self._policy.rows)

    async def _carry_out_some(self, head: Head, part: Slice) -> Slice:
        """One call to the store; what is left."""
        if part.chunks:
            await self._index.close_chunks(head.tenant, part.chunks)
            self.closed += len(part.chunks)
            return replace(part, chunks={})
        if part.documents:
            await self._index.close_documents(head.tenant, part.documents)
            self.closed += len(part.documents)
            return replace(part, documents={})
        if part.removed:
            await self._index.remove_chunks(head.tenant, part.removed)
            self.removed += len(part.removed)
        return replace(part, removed=())

    async def _remove(self, head: Head, goes_on: Callable[[], bool]) -> None:
        await self._expire(head, goes_on)
        await self._collect(head, goes_on)

    async def _expire(self, head: Head, goes_on: Callable[[], bool]) -> None:
        """Remove chunk rows that were closed, and that history has ended for."""
        end = self._end()
        if self._clock.monotonic() < self._next_expiry:
            return
        while self._expired < end and goes_on():
            found = await self._index.closed_chunks(head.tenant, at_most=end, limit=_REMOVED_AT_ONCE)
            if found:
                await self._index.remove_chunks(head.tenant, found)
                reach(Point.SWEEP_6)
                self.removed += len(found)
            if len(found) < _REMOVED_AT_ONCE:
                self._expired = end
                self._next_expiry = self._clock.monotonic() + self._policy.history_seconds

    async def _collect(self, head: Head, goes_on: Callable[[], bool]) -> None:
        """Remove what lower epochs left behind."""
        if not self._dead:
            if self._clock.monotonic() < self._next_garbage:
                return
            self._next_garbage = self._clock.monotonic() + self._policy.garbage_seconds
            self._dead.extend(dead_documents(head))
        while self._dead and goes_on():
            if await self._collect_some(head, self._dead[0]):
                self._dead.popleft()

    async def _collect_some(self, head: Head, dead: DeadRows) -> bool:
        """Whether that was all."""
        of_chunks = await chunks_beside(self._index, head, dead)
        chunks = await self._index.dead_chunks(head.tenant, of_chunks, limit=_REMOVED_AT_ONCE)
        if chunks:
            await self._index.remove_chunks(head.tenant, chunks)
        documents = await self._index.dead_documents(head.tenant, dead, limit=_REMOVED_AT_ONCE)
        if documents:
            await self._index.remove_documents(head.tenant, documents)
        self.removed += len(chunks) + len(documents)
        if chunks or documents:
            reach(Point.SWEEP_7)
        return max(len(chunks), len(documents)) < _REMOVED_AT_ONCE


async def chunks_beside(index: VersionedIndex, head: Head, dead: DeadRows) -> DeadRows:
    """The chunk rows that nothing published counts, beside dead document rows."""
    if dead.above < 0:
        return dead
    return dead_chunks(dead, await _last_content(index, head, dead.low))


async def _last_content(index: VersionedIndex, head: Head, epoch: int) -> Seq:
    """The last seq of an earlier epoch that is not a hide's, or what was published before it began."""
    published, first, last = Published(head), begun_at(head, epoch), head.earlier[epoch]
    while last > first:
        after = max(first, last - _PAGE)
        found = last_content(published, await index.places(head.tenant, after=after, at_most=last))
        if found is not None:
            return found
        last = after
    return first
