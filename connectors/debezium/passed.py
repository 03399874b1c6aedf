"""Waits until what a source's database has written is in documents.changes: told by Debezium, which then lets its slot
move on, and worked on by `capture`, which then acknowledges it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from schemas.errors import TransientError

SECONDS = 60.0
"""A quiet table's slot is moved by a heartbeat, every 10 s, and a second later."""
_LOOK_SECONDS = 0.25

Confirmed = Callable[[], Awaitable[int | None]]
"""Up to where Debezium has told the write-ahead log; None where no slot is."""
Offset = Callable[[], int]
"""The end of the capture topic, or how far `capture` is in it. Blocks."""


async def passed(
    position: int, confirmed: Confirmed, end: Offset, captured: Offset, *, seconds: float = SECONDS
) -> None:
    """Return when all that was written below `position` is in documents.changes; at once where nothing is captured.

    Raises TransientError where that does not come about.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                told = await confirmed()
                if told is None:
                    return
                if told >= position:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
            last = await asyncio.to_thread(end)
            while True:
                if await asyncio.to_thread(captured) >= last:
                    return
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise TransientError(
            f"what the source's database has written has not come to the log within {seconds:.0f} s: see"
            " `millstream status`, then run it again; or name an LSN with --version"
        ) from None
