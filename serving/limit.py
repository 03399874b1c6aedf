"""How many requests run, how many wait and for how long; the rest is shed at once, so that saturation never collapses.

Requests that wait for a change to become answerable hold no place to run, but are bounded too: each polls the store.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from serving.problems import overloaded
from serving.steps import Steps


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one process.

    A request waits for the store half of its time: on 2 cores 4 at once keep them busy, more only make each slower.
    """

    running: int = 4
    queued: int = 16
    patience_seconds: float = 0.3
    waiting_for_changes: int = 16
    request_seconds: float = 4.0
    """Longest a request may run once it has its place: the store's read budget and some."""
    retry_after_seconds: int = 1


class Gate:
    """Admits requests by the limits; first come, first served."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._places = asyncio.Semaphore(limits.running)
        self._queued = 0
        self._changes = 0

    @asynccontextmanager
    async def place(self, steps: Steps) -> AsyncIterator[None]:
        """A place to run in; the time it took to get one is the step `limit`. Raises ProblemError (429)."""
        with steps.step("limit"):
            await self._enter()
        try:
            yield
        finally:
            self._places.release()

    async def _enter(self) -> None:
        if self._queued >= self.limits.queued:
            raise self._shed()
        self._queued += 1
        try:
            async with asyncio.timeout(self.limits.patience_seconds):
                await self._places.acquire()
        except TimeoutError:
            raise self._shed() from None
        finally:
            self._queued -= 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count a request that waits for a change. Raises ProblemError (429)."""
        if self._changes >= self.limits.waiting_for_changes:
            raise self._shed()
        self._changes += 1
        try:
            yield
        finally:
            self._changes -= 1

    def _shed(self) -> Exception:
        return overloaded("Too many requests at once. Ask again in a second.", self.limits.retry_after_seconds)
