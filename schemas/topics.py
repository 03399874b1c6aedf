"""A typed view of topics.yaml, the only place that states topics.

Parsing refuses unknown keys, topics without owner, retention, key or dead-letter rule, records no schema names, and
tenant-partitioned topics whose partition counts could part ways.
"""

from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import ConfigError
from schemas.identity import Document, Tenant
from schemas.partitions import partition_of
from schemas.records import RECORDS
from schemas.yaml_files import one_line, read_yaml

_DAY_MS = 86_400_000

CHANGES = "documents.changes"
HIDES = "index.hides"
COMMITS = "index.commits"
GENERATIONS = "index.generations"
DLQ = "documents.dlq"
_MUTATIONS = "index.mutations.{generation}"
_RECORD_NAMES = frozenset(model.schema_name for model in RECORDS)


def mutations_topic(generation: str) -> str:
    """Name of a generation's mutations topic, without prefix."""
    return _MUTATIONS.format(generation=generation)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Topic(_Strict):
    """One topic, or a family of them when its name has a {placeholder}."""

    name: str
    owner: Literal["connectors", "streams", "serving"]
    records: tuple[str, ...]
    key: Literal["primary-key", "document", "tenant", "name"]
    partition_by: Literal["document", "tenant", "single"]
    partitions: Annotated[int, Field(ge=1)] | str
    cleanup: Literal["delete", "compact"]
    retention_days: int | None = Field(None, ge=1)
    dead_letters: str = Field(min_length=1)
    holds: str = Field(min_length=1)

    @model_validator(mode="after")
    def _retention_fits(self) -> Self:
        if (self.cleanup == "delete") != (self.retention_days is not None):
            raise ValueError("retention_days goes with cleanup: delete, and only with it")
        return self


class Defaults(_Strict):
    """What holds for every topic."""

    max_message_bytes: int = Field(ge=1024)
    min_compaction_lag_days: int = Field(ge=0)


class ConcreteTopic(_Strict):
    """A topic as a broker knows it, without the installation's prefix."""

    name: str
    partitions: int
    config: dict[str, str]


class Topics(_Strict):
    """The whole file."""

    version: Literal[1]
    partition_groups: dict[str, Annotated[int, Field(ge=1)]]
    defaults: Defaults
    topics: tuple[Topic, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [topic.name for topic in self.topics]
        if len(set(names)) != len(names):
            raise ValueError("a topic is named twice")
        for topic in self.topics:
            self._check(topic, names)
        return self

    def _check(self, topic: Topic, names: list[str]) -> None:
        if isinstance(topic.partitions, str) and topic.partitions not in self.partition_groups:
            raise ValueError(f"{topic.name}: no partition group {topic.partitions!r}")
        if topic.partition_by == "tenant" and topic.partitions != "tenant":
            raise ValueError(f"{topic.name}: a tenant-partitioned topic takes its count from the group 'tenant'")
        if topic.partition_by == "single" and topic.partitions != 1:
            raise ValueError(f"{topic.name}: partition_by single means one partition")
        for record in topic.records:
            if record not in _RECORD_NAMES:
                raise ValueError(f"{topic.name}: no schema names a record {record!r}")
        if topic.dead_letters not in names and not topic.dead_letters.startswith("none: "):
            raise ValueError(f"{topic.name}: dead_letters names a topic, or says 'none: ' and why")

    def topic(self, name: str) -> Topic:
        """The entry that a concrete name (without prefix) belongs to. Raises ConfigError for an orphan."""
        for topic in self.topics:
            stem, brace, _ = topic.name.partition("{")
            if topic.name == name or (brace and name.startswith(stem) and len(name) > len(stem)):
                return topic
        raise ConfigError(f"topic {name} is not in topics.yaml")

    def partitions(self, name: str) -> int:
        """How many partitions a topic has."""
        count = self.topic(name).partitions
        return self.partition_groups[count] if isinstance(count, str) else count

    def concrete(self, *, sources: tuple[str, ...], generations: tuple[str, ...]) -> tuple[ConcreteTopic, ...]:
        """Every topic that must exist for these CDC sources and generations."""
        names: list[str] = []
        for topic in self.topics:
            if "{source}" in topic.name:
                names += [topic.name.format(source=source) for source in sources]
            elif "{generation}" in topic.name:
                names += [topic.name.format(generation=generation) for generation in generations]
            else:
                names.append(topic.name)
        return tuple(
            ConcreteTopic(name=name, partitions=self.partitions(name), config=self.config(name)) for name in names
        )

    def config(self, name: str) -> dict[str, str]:
        """Broker configuration of a topic."""
        topic = self.topic(name)
        config = {"cleanup.policy": topic.cleanup, "max.message.bytes": str(self.defaults.max_message_bytes)}
        if topic.retention_days is not None:
            config["retention.ms"] = str(topic.retention_days * _DAY_MS)
        else:
            config["min.compaction.lag.ms"] = str(self.defaults.min_compaction_lag_days * _DAY_MS)
        return config

    def partition(self, name: str, *, document: Document | None = None, tenant: Tenant | None = None) -> int:
        """The partition of a record about `document`, or of a tenant's record. Raises ValueError when neither fits."""
        by = self.topic(name).partition_by
        if by == "single":
            return 0
        if by == "document" and document is not None:
            return partition_of(document.key, self.partitions(name))
        if by == "tenant" and (document is not None or tenant is not None):
            owner = document.tenant if document is not None else tenant
            return partition_of(str(owner), self.partitions(name))
        raise ValueError(f"{name} is partitioned by {by}")


def parse_topics(text: str) -> Topics:
    """Read topics.yaml. Raises ConfigError with one line that names the place."""
    try:
        return Topics.model_validate(read_yaml(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(one_line("topics.yaml", error)) from None
