"""What has to be done so that the broker has the topics topics.yaml states: pure, as values.

A difference in partition count is never repaired: records of one document would part ways. It is a refusal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.errors import ConfigError
from schemas.topics import ConcreteTopic


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker has it; `config` holds at least the keys that topics.yaml states."""

    topic_id: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CreateTopic:
    """The topic is not there."""

    topic: ConcreteTopic

    def __str__(self) -> str:
        return f"create {self.topic.name} with {self.topic.partitions} partitions"


@dataclass(frozen=True, slots=True)
class ChangeConfig:
    """The topic is there, with another configuration; `changes` maps a key to its new value."""

    name: str
    changes: Mapping[str, str]

    def __str__(self) -> str:
        return f"change {self.name}: " + ", ".join(f"{key}={value}" for key, value in sorted(self.changes.items()))


@dataclass(frozen=True, slots=True)
class PartitionsDiffer:
    """The topic is there with another partition count."""

    name: str
    found: int
    wanted: int

    def __str__(self) -> str:
        return (
            f"topic {self.name} has {self.found} partitions and topics.yaml says {self.wanted}: "
            "a count cannot change once records lie in it; correct topics.yaml, or start with an empty broker"
        )


TopicAction = CreateTopic | ChangeConfig


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """Actions to take, and reasons not to begin. Empty in both: the broker is as topics.yaml says."""

    actions: tuple[TopicAction, ...] = ()
    refusals: tuple[PartitionsDiffer, ...] = ()

    def check(self) -> None:
        """Raises ConfigError with the first refusal."""
        if self.refusals:
            raise ConfigError(str(self.refusals[0]))


def plan_topics(wanted: Iterable[ConcreteTopic], existing: Mapping[str, TopicState]) -> TopicPlan:
    """Compare what topics.yaml states with what the broker has; names without prefix on both sides."""
    actions: list[TopicAction] = []
    refusals: list[PartitionsDiffer] = []
    for topic in wanted:
        state = existing.get(topic.name)
        if state is None:
            actions.append(CreateTopic(topic))
        elif state.partitions != topic.partitions:
            refusals.append(PartitionsDiffer(topic.name, state.partitions, topic.partitions))
        else:
            changes = {key: value for key, value in topic.config.items() if state.config.get(key) != value}
            if changes:
                actions.append(ChangeConfig(topic.name, changes))
    return TopicPlan(tuple(actions), tuple(refusals))
