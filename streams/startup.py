"""What a stage checks before it starts. Each refusal is a ConfigError: one line that says which command to run."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from index.model import IndexIdentity
from index.port import VersionedIndex
from runtime.kafka import KafkaAdmin
from runtime.metrics import ALERTS, Metrics
from runtime.settings import Settings
from schemas.errors import ConfigError, TransientError
from schemas.topics import Topics
from streams.core.recipe import recipe_fingerprint
from streams.generations import read_catalogue

log = structlog.get_logger("millstream.streams")

TopicFacts = Mapping[str, tuple[str, int]]
"""Topic -> (topic id, partition count) on the broker."""


def check_topics(settings: Settings, topics: Topics, names: Sequence[str]) -> TopicFacts:
    """The broker's topics as topics.yaml states them. Blocks. Raises ConfigError and TransientError."""
    facts = KafkaAdmin(settings).topic_facts(names)
    for name, (_, count) in facts.items():
        wanted = topics.partitions(name)
        if count != wanted:
            raise ConfigError(
                f"topic {name} has {count} partitions and topics.yaml says {wanted}: "
                "correct topics.yaml, or start with an empty broker"
            )
    return facts


def check_generation(settings: Settings, parts: Mapping[str, str]) -> None:
    """The recipe of the live generation, as index.generations has it. Blocks. Raises ConfigError and TransientError."""
    wanted = IndexIdentity(settings.generation, settings.incarnation)
    found = read_catalogue(settings).builds.get(wanted)
    if found is None:
        raise ConfigError(
            f"generation {settings.generation} incarnation {settings.incarnation} does not exist: run `millstream up`"
        )
    if found.record.recipe != recipe_fingerprint(parts):
        raise ConfigError(
            f"generation {settings.generation} was made with another recipe ({found.record.recipe}) than this process "
            f"has ({recipe_fingerprint(parts)}): build a new one with `millstream replay --generation NAME`"
        )


async def begin_where_the_store_stands(index: VersionedIndex, admin: KafkaAdmin, group: str, topic: str) -> None:
    """A group that has acknowledged nothing of a partition goes on where the store stands: behind a build, or where a
    group of another name was. Raises TransientError.
    """
    stored = (await index.acknowledged()).offsets
    known = await asyncio.to_thread(admin.group_offsets, group, topic)
    missing = {partition: offset for partition, offset in stored.items() if partition not in known}
    if missing:
        await asyncio.to_thread(admin.set_group_offsets, group, topic, missing)


async def tell_of_expired(settings: Settings, group: str, topic: str, metrics: Metrics) -> None:
    """An alert for records that retention removed before this stage read them: Kafka's clients go on behind them and
    say nothing. Of a captured table they are read again by `source apply` after its epoch was raised. What Kafka does
    not say now is not waited for.
    """
    try:
        expired = await asyncio.to_thread(KafkaAdmin(settings).expired, group, topic)
    except TransientError:
        return
    for partition, records in expired.items():
        metrics.count(ALERTS, alert="records_expired")
        log.error("records expired before they were read", topic=topic, partition=partition, records=records)


async def check_index(index: VersionedIndex, facts: TopicFacts) -> None:
    """The topics the index was created with. Raises ConfigError, and TransientError while the store is away."""
    record = await index.record()
    if record is None:
        raise ConfigError(f"index {index.identity} does not exist: run `millstream up`")
    for name, created_with in record.topics.items():
        if name in facts and facts[name] != created_with:
            raise ConfigError(
                f"index {index.identity} was created with another topic {name} (id or partition count differ): "
                "build a new one with `millstream replay --incarnation NAME`"
            )
