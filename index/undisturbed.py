"""Reads of kept history that no run of the sweep fell into: a row being closed is in no posting list for moments.

The head says when a run begins and ends (`sweeps`). A read that saw it move, or another writer's head, asks again; one
behind a run that was never ended is believed when two looks agree.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from index.model import Published
from runtime.clock import Clock
from schemas.errors import BrokenIndexError, TransientError
from schemas.identity import Tenant

STALE_SECONDS = 5.0
"""A run that is seen for so long has ended with its writer: one takes a quarter of a second, and a writer that was held
up in one gives it up (index.sweeper).
"""
_COUNTED_SECONDS = 0.5
"""Between two looks no more counts: a store that hung did not go on with the run either."""
_APART_SECONDS = 0.1
"""Between two looks of which one message to the store, held up for long, can disturb one: it takes 40 ms."""
_GIVE_UP_SECONDS = 8.0
_POLL_SECONDS = 0.01

T = TypeVar("T")
Run = tuple[int, int]
"""The epoch of its writer, and which."""
Position = Callable[[Tenant], Awaitable[Published]]


@dataclass(slots=True)
class _Seen:
    """A run under way, when it was seen last, and for how long."""

    run: Run
    at: float
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Look(Generic[T]):
    """What a read made of a position: a result, or a failure where a row that is away looks like one that is lost."""

    run: Run
    result: T | None
    failure: str | None = None

    def told(self) -> T:
        """Raises BrokenIndexError."""
        if self.failure is not None:
            raise BrokenIndexError(self.failure)
        return cast(T, self.result)


class Undisturbed:
    """Of one reader; safe for concurrent calls."""

    def __init__(self, position: Position, clock: Clock) -> None:
        self._position = position
        self._clock = clock
        self._running: dict[Tenant, _Seen] = {}

    async def read(
        self, tenant: Tenant, read: Callable[[Published], Awaitable[T]], known: Published | None = None
    ) -> T:
        """What `read` makes of the newest position, with no run of the sweep from before it to after it.

        `known`: the newest position, where it has just been read. Raises what `read` raises, and TransientError.
        """
        until = self._clock.monotonic() + _GIVE_UP_SECONDS
        before = known or await self._position(tenant)
        earlier: _Look[T] | None = None
        while True:
            if self._is_quiet(tenant, before):
                look = await _look(read, before)
                after = await self._position(tenant)
                # Behind a run that was never ended its writer's last message may lie in the store, and be carried out
                # now: what two looks agree on was not disturbed.
                if _run(after) == look.run:
                    if not after.head.is_sweeping or look == earlier:
                        return look.told()
                    await asyncio.sleep(_APART_SECONDS)
                earlier, before = look, after
            else:
                await asyncio.sleep(_POLL_SECONDS)
                before = await self._position(tenant)
            if self._clock.monotonic() > until:
                raise TransientError("history was being swept all the time: ask again")

    def _is_quiet(self, tenant: Tenant, published: Published) -> bool:
        """Whether no run is under way, but for one that its writer did not live to end."""
        if not published.head.is_sweeping:
            self._running.pop(tenant, None)
            return True
        run, now = _run(published), self._clock.monotonic()
        seen = self._running.get(tenant)
        if seen is None or seen.run != run:
            seen = self._running[tenant] = _Seen(run, now)
        seen.seconds += min(now - seen.at, _COUNTED_SECONDS)
        seen.at = now
        return seen.seconds >= STALE_SECONDS


async def _look(read: Callable[[Published], Awaitable[T]], published: Published) -> _Look[T]:
    try:
        return _Look(_run(published), await read(published))
    except BrokenIndexError as error:
        return _Look(_run(published), None, str(error))


def _run(published: Published) -> Run:
    return published.head.epoch, published.head.sweeps
