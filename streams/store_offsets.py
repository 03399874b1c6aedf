"""Tells the store how far each partition of index.mutations is applied."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set

from index.port import VersionedIndex
from runtime.cancellation import no_stray_cancellation
from runtime.faults import Point, reach
from schemas.errors import MillstreamError, TransientError
from streams.background import Background
from streams.window import Crash

_LOOK_SECONDS = 10.0


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
        self._told: dict[int, int] = {}
        self._turn = asyncio.Lock()
        self._runner: asyncio.Task[None] | None = None

    def note(self, partition: int, offset: int) -> None:
        """The next offset to apply of a partition."""
        self._newest[partition] = offset
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            with no_stray_cancellation():
                while self._newest:
                    await self.flush()
                    await asyncio.sleep(self._seconds)
        except Exception as error:  # noqa: BLE001 - handed on: it ends the process
            self._on_error(error)
        finally:
            self._runner = None

    async def flush(self) -> None:
        """Write what is noted, once a write under way has ended. What the store does not take now is written later, or
        covered by a later offset.
        """
        async with self._turn:
            for partition in list(self._newest):
                offset = self._newest.pop(partition)
                try:
                    await self._put(partition, offset)
                    reach(Point.COMMIT_7)
                except TransientError:
                    self._newest.setdefault(partition, offset)
                    return
                self._told[partition] = offset

    def look(self, stored: Mapping[int, int], owned: Set[int]) -> None:
        """Whoever had a partition before may write its own offset over the one told here, late: then it is told again,
        for a switch waits for it and nothing else may come in.
        """
        self._told = {partition: offset for partition, offset in self._told.items() if partition in owned}
        for partition, offset in self._told.items():
            if stored.get(partition, 0) < offset and partition not in self._newest:
                self.note(partition, offset)


class OffsetKeeping(Background):
    """Looks every few seconds whether the store still has what it was told."""

    def __init__(
        self, index: VersionedIndex, offsets: StoreOffsets, assigned: Callable[[], frozenset[int]], crash: Crash
    ) -> None:
        super().__init__(crash)
        self._index = index
        self._offsets = offsets
        self._assigned = assigned

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                stored = (await self._index.acknowledged()).offsets
            except MillstreamError:
                continue  # others tell of a store that is away
            self._offsets.look(stored, self._assigned())
