"""Kafka through confluent-kafka: the one module that imports it.

Serves plain processes and tools (webhook receiver, command line): an idempotent producer whose sends overlap,
administration of topics, offsets and lag, and reading a topic to the end seen at the start. Topic and group names are
given without the installation's prefix everywhere; it is put on and taken off here.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future as ThreadFuture
from typing import TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka import Producer as ConfluentProducer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.admin._topic import TopicDescription
from confluent_kafka.cimpl import NewTopic

from runtime.log_port import MAX_RECORD_BYTES, Headers, StoredRecord, check_size
from runtime.settings import Settings
from runtime.topic_plan import ChangeConfig, CreateTopic, TopicPlan, TopicState, plan_topics
from schemas.errors import ConfigError, TooLargeError, TransientError
from schemas.records import Coordinates
from schemas.topics import ConcreteTopic

T = TypeVar("T")
ClientConfig = dict[str, str | int | float | bool]

_METADATA_PAUSE_SECONDS = 0.02
_QUIET = 2
"""syslog level "critical": what tools print of librdkafka's own log. Failures come back as errors anyway."""

_POLL_SECONDS = 0.1
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
_NO_LEADER = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
    }
)
_HAS_MEMBERS = frozenset(
    {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP, KafkaError.GROUP_SUBSCRIBED_TO_TOPIC}
)
_ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID, KafkaError._UNKNOWN_TOPIC})


def client_config(settings: Settings) -> ClientConfig:
    """What every client of this installation needs to connect."""
    config: ClientConfig = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "security.protocol": settings.kafka_security_protocol,
        "client.id": "millstream",
        "message.max.bytes": MAX_RECORD_BYTES,
        "reconnect.backoff.max.ms": 1000,
        "socket.keepalive.enable": True,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_sasl_username
        config["sasl.password"] = settings.kafka_sasl_password.get_secret_value()
    if settings.kafka_ca_file is not None:
        config["ssl.ca.location"] = str(settings.kafka_ca_file)
    return config


def producer_config(settings: Settings, delivery_seconds: float) -> ClientConfig:
    """The idempotent producer's configuration (stack: a plain one was seen to reorder records)."""
    return client_config(settings) | {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "linger.ms": 1,
        "delivery.timeout.ms": round(delivery_seconds * 1000),
        "queue.buffering.max.kbytes": 262_144,
    }


class Producer:
    """`Log` on Kafka, for processes with an asyncio loop.

    One thread polls for acknowledgements and hands them to the loop that created the producer. `fatal` is the reason
    why it can append nothing any more; the process should then end and be started again.
    """

    def __init__(self, settings: Settings, *, delivery_seconds: float = 30.0) -> None:
        self._prefix = settings.kafka_topic_prefix
        self._loop = asyncio.get_running_loop()
        self._producer = ConfluentProducer(
            {
                **producer_config(settings, delivery_seconds),
                "error_cb": self._on_error,
                "logger": logging.getLogger("millstream.kafka"),
            }
        )
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-acknowledgements", daemon=True)
        self._thread.start()
        self.fatal: str | None = None

    async def append(self, topic: str, partition: int, key: str, value: bytes, headers: Headers = ()) -> Coordinates:
        """See `runtime.log_port.Log`."""
        check_size(key, value, headers)
        if self.fatal is not None:
            raise TransientError(f"the Kafka producer cannot go on ({self.fatal}): restart the process")
        acknowledged: asyncio.Future[Coordinates] = self._loop.create_future()

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            offset = message.offset()
            outcome: Coordinates | Exception
            if error is None and offset is not None:
                outcome = Coordinates(topic=topic, partition=partition, offset=offset)
            else:
                outcome = _append_error(topic, error)
            _tell(self._loop, acknowledged, outcome)

        try:
            self._producer.produce(
                self._prefix + topic,
                value=value,
                key=key.encode(),
                partition=partition,
                headers=list(headers),
                on_delivery=on_delivery,
            )
        except BufferError:
            raise TransientError("more records wait for Kafka than the producer's queue holds") from None
        except KafkaException as error:
            raise _append_error(topic, error.args[0]) from None
        return await acknowledged

    async def close(self, seconds: float = 10.0) -> int:
        """Wait for acknowledgements under way, at most `seconds`. Returns how many records are still without one."""
        left = await asyncio.to_thread(self._producer.flush, seconds)
        self._closing.set()
        await asyncio.to_thread(self._thread.join)
        if left:
            self._producer.purge()
            self._producer.poll(0)
        return left

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_SECONDS)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self.fatal = error.name()


def _tell(
    loop: asyncio.AbstractEventLoop, waiting: "asyncio.Future[Coordinates]", outcome: Coordinates | Exception
) -> None:
    def settle() -> None:
        if waiting.done():
            return
        if isinstance(outcome, Exception):
            waiting.set_exception(outcome)
        else:
            waiting.set_result(outcome)

    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)


def _append_error(topic: str, error: KafkaError | None) -> Exception:
    if error is not None and error.code() in _TOO_LARGE:
        return TooLargeError(f"the broker refuses a record of this size for {topic}")
    # Without an error: a retry met its own first attempt (librdkafka #4438). The record is there, its place unknown.
    reason = "it lies in the log at an unknown offset" if error is None else error.name()
    return TransientError(f"Kafka did not acknowledge a record for {topic}: {reason}")


class KafkaAdmin:
    """Topics, offsets and lag. Every call blocks for at most `seconds`: from a loop, use asyncio.to_thread.

    Raises TransientError when the brokers do not answer, ConfigError when they refuse what settings or topics.yaml say.
    """

    def __init__(self, settings: Settings, *, seconds: float = 10.0) -> None:
        self._prefix = settings.kafka_topic_prefix
        self._replicas = settings.kafka_replication_factor
        self._seconds = seconds
        self._admin = AdminClient({**client_config(settings), "log_level": _QUIET})

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
        return self._offsets(topic, _EARLIEST)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Offset that the next record of each partition will get."""
        return self._offsets(topic, _LATEST)

    def offsets_at(self, topic: str, milliseconds: int) -> dict[int, int]:
        """Offset of each partition's first record of this time (since 1970) or later; its end where there is none."""
        found = self._offsets(topic, OffsetSpec.for_timestamp(milliseconds))
        ends = self.end_offsets(topic)
        return {partition: offset if offset >= 0 else ends[partition] for partition, offset in found.items()}

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """Next offset each partition's consumer group will read; a partition without a commit is absent."""
        partitions = [TopicPartition(self._prefix + topic, number) for number in range(self._count(topic))]
        request = [ConsumerGroupTopicPartitions(self._prefix + group, partitions)]
        (outcome,) = self._admin.list_consumer_group_offsets(request).values()
        found: ConsumerGroupTopicPartitions = self._result(outcome)
        return {entry.partition: entry.offset for entry in found.topic_partitions or () if entry.offset >= 0}

    def set_group_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Let a group that has no members begin at these offsets; a group that has some keeps what it has."""
        wanted = [TopicPartition(self._prefix + topic, number, offset) for number, offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(self._prefix + group, wanted)]
        for outcome in self._admin.alter_consumer_group_offsets(request).values():
            try:
                outcome.result(timeout=self._seconds + 5)
            except KafkaException as error:
                if error.args[0].code() not in _HAS_MEMBERS:
                    raise _admin_error(error) from None

    def lag(self, group: str, topic: str) -> dict[int, int]:
        """Records of each partition that the group has not acknowledged (an upper bound on a compacted topic)."""
        done, begin = self.group_offsets(group, topic), self.begin_offsets(topic)
        return {
            partition: max(0, end - done.get(partition, begin[partition]))
            for partition, end in self.end_offsets(topic).items()
        }

    def _create(self, topics: Sequence[ConcreteTopic]) -> None:
        new = [
            NewTopic(self._prefix + topic.name, topic.partitions, self._replicas, config=dict(topic.config))
            for topic in topics
        ]
        outcomes = self._admin.create_topics(new, operation_timeout=self._seconds, request_timeout=self._seconds + 5)
        for outcome in outcomes.values():
            try:
                outcome.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise _admin_error(error) from None
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
                found[name.removeprefix(self._prefix)] = outcome.result()
            except KafkaException as error:
                if error.args[0].code() not in _ABSENT:
                    raise _admin_error(error) from None
        return found

    def _count(self, topic: str) -> int:
        return self.topic_facts([topic])[topic][1]

    def _offsets(self, topic: str, spec: OffsetSpec) -> dict[int, int]:
        """Asked again while a partition of a new topic has no leader yet, or another one than a moment ago."""
        wanted = {TopicPartition(self._prefix + topic, number): spec for number in range(self._count(topic))}
        deadline = time.monotonic() + self._seconds
        while True:
            outcomes = self._admin.list_offsets(wanted, request_timeout=self._seconds)
            try:
                return {partition.partition: self._result(outcome).offset for partition, outcome in outcomes.items()}
            except NoLeaderError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_METADATA_PAUSE_SECONDS)

    def _result(self, outcome: "ThreadFuture[T]") -> T:
        try:
            return outcome.result(timeout=self._seconds + 5)
        except KafkaException as error:
            raise _admin_error(error) from None
        except TimeoutError:
            raise TransientError("Kafka did not answer an administrative request") from None


class NoLeaderError(TransientError):
    """A partition has no leader yet, or the client asked the one before."""


def _admin_error(error: KafkaException) -> Exception:
    cause: KafkaError = error.args[0]
    if cause.code() in _NO_LEADER:
        return NoLeaderError(f"Kafka has no leader for a partition yet: {cause.name()}")
    if cause.retriable() or cause.code() in (
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError.REQUEST_TIMED_OUT,
    ):
        return TransientError(f"Kafka did not answer: {cause.name()}")
    return ConfigError(f"Kafka refuses: {cause.name()} {cause.str()}")


def kafka_ready(bootstrap: str, seconds: float = 2.0) -> bool:
    """Whether a broker at this plain address answers a metadata request; an open port alone is no sign."""
    try:
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": _QUIET})
        return bool(admin.list_topics(timeout=seconds).brokers)
    except KafkaException:
        return False


def read_topic(
    settings: Settings, topic: str, *, start: Mapping[int, int] | None = None, seconds: float = 30.0
) -> Iterator[StoredRecord]:
    """Read a topic up to the end that it has now, partition by partition interleaved; each partition in order.

    `start` maps partitions to the first offset wanted; a partition that it does not name is left out. None reads all
    from the beginning. Joins no group and commits nothing. Blocks; raises TransientError when nothing comes for
    `seconds`.
    """
    admin = KafkaAdmin(settings)
    ends = admin.end_offsets(topic)
    begins = admin.begin_offsets(topic)
    if start is not None:
        begins = {
            partition: max(begins[partition], offset) for partition, offset in start.items() if partition in begins
        }
    open_ends = {partition: ends[partition] for partition, offset in begins.items() if offset < ends[partition]}
    if not open_ends:
        return
    name = settings.kafka_topic_prefix + topic
    consumer = Consumer(
        {
            **client_config(settings),
            "log_level": _QUIET,
            "group.id": settings.kafka_topic_prefix + "millstream-tools",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": MAX_RECORD_BYTES,
        }
    )
    try:
        consumer.assign([TopicPartition(name, partition, begins[partition]) for partition in open_ends])
        yield from _read_until(consumer, topic, open_ends, seconds)
    finally:
        consumer.close()


def _read_until(consumer: Consumer, topic: str, ends: dict[int, int], seconds: float) -> Iterator[StoredRecord]:
    while ends:
        message = consumer.poll(seconds)
        if message is None:
            raise TransientError(f"Kafka sent nothing of {topic} for {seconds:.0f} s")
        partition, offset = message.partition(), message.offset()
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise TransientError(f"reading {topic}: {error.name()}")
        if partition not in ends or offset is None:
            continue
        if error is None and offset < ends[partition]:
            yield _stored(topic, partition, offset, message)
        # The end of a partition may be a compaction gap: then only the EOF event tells that nothing more comes.
        if error is not None or offset + 1 >= ends[partition]:
            del ends[partition]


def _stored(topic: str, partition: int, offset: int, message: Message) -> StoredRecord:
    key = message.key()
    pairs = message.headers() or []
    listed = pairs.items() if isinstance(pairs, dict) else pairs
    headers = tuple((name, value if isinstance(value, bytes) else (value or "").encode()) for name, value in listed)
    return StoredRecord(
        Coordinates(topic=topic, partition=partition, offset=offset),
        None if key is None else key.decode(errors="replace"),
        message.value(),
        headers,
        message.timestamp()[1],
    )
