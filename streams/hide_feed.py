"""Reads index.hides in the process that applies: the same partition numbers as it has of index.mutations, so that one
writer a tenant gets both. Beside Faust, because one full buffer in a Faust app stalls everything else in it.

It lives lease by lease. Offsets are committed once their hides are applied, in order; what was not comes again, which
is harmless.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from runtime.log_port import LogShare, StoredRecord
from schemas.errors import TransientError
from streams.background import Background
from streams.window import Crash, Delivery, Lease, Window, Work

_LOOK_SECONDS = 0.05
_AGAIN_SECONDS = 1.0
_DRAIN_SECONDS = 10.0
_UNDER_WAY = 1024
"""Hides of this process that are read and not acknowledged."""
_BYTES = 16 * 1024 * 1024

log = structlog.get_logger("millstream.streams")


class HideFeed(Background):
    """One for each process, stopped after its lease ended. `assigned` and `lease` are the app's, at this moment."""

    def __init__(
        self,
        share: LogShare,
        work: Work,
        assigned: Callable[[], frozenset[int]],
        lease: Callable[[], Lease],
        crash: Crash,
    ) -> None:
        super().__init__(crash)
        self._share = share
        self._work = work
        self._assigned = assigned
        self._lease = lease
        self._acknowledged: Mapping[int, int] = {}
        self.applied = 0
        """How often hides were done with, in their order, since the process started."""

    async def _run(self) -> None:
        while True:
            lease, partitions = self._lease(), self._assigned()
            if partitions and not lease.is_ending:
                await self._serve(lease, partitions)
            else:
                await asyncio.sleep(_LOOK_SECONDS)

    async def _serve(self, lease: Lease, partitions: frozenset[int]) -> None:
        """Until the lease ends, the partitions are others, or Kafka does not answer."""

        async def work(delivery: Delivery, _own: Lease) -> None:
            await self._work(delivery, lease)

        window = Window(work, self._crash, records=2 * _UNDER_WAY, max_bytes=_BYTES, on_ack=self._count)
        self._acknowledged = {}
        try:
            await self._share.start(partitions)
            while not lease.is_ending and self._assigned() == partitions:
                await self._admit(await self._share.read(), window, lease)
                await self._acknowledge(window)
            await window.drain(_DRAIN_SECONDS)
            await self._acknowledge(window)
        except TransientError as error:
            log.warning("hides cannot be read", reason=str(error))
            await lease.pause(_AGAIN_SECONDS)
        finally:
            await window.drain(_DRAIN_SECONDS)
            await self._share.stop()

    async def _admit(self, records: Sequence[StoredRecord], window: Window, lease: Lease) -> None:
        for delivery in map(_delivery_of, records):
            # The window has a lease of its own, which does not end while somebody waits in `put`.
            while (len(window) >= _UNDER_WAY or window.is_full(delivery)) and not lease.is_ending:
                await lease.pause(_LOOK_SECONDS)
            if lease.is_ending:
                return
            await window.put(delivery)

    def _count(self, _partition: int, _offset: int) -> None:
        self.applied += 1

    async def _acknowledge(self, window: Window) -> None:
        positions = dict(window.positions)
        if positions != self._acknowledged:
            await self._share.acknowledge(positions)
            self._acknowledged = positions


def _delivery_of(record: StoredRecord) -> Delivery:
    key = None if record.key is None else record.key.encode(errors="replace")
    return Delivery(record.coordinates, key, record.value, record.headers)
