"""Builds the index anew from the log, and switches to what was built, while everything goes on.

An incarnation comes from index.mutations.<generation>; a generation is prepared from documents.changes first, by a
process of its own. Cut off anywhere, the same call goes on. The switch is one record, written once the new build has
acknowledged all that the live one has.
"""

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cli.installing import install
from index.catalogue import Build, Catalogue, needed
from index.model import IndexIdentity
from index.weaviate import WeaviateIndex, open_build
from index.writer import TenantWriter
from runtime.aio_kafka import KafkaSpan, LogProducer
from runtime.clock import SystemClock
from runtime.declarations import load_sources, load_topics
from runtime.kafka import KafkaAdmin
from runtime.log_port import Log
from runtime.settings import Settings
from schemas.errors import ConfigError, TransientError
from schemas.identity import Tenant
from schemas.records import Coordinates, GenerationState
from schemas.topics import CHANGES, HIDES, mutations_topic
from streams import build as building
from streams.build import SilentCommits
from streams.commit_log import LastingLog, LogCommits
from streams.generations import append_build, read_catalogue
from streams.groups import hides_group, prepare_group
from streams.recipe_file import keep_recipe
from streams.supervisor import Kept, keep, stage_command

_LOOK_SECONDS = 0.25
_STALLED_SECONDS = 60.0
_NEAR_SECONDS = 3.0
"""A build that reached the end of the log within this time is near it: the rest every replica asks when it switches."""
_NAME = re.compile(r"[a-z0-9]{1,24}")

Offsets = Mapping[int, int]


@dataclass(slots=True)
class Watched:
    """What a rebuild is doing, for whoever shows it."""

    step: str = ""
    """`prepare`, `build` or `catch up`."""
    done: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Partition -> offsets done, and to do, in this step."""
    progress: building.Progress = field(default_factory=building.Progress)
    since: float | None = None

    def began(self, now: float) -> float:
        """Seconds since the step began, by a monotonic clock."""
        return now - self.since if self.since is not None else 0.0

    def begin(self, step: str) -> None:
        """The next step begins now."""
        self.step, self.done, self.since = step, {}, time.monotonic()


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of it."""

    build: str
    records: int
    """Read in this call: 0 where the build was covered before."""
    chunks: int
    seconds: float
    switched: bool


async def target_of(settings: Settings, generation: str | None, incarnation: str | None) -> Settings:
    """Settings of the build that is asked for. Raises ConfigError, TransientError."""
    catalogue = await asyncio.to_thread(read_catalogue, settings)
    live = catalogue.live
    if live is None:
        raise ConfigError("no index is live: run `millstream up` first")
    if generation is None and incarnation is None:
        raise ConfigError("say what to build: --incarnation NAME of this generation, or --generation NAME")
    names = {"generation": generation or live.record.name, "incarnation": incarnation or "i1"}
    if bad := [name for name in names.values() if not _NAME.fullmatch(name)]:
        raise ConfigError(f"{bad[0]}: a build's name has 1 to 24 characters of a-z and 0-9")
    wanted = settings.model_copy(update=names)
    known = catalogue.builds.get(IndexIdentity(wanted.generation, wanted.incarnation))
    if known is not None and known.identity == live.identity:
        raise ConfigError(f"{live.identity} is live: give the new build another name")
    if known is not None and known.identity == IndexIdentity(settings.generation, settings.incarnation):
        raise ConfigError(
            f"the processes that run now build {known.identity}, which MILLSTREAM_GENERATION and "
            f"MILLSTREAM_INCARNATION name: `millstream generation switch {known.identity}` waits for them"
        )
    if known is not None and known.is_retired:
        raise ConfigError(f"{known.identity} is retired, and a name is used once: give the new build another")
    return wanted


async def rebuild(
    settings: Settings,
    environment: Mapping[str, str],
    skipped: Collection[Coordinates],
    watched: Watched,
    *,
    then_switch: bool,
) -> Rebuilt:
    """Build what `settings` name until it has covered the log, and switch to it. `environment`: the variables those
    settings were read from. Raises BuildFailedError, ConfigError, TransientError.
    """
    started = time.monotonic()
    identity = IndexIdentity(settings.generation, settings.incarnation)
    await install(settings, load_sources(settings))
    keep_recipe(settings.state_dir, settings.generation, environment)
    catalogue = await asyncio.to_thread(read_catalogue, settings)
    if not catalogue.builds[identity].is_covered:
        async with _preparing(settings, environment, catalogue, watched), _build(settings, identity, skipped) as opened:
            run, log = opened
            watched.begin("build")
            watched.progress = run.progress
            covered = needed(mutations_topic(identity.generation), await run.run())
            build = await _standing(settings, identity)
            if not build.is_covered:  # or another call would be undone, which has covered it and switched to it
                state = {"acknowledged": covered, "at": SystemClock().now()}
                await append_build(log, build.record.model_copy(update=state))
    records, chunks = watched.progress.records, watched.progress.chunks
    if then_switch:
        await switch(settings, str(identity), watched)
    return Rebuilt(str(identity), records, chunks, round(time.monotonic() - started, 3), then_switch)


@asynccontextmanager
async def _build(
    settings: Settings, identity: IndexIdentity, skipped: Collection[Coordinates]
) -> AsyncIterator[tuple[building.Build, Log]]:
    topics, topic = load_topics(settings), mutations_topic(identity.generation)
    index, log = open_build(settings, identity), LogProducer(settings)
    commits = SilentCommits(LogCommits(LastingLog(log), topics))

    def writer_for(tenant: Tenant) -> TenantWriter:
        name = f"build/{os.getpid()}"
        return TenantWriter(index, commits, tenant, SystemClock(), name=name, rows_at_once=building.ROWS_AT_ONCE)

    span = KafkaSpan(settings, topic, topics.partitions(topic))
    await log.start()
    try:
        yield building.Build(index, span, writer_for, topics, skipped=skipped), log
    finally:
        await log.stop()
        await index.close()


@asynccontextmanager
async def _preparing(
    settings: Settings, environment: Mapping[str, str], catalogue: Catalogue, watched: Watched
) -> AsyncIterator[None]:
    """Where the generation is a new one, prepare it by a process of its own; entered when it has covered the end of
    documents.changes seen at the start, and left with the process ended.
    """
    same = [build for build in catalogue.builds.values() if build.record.name == settings.generation]
    if any(build.is_covered for build in same):
        yield  # its processes run already
        return
    admin, group = KafkaAdmin(settings), prepare_group(settings.generation)
    ends = await asyncio.to_thread(admin.end_offsets, CHANGES)
    stop = asyncio.Event()
    named = {"MILLSTREAM_GENERATION": settings.generation, "MILLSTREAM_INCARNATION": settings.incarnation}
    command = (*stage_command("prepare"), "--log-name", f"streams-prepare-{settings.generation}")
    process = asyncio.create_task(keep(Kept("prepare", command, environment={**environment, **named}), stop))
    identity = IndexIdentity(settings.generation, settings.incarnation)
    try:
        watched.begin("prepare")
        await _until_reached(lambda: _of_group(admin, group, CHANGES), ends, watched, identity)
        yield
    finally:
        stop.set()
        await process


async def _of_group(admin: KafkaAdmin, group: str, topic: str) -> Offsets:
    return await asyncio.to_thread(admin.group_offsets, group, topic)


async def switch(settings: Settings, name: str, watched: Watched) -> Build:
    """Make a covered build live, or live again: returns it. Raises ConfigError, TransientError."""
    catalogue = await asyncio.to_thread(read_catalogue, settings)
    build, live = catalogue.named(name), catalogue.live
    if live is None or build.identity == live.identity:
        return build
    own = IndexIdentity(settings.generation, settings.incarnation)
    if not build.is_covered and build.identity != own:
        raise ConfigError(f"{build.identity} is not built yet: run `millstream replay` for it again, which goes on")
    index, log = open_build(settings, build.identity), LogProducer(settings)
    try:
        await log.start()
        watched.begin("catch up")
        acknowledged = await _caught_up(KafkaAdmin(settings), index, live.identity, watched)
        build = await _standing(settings, build.identity)
        if build.restored:
            raise ConfigError(f"the store of {build.identity} was restored and has not caught up yet: try again later")
        state = {"state": GenerationState.LIVE, "acknowledged": acknowledged, "at": SystemClock().now()}
        await append_build(log, build.record.model_copy(update=state))
    finally:
        await log.stop()
        await index.close()
    return build


async def _standing(settings: Settings, identity: IndexIdentity) -> Build:
    """A build as it is after a long wait: another call may have changed it. Raises as `Catalogue.standing`."""
    return (await asyncio.to_thread(read_catalogue, settings)).standing(identity)


async def _caught_up(
    admin: KafkaAdmin, index: WeaviateIndex, live: IndexIdentity, watched: Watched
) -> Mapping[str, int]:
    """Wait until a build is near the end of the log, which goes on growing; returns what it has then, in its own
    offsets. Kafka is asked, not the live build, so that one whose store is lost can be left.
    """
    while True:
        began = time.monotonic()
        reached = await _end_reached(admin, index, live, watched)
        if time.monotonic() - began < _NEAR_SECONDS:
            return reached


async def _end_reached(
    admin: KafkaAdmin, index: WeaviateIndex, live: IndexIdentity, watched: Watched
) -> Mapping[str, int]:
    """Wait until a build has what the live one can have at this moment: all mutations and hides there are; where it is
    prepared for itself, what is prepared for the live one.
    """
    build = index.identity
    topic = mutations_topic(build.generation)
    hides = await asyncio.to_thread(admin.end_offsets, HIDES)
    if build.generation != live.generation:
        prepared = await _of_group(admin, prepare_group(live.generation), CHANGES)
        group = prepare_group(build.generation)
        await _until_reached(lambda: _of_group(admin, group, CHANGES), prepared, watched, build)
    wanted = await asyncio.to_thread(admin.end_offsets, topic)

    async def applied() -> Offsets:
        return (await index.acknowledged()).offsets

    async def hidden() -> Offsets:
        return await asyncio.to_thread(admin.reached, hides_group(build), HIDES)

    await _until_reached(applied, wanted, watched, build)
    await _until_reached(hidden, hides, watched, build)
    return needed(topic, wanted) | needed(HIDES, hides)


async def _until_reached(
    look: Callable[[], Awaitable[Offsets]], wanted: Offsets, watched: Watched, build: IndexIdentity
) -> None:
    """Until every partition has what is wanted of it. Raises TransientError when nothing moves for a minute."""
    moved, before = time.monotonic(), Counter[int]()
    while True:
        reached = await look()
        watched.done = {at: (min(reached.get(at, 0), end), end) for at, end in wanted.items()}
        if all(reached.get(at, 0) >= end for at, end in wanted.items()):
            return
        if Counter(reached) != before:
            moved, before = time.monotonic(), Counter(reached)
        elif time.monotonic() - moved > _STALLED_SECONDS:
            raise TransientError(
                f"{build} does not move in the step `{watched.step}`: does `python -m streams --stage builds` run "
                "(millstream status)? Nothing was switched; the same command goes on"
            )
        await asyncio.sleep(_LOOK_SECONDS)


def retirable(settings: Settings, name: str) -> Build:
    """The build, if it may be taken out. Raises ConfigError, TransientError."""
    catalogue = read_catalogue(settings)
    build, live = catalogue.named(name), catalogue.live
    if live is not None and build.identity == live.identity:
        raise ConfigError(f"{build.identity} is live: switch to another build first")
    if build.identity == IndexIdentity(settings.generation, settings.incarnation):
        raise ConfigError(
            f"MILLSTREAM_GENERATION and MILLSTREAM_INCARNATION name {build.identity}, so `millstream up` keeps it up: "
            "set them to the live build and run `millstream up` first"
        )
    return build


async def retire(settings: Settings, name: str) -> Build:
    """Take a build out for good. Its collections go, heads first: a replica which missed the switch reads nothing of it
    from then on. Only then its processes stop: what can be read is kept up. Raises ConfigError, TransientError; the
    same call goes on.
    """
    build = await asyncio.to_thread(retirable, settings, name)
    index, log = open_build(settings, build.identity), LogProducer(settings)
    try:
        await log.start()
        state = {"state": GenerationState.RETIRED, "at": SystemClock().now()}
        await index.drop()
        await append_build(log, build.record.model_copy(update=state))
    finally:
        await log.stop()
        await index.close()
    return build
