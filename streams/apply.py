"""Applies mutations to the index: a queue and one writer a tenant, committing what queued up while the last commit ran.

`Applier.apply` returns when its mutation is visible, changes nothing, or is a dead letter; only then is the record
acknowledged. What follows a failure is decided in streams.core.retry. While the store is away mutations wait.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from index.rows import PositionedMutation
from index.writer import Outcome
from schemas.errors import MillstreamError, PermanentError, TransientError
from schemas.identity import Tenant
from schemas.records import Mutation
from schemas.topics import Topics
from streams.core.retry import CommitSingly, Crash, DeadLetter, Failures, RetrySame, Wait, decide
from streams.dead_letters import DeadLetters
from streams.deliveries import decode_delivery
from streams.window import Delivery, Lease, LeaseEndedError

_SLOW_SECONDS = 5.0
_NONE_YET = Failures()
_TRIED_TOGETHER = Failures(permanent=1)


class Writer(Protocol):
    """Commits for one tenant; takes over at its first commit and after any failure."""

    async def commit(self, batch: Sequence[PositionedMutation]) -> Sequence[Outcome]:
        """Make a batch visible, one mutation a document; outcomes in its order."""
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
class _Entry:
    item: PositionedMutation
    delivery: Delivery
    done: "asyncio.Future[Outcome | DeadLettered]"


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who wants to know what the applier does."""

    on_wait: Callable[[bool], None] = lambda _begins: None
    """A tenant begins, or ends, to wait for the store."""
    on_retry: Callable[[], None] = lambda: None
    on_commit: Callable[[int, float], None] = lambda _mutations, _seconds: None
    """A batch of so many mutations was committed in so many seconds."""


_NO_HOOKS = Hooks()


class TenantQueue:
    """The mutations of one tenant during one lease, and its writer."""

    def __init__(self, writer: Writer, letters: DeadLetters, lease: Lease, bounds: Bounds, hooks: Hooks) -> None:
        self._writer = writer
        self._letters = letters
        self._lease = lease
        self._bounds = bounds
        self._hooks = hooks
        self._waiting: deque[_Entry] = deque()
        self._runner: asyncio.Task[None] | None = None

    async def commit(self, item: PositionedMutation, delivery: Delivery) -> Outcome | DeadLettered:
        """Queue a mutation and wait for its outcome. Raises LeaseEndedError, and whatever nobody planned for."""
        entry = _Entry(item, delivery, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return await entry.done

    async def _run(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            try:
                await self._settle(batch)
            except Exception as error:  # noqa: BLE001 - handed to the records that wait; there it ends the process
                for entry in batch:
                    if not entry.done.done():
                        entry.done.set_exception(error)
        self._runner = None

    def _next_batch(self) -> list[_Entry]:
        batch = [self._waiting.popleft()]
        size = batch[0].delivery.size
        while self._waiting and len(batch) < self._bounds.mutations:
            size += self._waiting[0].delivery.size
            if size > self._bounds.size:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _settle(self, batch: Sequence[_Entry], failures: Failures = _NONE_YET) -> None:
        """Try until every entry of the batch has its outcome."""
        while True:
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
                    entry.done.set_result(outcome)
                return

    async def _commit(self, batch: Sequence[PositionedMutation]) -> Sequence[Outcome]:
        """One attempt. Never cut off, however long: one that takes long is told to be a wait."""
        started = monotonic()
        attempt = asyncio.ensure_future(self._writer.commit(batch))
        done, _ = await asyncio.wait([attempt], timeout=_SLOW_SECONDS)
        if not done:
            self._hooks.on_wait(True)
            try:
                await asyncio.wait([attempt])
            finally:
                self._hooks.on_wait(False)
        outcomes = attempt.result()
        self._hooks.on_commit(len(batch), monotonic() - started)
        return outcomes

    async def _after(self, error: MillstreamError, failures: Failures, batch: Sequence[_Entry]) -> bool:
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
                    await self._letters.put(entry.delivery, error, failures.attempts)
                    entry.done.set_result(DeadLettered(reason))
                return True
            case Crash():
                raise error


class Applier:
    """All tenants of one apply process."""

    def __init__(
        self,
        writer_for: Callable[[Tenant], Writer],
        letters: DeadLetters,
        topics: Topics,
        bounds: Bounds,
        hooks: Hooks = _NO_HOOKS,
    ) -> None:
        self._writer_for = writer_for
        self._letters = letters
        self._topics = topics
        self._bounds = bounds
        self._hooks = hooks
        self._lease: Lease | None = None
        self._queues: dict[Tenant, TenantQueue] = {}

    async def apply(self, delivery: Delivery, lease: Lease) -> tuple[Mutation, Outcome | DeadLettered]:
        """Settle one record. Raises PermanentError for one that is no mutation, and as `TenantQueue.commit`."""
        mutation = decode_delivery(delivery, Mutation, self._topics)
        queue = self._queue(mutation.tenant, lease)
        return mutation, await queue.commit(PositionedMutation(mutation, delivery.coordinates), delivery)

    def _queue(self, tenant: Tenant, lease: Lease) -> TenantQueue:
        """A tenant's queue; a new lease begins with new writers, which take over."""
        if lease is not self._lease:
            self._lease, self._queues = lease, {}
        if tenant not in self._queues:
            self._queues[tenant] = TenantQueue(
                self._writer_for(tenant), self._letters, lease, self._bounds, self._hooks
            )
        return self._queues[tenant]


class StoreOffsets:
    """Tells the store how far each partition is acknowledged: in order, the newest alone, off every record's path."""

    def __init__(
        self,
        put: Callable[[int, int], Awaitable[None]],
        on_error: Callable[[BaseException], None],
        *,
        seconds: float = 0.5,
    ) -> None:
        self._put = put
        self._on_error = on_error
        self._seconds = seconds
        self._newest: dict[int, int] = {}
        self._runner: asyncio.Task[None] | None = None

    def note(self, partition: int, offset: int) -> None:
        """The next offset to apply of a partition."""
        self._newest[partition] = offset
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._newest:
                await self.flush()
                await asyncio.sleep(self._seconds)
        except Exception as error:  # noqa: BLE001 - handed on: it ends the process
            self._on_error(error)
        finally:
            self._runner = None

    async def flush(self) -> None:
        """Write what is noted. What the store does not take now is written later, or covered by a later offset."""
        for partition in list(self._newest):
            offset = self._newest.pop(partition)
            try:
                await self._put(partition, offset)
            except TransientError:
                self._newest.setdefault(partition, offset)
                return
