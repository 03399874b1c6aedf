"""Tells the store how far each partition of index.mutations is applied."""

import asyncio
from collections.abc import Awaitable, Callable

from runtime.faults import Point, reach
from schemas.errors import TransientError


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
                reach(Point.COMMIT_7)
            except TransientError:
                self._newest.setdefault(partition, offset)
                return
