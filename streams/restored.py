"""A store that stands where a backup did (`index.went_back`): gone back for, and told to readers (design §5).

Whatever its writers held of it is worth nothing, and what was acknowledged since has to come again. Until it has,
readers refuse (`index.catalogue`: a restored build).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from index.catalogue import Build, Catalogue, needed, restored
from index.groups import apply_group, hides_group
from index.model import Head, IndexIdentity
from index.port import CommitLog, VersionedIndex
from index.went_back import heads_of, milliseconds, published_first
from runtime.kafka import KafkaAdmin
from runtime.log_port import Log
from schemas.errors import MillstreamError, TransientError
from schemas.identity import Tenant
from schemas.records import Commit, GenerationState, TakeOver
from schemas.topics import HIDES, Topics, mutations_topic
from streams.background import Background
from streams.generations import append_build
from streams.window import Crash, LeaseEndedError

_LOOK_SECONDS = 0.5

log = structlog.get_logger("millstream.streams")


class StoreWentBackError(MillstreamError):
    """The store is older than it was: this process ends, and the next one begins where the store stands."""


class StoreWatch:
    """Whether the store still stands where this process left it: looked at again once the connection was lost."""

    def __init__(self, index: VersionedIndex, went_back: Callable[[], Awaitable[bool]]) -> None:
        """The store was looked at when this process began."""
        self._index = index
        self._went_back = went_back
        self._confirmed = index.connection
        self._turn = asyncio.Lock()

    async def confirm(self) -> None:
        """Raises StoreWentBackError, and TransientError where that cannot be found out."""
        if self._index.connection == self._confirmed:
            return
        async with self._turn:
            connection = self._index.connection
            if connection == self._confirmed:
                return
            if await self._went_back():
                raise StoreWentBackError("the store is older than index.commits tells: it was restored from a backup")
            self._confirmed = connection


def confirmed(put: Callable[[int, int], Awaitable[None]], watch: StoreWatch) -> Callable[[int, int], Awaitable[None]]:
    """Tells the store an offset, but not one that went back: what it has acknowledged is where it has to begin. That
    is for others to end the process for, so it is a TransientError here.
    """

    async def put_confirmed(partition: int, offset: int) -> None:
        try:
            await watch.confirm()
        except StoreWentBackError as error:
            raise TransientError(str(error)) from None
        await put(partition, offset)

    return put_confirmed


class ConfirmedCommits:
    """A writer's log, in which no take-over lies that began on a store that went back."""

    def __init__(self, commits: CommitLog, watch: StoreWatch) -> None:
        self._commits = commits
        self._watch = watch

    async def take_over(self, record: TakeOver) -> int:
        """See `index.port.CommitLog`. Raises StoreWentBackError."""
        await self._watch.confirm()
        return await self._commits.take_over(record)

    async def emit(self, commits: Sequence[Commit]) -> None:
        """See `index.port.CommitLog`."""
        await self._commits.emit(commits)


def stands_at(stored: Mapping[int, int], lost: Mapping[int, int]) -> Mapping[int, int]:
    """Partition -> where a store stands: at what it has acknowledged, but before anything that was told and is not in
    it. An offset that a process had yet to write when the store was away may have come to the one put back. Pure.
    """
    return {
        partition: min(stored.get(partition, 0), lost.get(partition, stored.get(partition, 0)))
        for partition in {*stored, *lost}
    }


async def go_back_with_the_store(index: VersionedIndex, admin: KafkaAdmin, lost: Mapping[int, int]) -> None:
    """Let the groups of this build begin where the store stands (`lost`: `index.went_back.lost_from`), and for the
    hides, of which it keeps no account, at the time of its oldest head. Raises TransientError, also while another
    process of the group is there, which finds the same and ends.
    """
    topic, group = mutations_topic(index.identity.generation), apply_group(index.identity)
    acknowledged = (await index.acknowledged()).offsets
    stored = stands_at(acknowledged, lost)
    for partition, offset in stored.items():
        if offset < acknowledged.get(partition, 0):
            await index.put_acknowledged(partition, offset)
    known = await asyncio.to_thread(admin.group_offsets, group, topic)
    behind = {partition: stored.get(partition, 0) for partition in known if stored.get(partition, 0) < known[partition]}
    if behind:
        await asyncio.to_thread(admin.set_group_offsets, group, topic, behind)
        now = await asyncio.to_thread(admin.group_offsets, group, topic)
        if any(now[partition] > offset for partition, offset in behind.items()):
            raise TransientError(f"the store was restored, and group {group} has members yet: trying again")
    await asyncio.to_thread(_hides_back, admin, hides_group(index.identity), await heads_of(index))
    log.error("store went back", build=str(index.identity), offsets={str(at): to for at, to in behind.items()})


def _hides_back(admin: KafkaAdmin, group: str, heads: Mapping[Tenant, Head]) -> None:
    """To the time of the oldest head, and never forward. Blocks."""
    since = published_first(heads.values())
    begins = admin.begin_offsets(HIDES) if since is None else admin.offsets_at(HIDES, milliseconds(since))
    known = admin.group_offsets(group, HIDES)
    admin.set_group_offsets(group, HIDES, {at: min(begin, known.get(at, begin)) for at, begin in begins.items()})


class Reach(Protocol):
    """How far topics and groups are. Both calls block and raise TransientError."""

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        """Partition -> the offset that its next record gets."""
        ...

    def reached(self, group: str, topic: str) -> Mapping[int, int]:
        """Partition -> how far a group is."""
        ...


class Restoration:
    """Says in index.generations that this build is restored, and, partition by partition, that it is no more: once it
    has all that lay in the log then, and history begins there. One for each process that applies.
    """

    def __init__(
        self,
        index: VersionedIndex,
        catalogue: Callable[[], Catalogue],
        admin: Reach,
        topics: Topics,
        log_to: Log,
        *,
        now: Callable[[], datetime],
        assigned: Callable[[], frozenset[int]],
        begin_history: Callable[[Tenant], Awaitable[None]],
    ) -> None:
        """`catalogue` reads index.generations; it blocks, as `admin` does."""
        self._index = index
        self._read = catalogue
        self._topics = topics
        self._log = log_to
        self._now = now
        self._assigned = assigned
        self._begin_history = begin_history
        self._admin = admin
        self._topic = mutations_topic(index.identity.generation)

    async def announce(self) -> None:
        """Readers refuse from now on. Raises TransientError."""
        ends = await asyncio.to_thread(self._admin.end_offsets, self._topic)
        hides = await asyncio.to_thread(self._admin.end_offsets, HIDES)
        asked = needed(self._topic, ends) | needed(HIDES, hides) | restored(ends)
        await self._say(lambda _known: asked)

    async def is_under_way(self) -> bool:
        """Whether the build is restored and does not have all that it has to. Raises TransientError."""
        build = (await self._catalogue()).builds.get(self._index.identity)
        return build is not None and bool(build.restored)

    async def look(self) -> bool:
        """End it for the partitions of this process that have what they have to; whether it is over for all of them.
        Raises TransientError.
        """
        build = (await self._catalogue()).builds[self._index.identity]
        done = [partition for partition in build.restored & self._assigned() if await self._covers(build, partition)]
        if not done:
            return not build.restored
        for tenant in sorted(await self._index.tenants()):
            if self._topics.partition(self._topic, tenant=tenant) in done:
                await self._begin_history(tenant)
        # Another process may have ended it for its partitions meanwhile, and be undone by this: it looks again.
        ended = restored(done)
        await self._say(lambda known: {name: offset for name, offset in known.items() if name not in ended})
        log.info("store has caught up", build=str(self._index.identity), partitions=sorted(done))
        return False

    async def _say(self, acknowledged: Callable[[Mapping[str, int]], Mapping[str, int]]) -> None:
        """Append this build's record anew. One that answered once and does not now must not answer again by it, nor
        where another was switched to in between.
        """
        before = await self._catalogue()
        build = before.builds[self._index.identity]
        answers = before.live is not None and before.live.identity == build.identity
        state = build.record.state if answers or build.is_retired else GenerationState.BUILDING
        changes = {"acknowledged": acknowledged(build.record.acknowledged), "state": state, "at": self._now()}
        await append_build(self._log, build.record.model_copy(update=changes))
        if answers and _switched(before, await self._catalogue(), build.identity):
            changes["state"] = GenerationState.BUILDING
            await append_build(self._log, build.record.model_copy(update=changes))

    async def _covers(self, build: Build, partition: int) -> bool:
        asked = build.record.acknowledged
        acknowledged = (await self._index.acknowledged()).offsets
        if acknowledged.get(partition, 0) < asked.get(f"{self._topic}/{partition}", 0):
            return False
        hides = await asyncio.to_thread(self._admin.reached, hides_group(self._index.identity), HIDES)
        return hides.get(partition, 0) >= asked.get(f"{HIDES}/{partition}", 0)

    async def _catalogue(self) -> Catalogue:
        return await asyncio.to_thread(self._read)


def _switched(before: Catalogue, after: Catalogue, own: IndexIdentity) -> bool:
    """Whether another build was said to be live between two looks. Pure."""
    return any(
        build.record.state is GenerationState.LIVE and (name not in before.builds or before.builds[name].at < build.at)
        for name, build in after.builds.items()
        if name != own
    )


class StoreKeeping(Background):
    """Looks after both, twice a second: a store that went back ends the process, one that has caught up is told."""

    def __init__(
        self,
        index: VersionedIndex,
        watch: StoreWatch,
        restoration: Restoration,
        crash: Crash,
        *,
        is_restored: bool,
    ) -> None:
        """`is_restored`: the store had gone back when this process began."""
        super().__init__(crash)
        self._index = index
        self._watch = watch
        self._restoration = restoration
        self._is_restored = is_restored
        self._is_over = False

    async def start(self) -> None:
        """Begin; readers are told before anything is written. Raises TransientError."""
        if self._is_restored and not await self._restoration.is_under_way():
            await self._restoration.announce()
        await super().start()

    async def _run(self) -> None:
        while True:
            try:
                await self._index.ready()  # a connection that nobody asks for is not made again
                await self._watch.confirm()
                if not self._is_over:
                    self._is_over = await self._restoration.look()
            except (TransientError, LeaseEndedError) as error:
                log.debug("the store cannot be looked at", reason=str(error))
            await asyncio.sleep(_LOOK_SECONDS)
