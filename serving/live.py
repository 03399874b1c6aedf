"""Which build of the index this process answers from: the one that index.generations says is live.

The topic is looked at every second. A switch is followed once the new build has what the switch's record asks, and all
that lies in the log at that moment: requests that come meanwhile wait, so that nobody is shown again what the build
before had deleted. Requests under way finish where they began. A build whose store stands where a backup did answers
nobody until it has caught up; what was kept of it before is thrown away.

A process that cannot look goes on with the build it knows. It may miss a switch, which harms nobody: what was live is
kept up until it is retired, and retiring takes its heads, without which no read begins (docs/adr/0022).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from index.catalogue import Build, Catalogue, covers
from index.model import IndexIdentity
from index.port import VersionedIndex
from runtime.log_port import StoredRecord
from schemas.errors import ConfigError, TransientError
from schemas.topics import mutations_topic
from serving.problems import unavailable
from serving.reach import Ends, LogReach
from serving.readiness import Readiness
from serving.views import Served

HOLD_SECONDS = 1.5
"""How long requests wait at most for the switch, at the first attempt. A build is told to have something 0.5 s after it
has it."""
MAX_HOLD_SECONDS = 4.0
"""At each attempt it is doubled, so that a switch comes about where everything takes long, up to this."""
_POLL_SECONDS = 0.02
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
    """One for each process. `read` gives what index.generations has had since its last call; it blocks. `reach` is
    asked at a switch, `went_back` of each build before it answers: whether its store stands where a backup did.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[StoredRecord]],
        open_build: Callable[[IndexIdentity], Opened],
        reach: LogReach,
        went_back: Callable[[VersionedIndex], Awaitable[bool]],
        *,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        self._read = read
        self._open = open_build
        self._reach = reach
        self._went_back = went_back
        self._hold_seconds = hold_seconds
        self._attempts = 0
        """How often the build to switch to was not there in time."""
        self._ends: Ends | None = None
        """What it has to reach before requests wait for it."""
        self._catalogue = Catalogue()
        self._is_in_trouble = False
        self._is_open = asyncio.Event()
        """Unset while requests wait for a switch."""
        self._is_open.set()
        self._current: Opened | None = None
        self._next: Opened | None = None
        self._is_restored = False
        """Whether the store of the live build, or of the one that a switch leaves, was seen to stand where a backup
        did; until another answers, or the same one anew.
        """
        self._connection = 0
        """Of the live build's, the one on which its store was last seen not to be older than the log."""
        self._left: dict[asyncio.Task[None], Opened] = {}

    async def served(self) -> Served:
        """What answers now; while a switch is under way, what answers after it. Raises ProblemError (503) where none is
        known.
        """
        await self._is_open.wait()
        if self._current is None or self._is_restored:
            raise unavailable()
        return self._current.served

    async def not_ready(self) -> Sequence[str]:
        """Reasons why not; empty is ready. To have missed a switch is none."""
        if self._is_restored:
            return ("the build's store was restored from a backup, and nothing that has caught up answers yet",)
        if self._current is not None:
            return await self._current.readiness.not_ready()
        if self._catalogue.live is None:
            return ("index.generations cannot be read: the live build is not known",)
        reasons = () if self._next is None else await self._next.readiness.not_ready()
        return reasons or ("the live build does not have all that it has to",)

    async def look(self) -> None:
        """Look once, and follow a switch. Raises ConfigError: nothing is live, or only what cannot be asked."""
        await self._look_for_switch()
        await self._check()

    async def keep_looking(self, seconds: float) -> None:
        """Look every `seconds`, for ever; at the store also while the log does not answer. Raises as `look`."""
        await asyncio.gather(_again_and_again(self._look_for_switch, seconds), _again_and_again(self._check, seconds))

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

    async def _look_for_switch(self) -> None:
        try:
            self._catalogue = self._catalogue.extended(await self._records())
            await self._follow()
        except TransientError as error:
            if not self._is_in_trouble:
                log.warning("the live build cannot be looked for: a switch is not noticed", reason=str(error))
            self._is_in_trouble = True
        else:
            self._is_in_trouble = False

    async def _records(self) -> Sequence[StoredRecord]:
        """Raises TransientError; at the start also ConfigError: later, a broker that refuses is no reason to end."""
        try:
            return await asyncio.to_thread(self._read)
        except ConfigError as error:
            if self._current is None:
                raise
            raise TransientError(str(error)) from None

    async def _check(self) -> None:
        if self._current is not None:
            await self._current.readiness.check()

    async def _follow(self) -> None:
        live = self._catalogue.live
        if live is None:
            raise ConfigError("no index is live: run `millstream up`, which creates one")
        self._is_restored = self._is_restored or bool(live.restored) or self._is_current_restored()
        if live.restored:
            return
        if self._current is not None and self._current.index.identity == live.identity:
            await self._close_next()
            await self._look_back(self._current)
            return
        opened = await self._opened(live.identity)
        connection = opened.index.connection  # before it is asked whether its store went back
        if not await self._is_covered(opened, live):
            return
        if self._current is None:
            self._swap(opened, connection)
        else:
            await self._switch(opened, connection)

    async def _switch(self, opened: Opened, connection: int) -> None:
        """Once it has what lies in the log; requests wait for the last of it."""
        if self._ends is None:
            self._ends = await asyncio.to_thread(self._reach.ends, opened.index.identity)
        if not await self._has(opened, self._ends):
            return  # it is looked at again in a second
        self._ends = None
        longest = self._hold_seconds * 2.0 ** min(self._attempts, 10)
        async with self._holding():
            seconds = max(self._hold_seconds, min(longest, MAX_HOLD_SECONDS))
            if await self._reaches_the_end(opened, seconds) and opened.index.connection == connection:
                self._swap(opened, connection)
                return
        self._attempts += 1
        log.warning(
            "a switch waits: the new build is behind the log", build=str(opened.index.identity), attempts=self._attempts
        )

    async def _look_back(self, current: Opened) -> None:
        """Where the connection to the store was lost, another one may stand there: a backup, before anybody who writes
        has noticed. Raises TransientError.
        """
        connection = current.index.connection
        if connection == self._connection and not self._is_restored:
            return
        if await self._went_back(current.index):
            self._is_restored = True
            return
        self._connection = connection
        if self._is_restored:  # what was read of it before, and kept, was of another index
            opened = self._open(current.index.identity)
            self._swap(opened, opened.index.connection)

    def _is_current_restored(self) -> bool:
        build = None if self._current is None else self._catalogue.builds.get(self._current.index.identity)
        return build is not None and bool(build.restored)

    async def _opened(self, identity: IndexIdentity) -> Opened:
        if self._next is not None and self._next.index.identity != identity:
            await self._close_next()
        if self._next is None:
            self._next, self._attempts, self._ends = self._open(identity), 0, None
        return self._next

    async def _close_next(self) -> None:
        """Of a switch that was called off."""
        if self._next is not None:
            await self._next.index.close()
            self._next = None

    async def _is_covered(self, opened: Opened, live: Build) -> bool:
        """Whether it can be asked and has what the switch asks. Raises ConfigError, TransientError."""
        await opened.readiness.check()
        if await self._went_back(opened.index):
            raise TransientError("the store is older than index.commits tells: it was put back from a backup")
        if not live.record.acknowledged:
            return True  # the first build there is: whatever it has is the newest
        acknowledged = (await opened.index.acknowledged()).offsets
        return covers(acknowledged, mutations_topic(live.record.name), live.record.acknowledged)

    async def _reaches_the_end(self, opened: Opened, seconds: float) -> bool:
        """Whether a build has, within so many seconds, what lay in the log when they began. Raises as `_is_covered`."""
        try:
            async with asyncio.timeout(seconds):
                ends = await asyncio.to_thread(self._reach.ends, opened.index.identity)
                while True:
                    if await self._has(opened, ends):
                        return True
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            return False

    async def _has(self, opened: Opened, ends: Ends) -> bool:
        acknowledged = (await opened.index.acknowledged()).offsets
        return ends.are_reached(acknowledged, await asyncio.to_thread(self._reach.hides_of, opened.index.identity))

    @asynccontextmanager
    async def _holding(self) -> AsyncIterator[None]:
        """Requests that come now wait until it is left."""
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()

    def _swap(self, opened: Opened, connection: int) -> None:
        """`connection`: the one on which its store was found not to have gone back."""
        before, self._current, self._next = self._current, opened, None
        self._is_restored, self._connection = False, connection
        log.info("answering from", build=str(opened.index.identity))
        if before is not None:
            before.served.end()
            leaving = asyncio.create_task(_close_later(before))
            self._left[leaving] = before
            leaving.add_done_callback(lambda task: self._left.pop(task, None))


async def _close_later(before: Opened) -> None:
    await asyncio.sleep(LINGER_SECONDS)
    await before.index.close()


async def _again_and_again(look: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await look()
