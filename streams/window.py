"""Runs the records of a stage at the same time, bounded, and acknowledges them in offset order (stack: Faust).

Faust hands records over one by one; the window starts each as a task as soon as no earlier record of its document is
under way; a barrier runs alone in its partition. A `Lease` is the time from an assignment of partitions to its end:
nothing is acknowledged after it, nothing is cancelled because of it, and the next one starts clean. An unexpected
exception ends the process, so that what was not acknowledged comes again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from runtime.cancellation import no_stray_cancellation
from runtime.clock import is_set_within
from runtime.log_port import Headers
from schemas.identity import ACL_SUFFIX
from schemas.records import Coordinates
from streams.core.order import PartitionOrder

_ACL_SUFFIX = ACL_SUFFIX.encode()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record as the log delivered it; `coordinates` are without the installation's prefix."""

    coordinates: Coordinates
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    ack: Callable[[], object] = field(default=lambda: None, compare=False, repr=False)

    @property
    def document(self) -> bytes:
        """What orders it: the document's key, its `#acl` too. A record without a key is ordered with nothing."""
        if self.key is None:
            return f"\0{self.coordinates.offset}".encode()
        return self.key.removesuffix(_ACL_SUFFIX)

    @property
    def size(self) -> int:
        """Bytes it holds in memory, roughly."""
        return len(self.key or b"") + len(self.value or b"")


class Lease:
    """From an assignment of partitions to its end. Work that waits should stop waiting when it `is_ending`."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()

    @property
    def is_ending(self) -> bool:
        return self._ending.is_set()

    def end(self) -> None:
        """Nothing new starts, and waits are broken off."""
        self._ending.set()

    async def pause(self, seconds: float) -> None:
        """Wait `seconds`, or until the lease ends."""
        await is_set_within(self._ending, seconds)


class LeaseEndedError(Exception):
    """Work gave its record up because the lease ended: it is not acknowledged, another process gets it."""


Work = Callable[[Delivery, Lease], Awaitable[None]]
OnAck = Callable[[int, int], None]
"""Called with a partition and its next offset, after the acknowledgement."""
Crash = Callable[[BaseException], None]


class Window:
    """The records under way of one stage process. All methods belong to one event loop."""

    def __init__(
        self,
        work: Work,
        crash: Crash,
        *,
        records: int,
        max_bytes: int,
        on_ack: OnAck = lambda _partition, _offset: None,
        is_barrier: Callable[[Delivery], bool] = lambda _delivery: False,
    ) -> None:
        self._work = work
        self._crash = crash
        self._is_barrier = is_barrier
        self._records = records
        self._max_bytes = max_bytes
        self._on_ack = on_ack
        self._lease = Lease()
        self._orders: dict[int, PartitionOrder] = {}
        self._held: dict[tuple[int, int], Delivery] = {}
        self._bytes = 0
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.acknowledged = 0
        """How many records were acknowledged since the process started."""
        self.finished = 0
        """How many records were worked on to their end since then, acknowledged or not."""
        self.positions: dict[int, int] = {}
        """Partition -> next offset to acknowledge, during this lease."""

    def __len__(self) -> int:
        return len(self._held)

    @property
    def lease(self) -> Lease:
        return self._lease

    async def put(self, delivery: Delivery) -> None:
        """Admit a record when there is room. One caller at a time; what comes after the lease ended is dropped."""
        lease = self._lease
        while not lease.is_ending and self.is_full(delivery):
            self._changed.clear()
            await self._changed.wait()
        if not lease.is_ending:
            self._admit(delivery, lease)

    def is_full(self, delivery: Delivery) -> bool:
        """Whether `put` would wait."""
        order = self._orders.get(delivery.coordinates.partition)
        too_many = order is not None and len(order) >= self._records
        return too_many or (bool(self._held) and self._bytes + delivery.size > self._max_bytes)

    def _admit(self, delivery: Delivery, lease: Lease) -> None:
        partition, offset = delivery.coordinates.partition, delivery.coordinates.offset
        order = self._orders.setdefault(partition, PartitionOrder())
        if order.knows(offset):
            return
        self._held[partition, offset] = delivery
        self._bytes += delivery.size
        self.positions.setdefault(partition, offset)
        if order.admit(offset, None if self._is_barrier(delivery) else delivery.document):
            self._start(delivery, order, lease)

    def _start(self, delivery: Delivery, order: PartitionOrder, lease: Lease) -> None:
        task = asyncio.create_task(self._run(delivery, order, lease))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, delivery: Delivery, order: PartitionOrder, lease: Lease) -> None:
        try:
            with no_stray_cancellation():
                await self._work(delivery, lease)
        except LeaseEndedError:
            return
        except Exception as error:  # noqa: BLE001 - the one place where the unexpected ends the process
            self._crash(error)
            return
        self.finished += 1
        if lease is self._lease:
            self._finish(delivery, order, lease)

    def _finish(self, delivery: Delivery, order: PartitionOrder, lease: Lease) -> None:
        partition = delivery.coordinates.partition
        released = order.finish(delivery.coordinates.offset)
        for offset in released.acks:
            done = self._held.pop((partition, offset))
            self._bytes -= done.size
            self.acknowledged += 1
            self.positions[partition] = offset + 1
            done.ack()
        if released.acks:
            self._on_ack(partition, self.positions[partition])
            self._changed.set()
        if not lease.is_ending:
            for offset in released.starts:
                self._start(self._held[partition, offset], order, lease)

    async def drain(self, seconds: float) -> bool:
        """End the lease: start nothing more, let what runs finish (and be acknowledged) for at most `seconds`.

        Returns whether all of it did. What did not goes on, but is not acknowledged after `renew`.
        """
        self._lease.end()
        self._changed.set()
        if not self._running:
            return True
        _, late = await asyncio.wait(self._running, timeout=seconds)
        return not late

    def renew(self) -> None:
        """Forget everything of the lease that ended; a fresh assignment starts clean."""
        self._lease.end()
        self._lease = Lease()
        self._orders.clear()
        self._held.clear()
        self.positions.clear()
        self._bytes = 0
        self._changed.set()
