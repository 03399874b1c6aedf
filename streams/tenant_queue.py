"""One tenant's mutations and hides during one lease, and its writer: commits what queued up while the last commit ran,
hides first (some commits of them in a row at most, and then those that come in while mutations are written), and
sweeps in between.

What follows a failure is decided in streams.core.retry. While the store is away everything waits. A hide that the store
refuses is told to the operator, kept as a dead letter so that those behind it go on, and still tried again for as long
as the lease lasts.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from index.outcomes import Outcome, Waiting
from index.rows import Item, PositionedHide, PositionedMutation
from index.sweeper import BUSY_SECONDS, IDLE_SECONDS, Swept
from runtime.cancellation import no_stray_cancellation
from schemas.errors import MillstreamError, PermanentError, UnknownTenantError
from schemas.identity import Document
from streams.core.retry import CommitSingly, Crash, DeadLetter, Failures, RetrySame, Wait, decide
from streams.heal import Healing
from streams.window import Delivery, Lease, LeaseEndedError

_SLOW_SECONDS = 5.0
_REFUSED_SECONDS = 30.0
"""Until a hide that the store refused is tried again."""
_SWEEP_AGAIN_SECONDS = 5.0
_SWEEP_SECONDS = 1.0
"""Longest of a run, of which readers of history wait for the end."""
_HIDES_IN_A_ROW = 4
"""Commits of hides, one after the other, before a batch of mutations that waits: a backlog of hides, which only
mutations can settle for good, must not hold them up for as long as it lasts.
"""
_NONE_YET = Failures()
_TRIED_TOGETHER = Failures(permanent=1)


class Writer(Protocol):
    """Commits for one tenant; takes over at its first commit and after any failure."""

    async def commit(self, batch: Sequence[Item], waiting: Waiting) -> Sequence[Outcome]:
        """Make a batch visible, one item a document; outcomes in its order. Hides that come in meanwhile are taken
        from `waiting` and made visible without waiting for the batch.
        """
        ...

    async def sweep(self, seconds: Callable[[], float], *, take_over: bool) -> Swept:
        """One run of the sweep, between commits; at most so many `seconds`, asked again before each of its steps.

        Without an epoch only where it shall `take_over`.
        """
        ...

    async def begin_history(self) -> None:
        """Nothing before the newest position can be asked for any more."""
        ...


class Letters(Protocol):
    """Where a record goes that cannot be committed."""

    async def put(self, delivery: Delivery, error: PermanentError, attempts: int) -> object:
        """Returns once it is safe; what is raised instead ends the process."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """Could not be committed, and is kept in documents.dlq."""

    reason: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one commit."""

    mutations: int
    size: int = 8 * 1024 * 1024
    """Bytes of records."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    item: Item
    delivery: Delivery
    done: "asyncio.Future[Outcome | DeadLettered]"

    def settle(self, outcome: "Outcome | DeadLettered") -> None:
        """Its outcome, once: a hide that is tried again after its dead letter has had one."""
        if not self.done.done():
            self.done.set_result(outcome)


class _WaitingHides:
    """The hides of one tenant, oldest first (`index.writer.Waiting`)."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: deque[tuple[PositionedHide, Entry]] = deque()
        self._taken: list[tuple[PositionedHide, Entry]] = []

    def add(self, hide: PositionedHide, entry: Entry) -> None:
        self._entries.append((hide, entry))

    def next_batch(self) -> list[Entry]:
        """One a document, to be settled by the caller."""
        return [entry for _, entry in self._pick()]

    def __bool__(self) -> bool:
        return bool(self._entries)

    def take(self) -> Sequence[PositionedHide]:
        self._taken = self._pick()
        return [hide for hide, _ in self._taken]

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        for (_, entry), outcome in zip(self._taken, outcomes, strict=True):
            entry.settle(outcome)
        self._taken = []

    def put_back(self) -> None:
        """What was taken and not settled waits again, in front."""
        self._entries.extendleft(reversed(self._taken))
        self._taken = []

    def _pick(self) -> list[tuple[PositionedHide, Entry]]:
        picked: list[tuple[PositionedHide, Entry]] = []
        later: list[tuple[PositionedHide, Entry]] = []
        documents: set[Document] = set()
        while self._entries and len(picked) < self._most:
            hide, entry = self._entries.popleft()
            (later if hide.document in documents else picked).append((hide, entry))
            documents.add(hide.document)
        self._entries.extendleft(reversed(later))
        return picked


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who wants to know what the applier does."""

    on_wait: Callable[[bool], None] = lambda _begins: None
    """A tenant begins, or ends, to wait for the store."""
    on_retry: Callable[[], None] = lambda: None
    on_commit: Callable[[int, float], None] = lambda _mutations, _seconds: None
    """A batch of so many mutations was committed in so many seconds."""
    on_refused_hide: Callable[[Delivery, str], None] = lambda _delivery, _reason: None
    """The store refuses a hide: what it takes away is still shown."""
    on_sweep: Callable[[Swept, float], None] = lambda _swept, _seconds: None
    """A run of the sweep, and how long it took."""
    on_sweep_failed: Callable[[Exception], None] = lambda _error: None
    """Nobody waits for a sweep: what it fails with goes here."""
    on_healing: Callable[[Delivery, Healing], None] = lambda _delivery, _healing: None
    """The change of a delivery lies behind one that counts more, which was healed or could not be."""


class TenantQueue:
    """The mutations and hides of one tenant during one lease, and its writer."""

    def __init__(self, writer: Writer, letters: Letters, lease: Lease, bounds: Bounds, hooks: Hooks) -> None:
        self._writer = writer
        self._letters = letters
        self._lease = lease
        self._bounds = bounds
        self._hooks = hooks
        self._waiting: deque[Entry] = deque()
        self._hides = _WaitingHides(bounds.mutations)
        self._refused: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None
        self._committed_in = 0.0
        self._is_behind = False
        """Whether more hides wait than are committed in a row."""
        self._sweep_at = monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._histories: deque[asyncio.Future[None]] = deque()
        self._kept = False
        """Whether the next sweep may take the tenant over, although nothing came in."""

    async def commit(self, item: PositionedMutation, delivery: Delivery) -> Outcome | DeadLettered:
        """Queue a mutation and wait for its outcome. Raises LeaseEndedError, and whatever nobody planned for."""
        entry = Entry(item, delivery, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._start()
        return await entry.done

    async def hide(self, item: PositionedHide, delivery: Delivery) -> Outcome | DeadLettered:
        """Queue a hide before the mutations that wait, and wait for its outcome; else as `commit`."""
        entry = Entry(item, delivery, asyncio.get_running_loop().create_future())
        self._hides.add(item, entry)
        self._start()
        return await entry.done

    def keep(self) -> None:
        """Sweep, although nothing came in."""
        self._kept, self._sweep_at = True, monotonic()
        self._start()

    async def begin_history(self) -> None:
        """Between two commits, let history begin. Raises what the writer raises."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._histories.append(done)
        self._start()
        await done

    def _start(self) -> None:
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            if self._waiting:
                await self._hand_over(self._next_batch())
            await self._hide_some()
            await self._begin_histories()
            await self._sweep()
            if self._is_idle():
                break
        self._runner = None
        self._sweep_later()

    def _sweep_later(self) -> None:
        """While nothing comes in, sweep on."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._lease.is_ending:
            pause = max(0.0, self._sweep_at - monotonic())
            self._timer = asyncio.get_running_loop().call_later(pause, self._start)

    def _is_idle(self) -> bool:
        return not self._waiting and not self._hides and not self._histories

    async def _begin_histories(self) -> None:
        while self._histories:
            done = self._histories.popleft()
            try:
                if self._lease.is_ending:
                    raise LeaseEndedError
                with no_stray_cancellation():
                    await self._writer.begin_history()
            except Exception as error:  # noqa: BLE001 - handed to whoever waits
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(None)

    def _sweep_seconds(self) -> float:
        """How long a run may take now. Where mutations wait, as long as the commit before it: otherwise a tenant that
        never rests supersedes rows faster than they are swept. A hide waits for nothing but the step under way, unless
        so many do that there would never be a sweep.
        """
        if self._lease.is_ending or (self._hides and not self._is_behind):
            return 0.0
        if self._hides or self._waiting:
            return max(BUSY_SECONDS, min(self._committed_in, _SWEEP_SECONDS))
        return IDLE_SECONDS

    async def _sweep(self) -> None:
        """One run where it is due. It belongs to no record, so what goes wrong is told and not raised."""
        started = monotonic()
        if started < self._sweep_at or self._lease.is_ending:
            return
        try:
            take_over, self._kept = self._kept, False
            with no_stray_cancellation():
                swept = await self._writer.sweep(self._sweep_seconds, take_over=take_over)
        except Exception as error:  # noqa: BLE001 - handed on: what nobody planned for ends the process
            self._sweep_at = monotonic() + _SWEEP_AGAIN_SECONDS
            self._hooks.on_sweep_failed(error)
        else:
            self._sweep_at = monotonic() + swept.next_in
            self._hooks.on_sweep(swept, monotonic() - started)

    async def _hide_some(self) -> None:
        for _ in range(_HIDES_IN_A_ROW):
            if self._hides:
                await self._hand_over(self._hides.next_batch())
        self._is_behind = bool(self._hides)

    async def _hand_over(self, batch: Sequence[Entry]) -> None:
        try:
            with no_stray_cancellation():
                await self._settle(batch)
        except Exception as error:  # noqa: BLE001 - handed to the records that wait; there it ends the process
            for entry in batch:
                if not entry.done.done():
                    entry.done.set_exception(error)

    def _next_batch(self) -> list[Entry]:
        batch = [self._waiting.popleft()]
        size = batch[0].delivery.size
        while self._waiting and len(batch) < self._bounds.mutations:
            size += self._waiting[0].delivery.size
            if size > self._bounds.size:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _settle(self, batch: Sequence[Entry], failures: Failures = _NONE_YET) -> None:
        """Try until every entry of the batch has its outcome."""
        while True:
            if isinstance(batch[0].item, PositionedMutation):
                await self._hide_some()
            if self._lease.is_ending:
                raise LeaseEndedError
            try:
                outcomes = await self._commit([entry.item for entry in batch])
            except MillstreamError as error:
                failures = failures.and_then(error)
                if await self._after(error, failures, batch):
                    return
            else:
                for entry, outcome in zip(batch, outcomes, strict=True):
                    entry.settle(outcome)
                return

    async def _commit(self, batch: Sequence[Item]) -> Sequence[Outcome]:
        """One attempt. Never cut off, however long: one that takes long is told to be a wait."""
        started = monotonic()
        attempt = asyncio.ensure_future(self._writer.commit(batch, self._hides))
        done, _ = await asyncio.wait([attempt], timeout=_SLOW_SECONDS)
        if not done:
            self._hooks.on_wait(True)
            try:
                await asyncio.wait([attempt])
            finally:
                self._hooks.on_wait(False)
        self._hides.put_back()
        outcomes = attempt.result()
        self._committed_in = monotonic() - started
        self._hooks.on_commit(len(batch), self._committed_in)
        return outcomes

    async def _after(self, error: MillstreamError, failures: Failures, batch: Sequence[Entry]) -> bool:
        """Act on what is decided; whether the batch is settled."""
        match decide(len(batch), failures, error):
            case RetrySame():
                self._hooks.on_retry()
                return False
            case Wait(seconds=seconds):
                self._hooks.on_retry()
                self._hooks.on_wait(True)
                try:
                    await self._lease.pause(seconds)
                finally:
                    self._hooks.on_wait(False)
                return False
            case CommitSingly():
                for entry in batch:
                    await self._settle([entry], _TRIED_TOGETHER)
                return True
            case DeadLetter(reason=reason):
                assert isinstance(error, PermanentError)
                for entry in batch:
                    if isinstance(entry.item, PositionedHide) and not isinstance(error, UnknownTenantError):
                        self._try_later(entry.item, entry, reason)
                    if not entry.done.done():
                        await self._letters.put(entry.delivery, error, failures.attempts)
                        entry.settle(DeadLettered(reason))
                return True
            case Crash():
                raise error

    def _try_later(self, hide: PositionedHide, entry: Entry, reason: str) -> None:
        """A refused hide is tried until its own mutation has caught up at the latest."""

        async def again() -> None:
            await self._lease.pause(_REFUSED_SECONDS)
            if not self._lease.is_ending:
                self._hides.add(hide, entry)
                self._start()

        self._hooks.on_refused_hide(entry.delivery, reason)
        waiting = asyncio.create_task(again())
        self._refused.add(waiting)
        waiting.add_done_callback(self._refused.discard)
