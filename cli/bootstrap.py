"""Makes an installation ready: topics, the index with its record, the generation record, and every source's tenant.

Idempotent: run at every start and after every change of sources.yaml. It refuses topics with other partition counts
and an index of another recipe, and says which command to run.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from index.model import IndexIdentity, first_head
from index.port import IndexRecord, VersionedIndex
from runtime.clock import Clock
from runtime.kafka import KafkaAdmin, read_topic
from runtime.log_port import Log
from runtime.settings import Settings
from schemas.codec import decode, encode
from schemas.records import Generation, GenerationState
from schemas.sources import Sources
from schemas.topics import CHANGES, COMMITS, GENERATIONS, HIDES, Topics, mutations_topic


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What had to be done."""

    topics_created: int
    tenants_created: tuple[str, ...]


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
) -> Bootstrapped:
    """Bring everything to what the files state. Raises ConfigError, TransientError."""
    created = await asyncio.to_thread(apply_topics, settings, topics, sources, admin)
    facts = await asyncio.to_thread(admin.topic_facts, index_topics(settings))
    identity = IndexIdentity(settings.generation, settings.incarnation)
    record = IndexRecord(identity, recipe, facts, dimension, clock.now())
    await index.create(record)
    await announce_generation(settings, log, recipe, clock)
    return Bootstrapped(created, await create_tenants(index, sources, clock))


def apply_topics(settings: Settings, topics: Topics, sources: Sources, admin: KafkaAdmin) -> int:
    """Create missing topics and bring configurations in line; how many were created. Raises ConfigError."""
    wanted = topics.concrete(sources=cdc_sources(sources), generations=(settings.generation,))
    plan = admin.plan(wanted)
    admin.apply(plan)
    return sum(type(action).__name__ == "CreateTopic" for action in plan.actions)


async def announce_generation(settings: Settings, log: Log, recipe: Mapping[str, str], clock: Clock) -> None:
    """Append the live generation to index.generations, unless its newest record says the same."""
    from streams.core.recipe import recipe_fingerprint

    wanted = Generation(
        name=settings.generation,
        incarnation=settings.incarnation,
        state=GenerationState.LIVE,
        recipe=recipe_fingerprint(recipe),
        at=clock.now(),
    )
    known = await asyncio.to_thread(_generation, settings)
    if known is None or known.model_copy(update={"at": wanted.at, "acknowledged": {}}) != wanted:
        await log.append(GENERATIONS, 0, wanted.name, encode(wanted))


def _generation(settings: Settings) -> Generation | None:
    newest = None
    for record in read_topic(settings, GENERATIONS):
        if record.value is not None and record.key == settings.generation:
            newest = decode(record.value, Generation)
    return newest


async def create_tenants(index: VersionedIndex, sources: Sources, clock: Clock) -> tuple[str, ...]:
    """A tenant's shard and first head are created together when its source is applied."""
    known = await index.tenants()
    missing = tuple(tenant for tenant in sources.tenants if tenant not in known)
    for tenant in sources.tenants:
        await index.create_tenant(first_head(tenant, clock.now()))
    return missing
