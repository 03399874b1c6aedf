"""What a stage checks before it starts. Each refusal is a ConfigError: one line that says which command to run."""

from collections.abc import Mapping, Sequence

from index.port import VersionedIndex
from runtime.kafka import KafkaAdmin, read_topic
from runtime.settings import Settings
from schemas.codec import decode
from schemas.errors import ConfigError
from schemas.records import Generation
from schemas.topics import GENERATIONS, Topics
from streams.core.recipe import recipe_fingerprint

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
    found: Generation | None = None
    for record in read_topic(settings, GENERATIONS):
        generation = decode(record.value or b"", Generation)
        if (generation.name, generation.incarnation) == (settings.generation, settings.incarnation):
            found = generation
    if found is None:
        raise ConfigError(
            f"generation {settings.generation} incarnation {settings.incarnation} does not exist: run `millstream up`"
        )
    if found.recipe != recipe_fingerprint(parts):
        raise ConfigError(
            f"generation {settings.generation} was made with another recipe ({found.recipe}) than this process has "
            f"({recipe_fingerprint(parts)}): set MILLSTREAM_GENERATION to a new name and run `millstream up`"
        )


async def check_index(index: VersionedIndex, facts: TopicFacts) -> None:
    """The topics the index was created with. Raises ConfigError, and TransientError while the store is away."""
    record = await index.record()
    if record is None:
        raise ConfigError(f"index {index.identity} does not exist: run `millstream up`")
    for name, created_with in record.topics.items():
        if name in facts and facts[name] != created_with:
            raise ConfigError(
                f"index {index.identity} was created with another topic {name} (id or partition count differ): "
                "set MILLSTREAM_INCARNATION to a new name and run `millstream up`"
            )
