"""Which build of the index this process answers from: the one that index.generations says is live.

The topic is looked at every second. A switch is followed once the new build has acknowledged what the switch's record
asks; requests under way finish where they began. A process that could not look for LOST_SECONDS may have missed a
switch, so it answers nothing until it can. What is left of that time harms nobody: what was live is kept up until it is
retired, and retiring takes its heads, without which no read begins.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from index.catalogue import Build, Catalogue, covers
from index.model import IndexIdentity
from index.port import VersionedIndex
from runtime.clock import Clock
from runtime.log_port import StoredRecord
from schemas.errors import ConfigError, TransientError
from schemas.topics import mutations_topic
from serving.problems import unavailable
from serving.readiness import Readiness
from serving.views import Served

LOST_SECONDS = 10.0
LINGER_SECONDS = 30.0
"""How long what was live stays open for requests under way."""

log = structlog.get_logger("serving")


@dataclass(frozen=True, slots=True)
class Opened:
    """A build that this process can answer from."""

    index: VersionedIndex
    readiness: Readiness
    served: Served


class Live:
    """One for each process. `read` gives what index.generations has had since its last call; it blocks."""

    def __init__(
        self,
        read: Callable[[], Sequence[StoredRecord]],
        open_build: Callable[[IndexIdentity], Opened],
        clock: Clock,
    ) -> None:
        self._read = read
        self._open = open_build
        self._clock = clock
        self._catalogue = Catalogue()
        self._looked_at: float | None = None
        self._current: Opened | None = None
        self._next: Opened | None = None
        self._left: dict[asyncio.Task[None], Opened] = {}

    def served(self) -> Served:
        """What answers now. Raises ProblemError (503) where that is not known."""
        if self._current is None or self._is_lost():
            raise unavailable()
        return self._current.served

    async def not_ready(self) -> Sequence[str]:
        """Reasons why not; empty is ready."""
        if self._looked_at is None or self._is_lost():
            return ("index.generations cannot be read: a switch may have been missed",)
        if self._current is None:
            return ("the live build does not cover what its switch asks",)
        return await self._current.readiness.not_ready()

    async def look(self) -> None:
        """Look once, and follow a switch. Raises ConfigError: nothing is live, or only what cannot be asked."""
        began = self._clock.monotonic()
        try:
            self._catalogue = self._catalogue.extended(await asyncio.to_thread(self._read))
            self._looked_at = began
            await self._follow()
        except TransientError as error:
            log.warning("the live build cannot be looked for", reason=str(error))
        if self._current is not None:
            await self._current.readiness.check()

    async def keep_looking(self, seconds: float) -> None:
        """Look every `seconds`, for ever. Raises as `look`."""
        while True:
            await asyncio.sleep(seconds)
            await self.look()

    def end(self) -> None:
        """End the streams: the process stops."""
        if self._current is not None:
            self._current.served.end()

    async def close(self) -> None:
        """Release connections."""
        for task in self._left:
            task.cancel()
        for opened in (self._current, self._next, *self._left.values()):
            if opened is not None:
                await opened.index.close()

    def _is_lost(self) -> bool:
        return self._looked_at is None or self._clock.monotonic() - self._looked_at > LOST_SECONDS

    async def _follow(self) -> None:
        live = self._catalogue.live
        if live is None:
            raise ConfigError("no index is live: run `millstream up`, which creates one")
        if self._current is not None and self._current.index.identity == live.identity:
            return
        opened = await self._opened(live.identity)
        if await self._is_covered(opened, live):
            self._swap(opened)

    async def _opened(self, identity: IndexIdentity) -> Opened:
        if self._next is not None and self._next.index.identity != identity:
            await self._next.index.close()
            self._next = None
        if self._next is None:
            self._next = self._open(identity)
        return self._next

    async def _is_covered(self, opened: Opened, live: Build) -> bool:
        """Whether it can be asked and has what the switch asks. Raises ConfigError, TransientError."""
        await opened.readiness.check()
        if not live.record.acknowledged:
            return True  # the first build there is: whatever it has is the newest
        acknowledged = (await opened.index.acknowledged()).offsets
        return covers(acknowledged, mutations_topic(live.record.name), live.record.acknowledged)

    def _swap(self, opened: Opened) -> None:
        before, self._current, self._next = self._current, opened, None
        log.info("answering from", build=str(opened.index.identity))
        if before is not None:
            before.served.end()
            leaving = asyncio.create_task(_close_later(before))
            self._left[leaving] = before
            leaving.add_done_callback(lambda task: self._left.pop(task, None))


async def _close_later(before: Opened) -> None:
    await asyncio.sleep(LINGER_SECONDS)
    await before.index.close()
