"""Kafka through aiokafka: the one module that imports it, besides Faust itself.

`LogProducer` is how a stage publishes: never through Faust's own producer (stack: it swallows errors). `KafkaTail` is
how an API process reads a whole topic without a group, `KafkaShare` how a stage reads a topic beside Faust's. The same
connection settings serve all of them and Faust's credentials.
"""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    RecordListTooLargeError,
)
from aiokafka.structs import RecordMetadata

from runtime.log_port import MAX_RECORD_BYTES, Headers, LostRecordsError, StoredRecord, check_size
from runtime.settings import Settings
from runtime.told_offsets import UNKNOWN, ToldOffsets
from schemas.errors import ConfigError, TooLargeError, TransientError
from schemas.records import Coordinates

_BATCH_BYTES = 1_048_576
"""aiokafka has one batch of a partition under way at a time: small ones make throughput a matter of round trips."""

_ANSWER_MS = 10_000

_Found = Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class Connection:
    """Keyword arguments that every aiokafka client of this installation shares."""

    bootstrap_servers: list[str]
    security_protocol: str
    ssl_context: ssl.SSLContext | None
    sasl_mechanism: str
    sasl_plain_username: str | None
    sasl_plain_password: str | None = field(repr=False)


def connection(settings: Settings) -> Connection:
    """How to connect. Raises ConfigError for a CA file that cannot be read."""
    sasl = settings.kafka_security_protocol.startswith("SASL")
    return Connection(
        bootstrap_servers=settings.kafka_bootstrap.split(","),
        security_protocol=settings.kafka_security_protocol,
        ssl_context=ssl_context(settings),
        sasl_mechanism=settings.kafka_sasl_mechanism if sasl else "PLAIN",
        sasl_plain_username=settings.kafka_sasl_username if sasl else None,
        sasl_plain_password=settings.kafka_sasl_password.get_secret_value() if sasl else None,
    )


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context, where the security protocol has TLS. Raises ConfigError for a CA file that cannot be read."""
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    try:
        return ssl.create_default_context(cafile=settings.kafka_ca_file)
    except OSError as error:
        raise ConfigError(f"MILLSTREAM_KAFKA_CA_FILE: {error.strerror or 'not a PEM file'}") from None


class LogProducer:
    """`Log` on Kafka, for processes that run aiokafka already. Construct it inside the running loop."""

    def __init__(self, settings: Settings, *, ack_seconds: float = 30.0) -> None:
        link = connection(settings)
        self._prefix = settings.kafka_topic_prefix
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._told = ToldOffsets()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=link.bootstrap_servers,
            security_protocol=link.security_protocol,
            ssl_context=link.ssl_context,
            sasl_mechanism=link.sasl_mechanism,
            sasl_plain_username=link.sasl_plain_username,
            sasl_plain_password=link.sasl_plain_password,
            client_id="millstream",
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            max_request_size=MAX_RECORD_BYTES,
            request_timeout_ms=round(ack_seconds * 1000),
        )

    async def start(self) -> None:
        """Connect. Raises TransientError when no broker answers."""
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            raise TransientError(f"Kafka does not answer: {type(error).__name__}") from None

    async def stop(self) -> None:
        """Wait for what is under way, then disconnect."""
        await self._producer.stop()

    async def append(self, topic: str, partition: int, key: str, value: bytes, headers: Headers = ()) -> Coordinates:
        """See `runtime.log_port.Log`. After a TransientError the producer is of no more use: end the process."""
        check_size(key, value, headers)
        try:
            # A large record that waits for its batch to drain could otherwise be overtaken by a smaller one.
            async with self._turns[topic, partition]:
                sent = await self._producer.send(
                    self._prefix + topic, value, key.encode(), partition=partition, headers=list(headers)
                )
                place = self._place(sent, topic, partition)
            # Shielded: a caller that goes away must not cancel the batch's own future.
            offset = await asyncio.shield(place)
        except (MessageSizeTooLargeError, RecordListTooLargeError):
            raise TooLargeError(f"the broker refuses a record of this size for {topic}") from None
        except KafkaConnectionError:
            raise TransientError(f"Kafka is not reachable for {topic}") from None
        except KafkaError as error:
            raise TransientError(f"Kafka did not acknowledge a record for {topic}: {type(error).__name__}") from None
        if offset is None:
            raise TransientError(f"Kafka did not acknowledge a record for {topic}: {UNKNOWN}")
        return Coordinates(topic=topic, partition=partition, offset=offset)

    def _place(
        self, sent: "asyncio.Future[RecordMetadata]", topic: str, partition: int
    ) -> "asyncio.Future[int | None]":
        """The true offset of a record that is being sent, looked at in the log's order, whoever still waits for it."""
        place: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

        def settle(acknowledged: "asyncio.Future[RecordMetadata]") -> None:
            if acknowledged.cancelled():
                place.cancel()
            elif (error := acknowledged.exception()) is not None:
                place.set_exception(error)
            else:
                place.set_result(self._told.true_offset(topic, partition, acknowledged.result().offset))

        sent.add_done_callback(settle)
        return place


class _Reading:
    """One consumer at a time whose partitions are assigned by hand: nobody joins a group. Construct inside the loop."""

    def __init__(self, settings: Settings, topic: str, wait_seconds: float, *, group: str | None, reset: str) -> None:
        self._settings = settings
        self._topic = topic
        self._wait_ms = round(wait_seconds * 1000)
        self._group = group
        self._reset = reset
        self._consumer: AIOKafkaConsumer | None = None

    async def stop(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stopped(consumer)

    async def _connected(self, partitions: Sequence[TopicPartition]) -> AIOKafkaConsumer:
        """A new consumer of these partitions. Raises TransientError."""
        await self.stop()
        consumer = self._consumer = _consumer(self._settings, group=self._group, reset=self._reset)
        consumer.assign(partitions)
        try:
            await consumer.start()
        except KafkaError as error:
            raise self._unreadable(error) from None
        return consumer

    async def _ends(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        try:
            return dict(await consumer.end_offsets(partitions))
        except KafkaError as error:
            raise TransientError(f"the end of {self._topic} cannot be found: {type(error).__name__}") from None

    async def _fetch(self) -> _Found:
        assert self._consumer is not None
        try:
            found: _Found = await self._consumer.getmany(timeout_ms=self._wait_ms)
        except OffsetOutOfRangeError:
            raise LostRecordsError(f"{self._topic} does not have the next record: it was cut, or made anew") from None
        except KafkaError as error:
            raise self._unreadable(error) from None
        return found

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.kafka_topic_prefix + self._topic, partition)

    def _unreadable(self, error: KafkaError) -> TransientError:
        return TransientError(f"{self._topic} cannot be read: {type(error).__name__}")


class KafkaTail(_Reading):
    """`LogTail` on Kafka: no group, nothing committed."""

    def __init__(self, settings: Settings, topic: str, partitions: int, *, wait_seconds: float = 1.0) -> None:
        super().__init__(settings, topic, wait_seconds, group=None, reset="none")
        self._partitions = [self._at(number) for number in range(partitions)]
        self._next: dict[TopicPartition, int] = {}

    async def start(self) -> Mapping[int, int]:
        """See `runtime.log_port.LogTail`."""
        consumer = await self._connected(self._partitions)
        self._next = await self._ends(consumer, self._partitions)
        for partition, offset in self._next.items():
            consumer.seek(partition, offset)
        return {partition.partition: offset for partition, offset in self._next.items()}

    async def read(self) -> Sequence[StoredRecord]:
        """See `runtime.log_port.LogTail`."""
        found = await self._fetch()
        self._next |= {partition: records[-1].offset + 1 for partition, records in found.items() if records}
        return _stored(self._topic, found)

    def behind(self) -> int:
        """See `runtime.log_port.LogTail`."""
        consumer = self._consumer
        if consumer is None:
            return 0
        return sum(max(0, (consumer.highwater(at) or 0) - offset) for at, offset in self._next.items())


class KafkaSpan(_Reading):
    """`LogSpan` on Kafka: no group, nothing committed."""

    def __init__(self, settings: Settings, topic: str, partitions: int, *, wait_seconds: float = 0.2) -> None:
        super().__init__(settings, topic, wait_seconds, group=None, reset="earliest")
        self._partitions = [self._at(number) for number in range(partitions)]

    async def start(self, begins: Mapping[int, int]) -> Mapping[int, int]:
        """See `runtime.log_port.LogSpan`."""
        consumer = await self._connected(self._partitions)
        ends = await self._ends(consumer, self._partitions)
        for at in self._partitions:
            consumer.seek(at, begins.get(at.partition, 0))
        return {at.partition: end for at, end in ends.items()}

    async def read(self) -> Sequence[StoredRecord]:
        """See `runtime.log_port.LogSpan`."""
        return _stored(self._topic, await self._fetch())


class KafkaShare(_Reading):
    """`LogShare` on Kafka: offsets are committed under a group's name that nobody joins."""

    def __init__(self, settings: Settings, topic: str, group: str, *, wait_seconds: float = 0.1) -> None:
        super().__init__(settings, topic, wait_seconds, group=settings.kafka_topic_prefix + group, reset="earliest")

    async def start(self, partitions: Collection[int]) -> None:
        """See `runtime.log_port.LogShare`."""
        await self._connected([self._at(number) for number in partitions])

    async def read(self) -> Sequence[StoredRecord]:
        """See `runtime.log_port.LogShare`."""
        return _stored(self._topic, await self._fetch())

    async def acknowledge(self, offsets: Mapping[int, int]) -> None:
        """See `runtime.log_port.LogShare`."""
        assert self._consumer is not None
        try:
            await self._consumer.commit({self._at(number): offset for number, offset in offsets.items()})
        except KafkaError as error:
            raise TransientError(f"{self._topic} is not acknowledged: {type(error).__name__}") from None


async def _stopped(consumer: AIOKafkaConsumer) -> None:
    """aiokafka cancels what it fetches with, and hands that cancellation on where one of them rests after a failure:
    whoever stops a consumer would be taken for cancelled himself, and its connections would stay open.
    """
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait([stopping])
    if stopping.cancelled():
        await consumer._client.close()
    else:
        stopping.result()


def _consumer(settings: Settings, *, group: str | None, reset: str) -> AIOKafkaConsumer:
    link = connection(settings)
    return AIOKafkaConsumer(
        bootstrap_servers=link.bootstrap_servers,
        security_protocol=link.security_protocol,
        ssl_context=link.ssl_context,
        sasl_mechanism=link.sasl_mechanism,
        sasl_plain_username=link.sasl_plain_username,
        sasl_plain_password=link.sasl_plain_password,
        client_id="millstream",
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset=reset,
        request_timeout_ms=_ANSWER_MS,
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
    )


def _stored(topic: str, found: _Found) -> Sequence[StoredRecord]:
    return [
        StoredRecord(
            Coordinates(topic=topic, partition=partition.partition, offset=record.offset),
            None if record.key is None else record.key.decode(errors="replace"),
            record.value,
            tuple(record.headers),
            record.timestamp,
        )
        for partition, records in found.items()
        for record in records
    ]
