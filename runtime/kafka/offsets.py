"""Where topics begin and end, and how far groups are: asked by consumers that never subscribe.

Not by librdkafka's administrative client: one whose broker was restarted while it was asked never answers again, and
ends its whole process by an assertion or SIGSEGV (librdkafka's issue 4605; seen within two restarts).
"""

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from runtime.kafka.config import QUIET, client_config
from runtime.kafka.errors import NoLeaderError, told, told_of, until_led
from runtime.settings import Settings
from schemas.errors import ConfigError, TransientError

T = TypeVar("T")

_NOBODY = "millstream-tools"


class Offsets:
    """One consumer for each group that is asked about, and one for topics. Calls from several threads are answered one
    after the other; each blocks for about `seconds` at most. Raises TransientError and ConfigError.
    """

    def __init__(self, settings: Settings, seconds: float) -> None:
        self._settings = settings
        self._seconds = seconds
        self._consumers: dict[str, Consumer] = {}
        self._one_at_a_time = threading.Lock()

    def ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Of each partition the offset of its oldest record, and the one that its next record will get."""
        return self._asked(_NOBODY, lambda consumer: self._ends(consumer, self._name(topic)))

    def at(self, topic: str, milliseconds: int) -> Mapping[int, int]:
        """Of each partition the first offset of this time (since 1970) or later; -1 where there is none."""

        def ask(consumer: Consumer) -> Mapping[int, int]:
            name = self._name(topic)
            wanted = [TopicPartition(name, number, milliseconds) for number in self._partitions(consumer, name)]
            return _offsets(consumer.offsets_for_times(wanted, timeout=self._seconds))

        return self._asked(_NOBODY, ask)

    def acknowledged(self, group: str, topic: str) -> Mapping[int, int]:
        """Of each partition the next offset that the group will read; one without a commit is absent."""

        def ask(consumer: Consumer) -> Mapping[int, int]:
            name = self._name(topic)
            wanted = [TopicPartition(name, number) for number in self._partitions(consumer, name)]
            found = _offsets(consumer.committed(wanted, timeout=self._seconds))
            return {partition: offset for partition, offset in found.items() if offset >= 0}

        return self._asked(group, ask)

    def _name(self, topic: str) -> str:
        return self._settings.kafka_topic_prefix + topic

    def _asked(self, group: str, ask: Callable[[Consumer], T]) -> T:
        with self._one_at_a_time:
            return until_led(lambda: self._ask(group, ask), self._seconds)

    def _ask(self, group: str, ask: Callable[[Consumer], T]) -> T:
        consumer = self._consumers[group] = self._consumers.get(group) or self._open(group)
        try:
            return ask(consumer)
        except KafkaException as error:
            raise self._closed(group, told(error)) from None
        except TransientError as error:
            raise self._closed(group, error) from None

    def _closed(self, group: str, error: Exception) -> Exception:
        """The error; the next question goes over a connection of its own."""
        if isinstance(error, TransientError) and not isinstance(error, NoLeaderError):
            self._consumers.pop(group).close()
        return error

    def _open(self, group: str) -> Consumer:
        config = client_config(self._settings) | {
            "log_level": QUIET,
            "group.id": self._settings.kafka_topic_prefix + group,
            "enable.auto.commit": False,
        }
        return Consumer(config)

    def _partitions(self, consumer: Consumer, name: str) -> range:
        found = consumer.list_topics(name, timeout=self._seconds).topics[name]
        if found.error is not None:
            if found.error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                topic = name.removeprefix(self._settings.kafka_topic_prefix)
                raise ConfigError(f"topic {topic} does not exist: run `millstream topics apply`")
            raise told_of(found.error)
        return range(len(found.partitions))

    def _ends(self, consumer: Consumer, name: str) -> Mapping[int, tuple[int, int]]:
        ends: dict[int, tuple[int, int]] = {}
        for number in self._partitions(consumer, name):
            found = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=self._seconds, cached=False)
            if found is None:
                raise TransientError("Kafka did not say where a partition ends")
            ends[number] = found
        return ends


def _offsets(found: list[TopicPartition]) -> Mapping[int, int]:
    for each in found:
        if each.error is not None:
            raise told_of(each.error)
    return {each.partition: each.offset for each in found}
