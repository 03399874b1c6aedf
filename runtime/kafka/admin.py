"""Topics, offsets and lag: what is asked of the brokers beside appending and reading."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future as ThreadFuture
from functools import cached_property
from typing import TypeVar

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.admin._topic import TopicDescription
from confluent_kafka.cimpl import NewTopic

from runtime.kafka.config import QUIET, client_config
from runtime.kafka.errors import told, told_of, until_led
from runtime.kafka.offsets import Offsets
from runtime.settings import Settings
from runtime.topic_plan import ChangeConfig, CreateTopic, TopicPlan, TopicState, plan_topics
from schemas.errors import ConfigError, TransientError
from schemas.topics import ConcreteTopic

T = TypeVar("T")

_METADATA_PAUSE_SECONDS = 0.02
_HAS_MEMBERS = frozenset(
    {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.GROUP_SUBSCRIBED_TO_TOPIC}
)
_ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID, KafkaError._UNKNOWN_TOPIC})


class KafkaAdmin:
    """Topics, offsets and lag. Every call blocks for at most `seconds`: from a loop, use asyncio.to_thread.

    Raises TransientError when the brokers do not answer, ConfigError when they refuse what settings or topics.yaml say.
    """

    def __init__(self, settings: Settings, *, seconds: float = 10.0) -> None:
        self._prefix = settings.kafka_topic_prefix
        self._replicas = settings.kafka_replication_factor
        self._seconds = seconds
        self._offsets = Offsets(settings, seconds)
        self._settings = settings

    @cached_property
    def _admin(self) -> AdminClient:
        """Opened by whoever asks for more than offsets."""
        return AdminClient({**client_config(self._settings), "log_level": QUIET})

    def ready(self) -> bool:
        """Whether a broker answers a metadata request."""
        try:
            return bool(self._admin.list_topics(timeout=self._seconds).brokers)
        except KafkaException:
            return False

    def plan(self, wanted: Sequence[ConcreteTopic]) -> TopicPlan:
        """What `apply` would do."""
        return plan_topics(wanted, self.existing({topic.name: tuple(topic.config) for topic in wanted}))

    def apply(self, plan: TopicPlan) -> None:
        """Carry a plan out; a topic that someone else creates meanwhile is fine. Raises ConfigError for a refusal."""
        plan.check()
        new = [action.topic for action in plan.actions if isinstance(action, CreateTopic)]
        changed = [action for action in plan.actions if isinstance(action, ChangeConfig)]
        if new:
            self._create(new)
        if changed:
            resources = [self._change(action) for action in changed]
            for outcome in self._admin.incremental_alter_configs(resources).values():
                self._result(outcome)

    def delete(self, topic: str) -> None:
        """Remove a topic with all it holds: of a benchmark, or of a retired generation."""
        for outcome in self._admin.delete_topics([self._prefix + topic], request_timeout=self._seconds).values():
            self._result(outcome)

    def existing(self, keys: Mapping[str, Sequence[str]]) -> dict[str, TopicState]:
        """State of those of the named topics that exist, with the values of the named configuration keys."""
        described = self._describe(list(keys))
        resources = [ConfigResource(ResourceType.TOPIC, self._prefix + name) for name in described]
        configs: dict[str, Mapping[str, str]] = {}
        if resources:
            for resource, outcome in self._admin.describe_configs(resources).items():
                name = resource.name.removeprefix(self._prefix)
                entries: dict[str, ConfigEntry] = self._result(outcome)
                configs[name] = {key: entries[key].value or "" for key in keys[name] if key in entries}
        return {
            name: TopicState(str(topic.topic_id), len(topic.partitions), configs[name])
            for name, topic in described.items()
        }

    def topic_facts(self, names: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Id and partition count of each topic. Raises ConfigError for one that does not exist."""
        described = self._describe(names)
        missing = sorted(set(names) - set(described))
        if missing:
            raise ConfigError(f"topic {missing[0]} does not exist: run `millstream topics apply`")
        return {name: (str(topic.topic_id), len(topic.partitions)) for name, topic in described.items()}

    def begin_offsets(self, topic: str) -> dict[int, int]:
        """Offset of the oldest record of each partition."""
        return {partition: begin for partition, (begin, _) in self._offsets.ends(topic).items()}

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Offset that the next record of each partition will get."""
        return {partition: end for partition, (_, end) in self._offsets.ends(topic).items()}

    def offsets_at(self, topic: str, milliseconds: int) -> dict[int, int]:
        """Offset of each partition's first record of this time (since 1970) or later; its end where there is none."""
        found, ends = self._offsets.at(topic, milliseconds), self.end_offsets(topic)
        return {partition: offset if offset >= 0 else ends[partition] for partition, offset in found.items()}

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """Next offset each partition's consumer group will read; a partition without a commit is absent."""
        return dict(self._offsets.acknowledged(group, topic))

    def reached(self, group: str, topic: str) -> dict[int, int]:
        """How far a group is in each partition: what retention has removed nobody can have, and nobody needs."""
        done = self.group_offsets(group, topic)
        return {partition: max(begin, done.get(partition, 0)) for partition, begin in self.begin_offsets(topic).items()}

    def expired(self, group: str, topic: str) -> dict[int, int]:
        """How many records of each partition retention has removed before the group acknowledged them, where any."""
        done = self.group_offsets(group, topic)
        begins = self.begin_offsets(topic)
        return {partition: begins[partition] - at for partition, at in done.items() if at < begins.get(partition, 0)}

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Let a group that has no members begin at these offsets; a group that has some keeps what it has. A broker
        that does not know the group's coordinator yet is asked again. Raises TransientError, ConfigError.
        """
        until_led(lambda: self._set_group_offsets(group, topic, offsets), self._seconds)

    def _set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        wanted = [TopicPartition(self._prefix + topic, number, offset) for number, offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(self._prefix + group, wanted)]
        for outcome in self._admin.alter_consumer_group_offsets(request).values():
            try:
                done = self._answer(outcome)
            except KafkaException as error:
                if error.args[0].code() not in _HAS_MEMBERS:
                    raise told(error) from None
                continue
            for each in done.topic_partitions:  # the whole may succeed where none of its partitions did
                if each.error is not None and each.error.code() not in _HAS_MEMBERS:
                    raise told_of(each.error)

    def lag(self, group: str, topic: str) -> dict[int, int]:
        """Records of each partition that the group has not acknowledged (an upper bound on a compacted topic)."""
        done = self.group_offsets(group, topic)
        return {
            partition: max(0, end - done.get(partition, begin))
            for partition, (begin, end) in self._offsets.ends(topic).items()
        }

    def _create(self, topics: Sequence[ConcreteTopic]) -> None:
        new = [
            NewTopic(self._prefix + topic.name, topic.partitions, self._replicas, config=dict(topic.config))
            for topic in topics
        ]
        outcomes = self._admin.create_topics(new, operation_timeout=self._seconds, request_timeout=self._seconds + 5)
        for outcome in outcomes.values():
            try:
                self._answer(outcome)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise told(error) from None
        self._await_topics([topic.name for topic in topics])

    def _await_topics(self, names: Sequence[str]) -> None:
        """A created topic reaches the brokers' metadata a moment after the controller acknowledged it."""
        deadline = time.monotonic() + self._seconds
        while missing := sorted(set(names) - set(self._describe(names))):
            if time.monotonic() > deadline:
                raise TransientError(f"topic {missing[0]} was created but no broker knows it yet: try again")
            time.sleep(_METADATA_PAUSE_SECONDS)

    def _change(self, action: ChangeConfig) -> ConfigResource:
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in action.changes.items()
        ]
        return ConfigResource(ResourceType.TOPIC, self._prefix + action.name, incremental_configs=entries)

    def _describe(self, names: Sequence[str]) -> dict[str, TopicDescription]:
        if not names:
            return {}
        collection = TopicCollection([self._prefix + name for name in names])
        found: dict[str, TopicDescription] = {}
        for name, outcome in self._admin.describe_topics(collection, request_timeout=self._seconds).items():
            try:
                found[name.removeprefix(self._prefix)] = self._answer(outcome)
            except KafkaException as error:
                if error.args[0].code() not in _ABSENT:
                    raise told(error) from None
        return found

    def _result(self, outcome: "ThreadFuture[T]") -> T:
        try:
            return self._answer(outcome)
        except KafkaException as error:
            raise told(error) from None

    def _answer(self, outcome: "ThreadFuture[T]") -> T:
        """One of a client whose broker was restarted meanwhile may never come. Raises KafkaException."""
        try:
            return outcome.result(timeout=self._seconds + 5)
        except TimeoutError:
            raise TransientError("Kafka did not answer an administrative request") from None
