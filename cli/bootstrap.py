"""Makes an installation ready: topics, the index with its record, the generation record, and every source's tenant.

Idempotent: run at every start and after every change of sources.yaml. It refuses topics with other partition counts
and an index of another recipe, and says which command to run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from index.catalogue import Build, Catalogue
from index.model import IndexIdentity, first_head
from index.port import IndexRecord, VersionedIndex
from runtime.clock import Clock
from runtime.kafka import KafkaAdmin
from runtime.log_port import Log
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.records import Generation, GenerationState
from schemas.sources import Sources
from schemas.topics import CHANGES, COMMITS, HIDES, Topics, mutations_topic
from streams.generations import append_build, read_catalogue


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What had to be done."""

    topics_created: int
    tenants_created: tuple[str, ...]


CreateTenants = Callable[[IndexIdentity, Sources, Clock], Awaitable[object]]
"""Gives every declared tenant its shard in another build."""


async def _no_other_store(_build: IndexIdentity, _sources: Sources, _clock: Clock) -> None:
    return


def index_topics(settings: Settings) -> tuple[str, ...]:
    """The topics whose ids and partition counts an index depends on."""
    return (CHANGES, mutations_topic(settings.generation), HIDES, COMMITS)


def cdc_sources(sources: Sources) -> tuple[str, ...]:
    """Sources that have a topic of their own."""
    return tuple(source.name for source in sources.sources if source.kind == "postgres")


async def bootstrap(
    settings: Settings,
    topics: Topics,
    sources: Sources,
    *,
    admin: KafkaAdmin,
    log: Log,
    index: VersionedIndex,
    dimension: int,
    recipe: Mapping[str, str],
    clock: Clock,
    create_tenants_of: CreateTenants = _no_other_store,
) -> Bootstrapped:
    """Bring everything to what the files state. Raises ConfigError, TransientError."""
    created = await asyncio.to_thread(apply_topics, settings, topics, sources, admin)
    facts = await asyncio.to_thread(admin.topic_facts, index_topics(settings))
    identity = IndexIdentity(settings.generation, settings.incarnation)
    wanted = _wanted(settings, recipe, clock)
    for known in (await asyncio.to_thread(read_catalogue, settings)).builds.values():
        check_standing(known, wanted)  # before anything of a build is there that cannot be
    record = IndexRecord(identity, recipe, facts, dimension, clock.now())
    await index.create(record)
    catalogue = await announce_build(settings, log, wanted)
    for build in catalogue.builds.values():
        if build.identity != identity and not build.is_retired:
            await create_tenants_of(build.identity, sources, clock)
    return Bootstrapped(created, await create_tenants(index, sources, clock))


def apply_topics(settings: Settings, topics: Topics, sources: Sources, admin: KafkaAdmin) -> int:
    """Create missing topics and bring configurations in line; how many were created. Raises ConfigError."""
    wanted = topics.concrete(sources=cdc_sources(sources), generations=(settings.generation,))
    plan = admin.plan(wanted)
    admin.apply(plan)
    return sum(type(action).__name__ == "CreateTopic" for action in plan.actions)


def _wanted(settings: Settings, recipe: Mapping[str, str], clock: Clock) -> Generation:
    from streams.core.recipe import recipe_fingerprint

    return Generation(
        name=settings.generation,
        incarnation=settings.incarnation,
        state=GenerationState.LIVE,
        recipe=recipe_fingerprint(recipe),
        at=clock.now(),
    )


async def announce_build(settings: Settings, log: Log, wanted: Generation) -> Catalogue:
    """Append a build to index.generations where it is not there yet: live if it is the first of all, building if not.
    Returns what there is now.
    """
    catalogue = await asyncio.to_thread(read_catalogue, settings)
    if IndexIdentity(wanted.name, wanted.incarnation) in catalogue.builds:
        return catalogue
    if catalogue.live is not None:
        wanted = wanted.model_copy(update={"state": GenerationState.BUILDING})
    await append_build(log, wanted)
    return await asyncio.to_thread(read_catalogue, settings)


def check_standing(known: Build, wanted: Generation) -> None:
    """Raises ConfigError where `wanted` is this build and it is retired, or is of its generation by another recipe."""
    if known.is_retired and known.identity == IndexIdentity(wanted.name, wanted.incarnation):
        raise ConfigError(
            f"the build {known.identity} is retired: set MILLSTREAM_GENERATION and MILLSTREAM_INCARNATION to one of "
            "`millstream generation list`, or give a new name"
        )
    if known.record.name == wanted.name and known.record.recipe != wanted.recipe and not known.is_retired:
        raise ConfigError(
            f"generation {known.record.name} was made with another recipe ({known.record.recipe}) than this one "
            f"({wanted.recipe}): build a new one with `millstream replay --generation NAME`"
        )


async def create_tenants(index: VersionedIndex, sources: Sources, clock: Clock) -> tuple[str, ...]:
    """A tenant's shard and first head are created together when its source is applied."""
    known = await index.tenants()
    missing = tuple(tenant for tenant in sources.tenants if tenant not in known)
    for tenant in sources.tenants:
        await index.create_tenant(first_head(tenant, clock.now()))
    return missing
