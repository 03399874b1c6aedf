"""Reading a topic to the end that it has now."""

from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from runtime.kafka.config import QUIET, client_config
from runtime.kafka.offsets import Offsets
from runtime.log_port import MAX_RECORD_BYTES, StoredRecord
from runtime.settings import Settings
from schemas.errors import TransientError
from schemas.records import Coordinates

_ANSWER_SECONDS = 10.0


def read_topic(
    settings: Settings, topic: str, *, start: Mapping[int, int] | None = None, seconds: float = 30.0
) -> Iterator[StoredRecord]:
    """Read a topic up to the end that it has now, partition by partition interleaved; each partition in order.

    `start` maps partitions to the first offset wanted; a partition that it does not name is left out. None reads all
    from the beginning. Joins no group and commits nothing. Blocks; raises TransientError when nothing comes for
    `seconds`.
    """
    found = Offsets(settings, _ANSWER_SECONDS).ends(topic)
    begins = {partition: begin for partition, (begin, _) in found.items()}
    if start is not None:
        begins = {
            partition: max(begins[partition], offset) for partition, offset in start.items() if partition in begins
        }
    open_ends = {partition: found[partition][1] for partition, offset in begins.items() if offset < found[partition][1]}
    if not open_ends:
        return
    name = settings.kafka_topic_prefix + topic
    consumer = Consumer(
        {
            **client_config(settings),
            "log_level": QUIET,
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
            yield stored(topic, partition, offset, message)
        # The end of a partition may be a compaction gap: then only the EOF event tells that nothing more comes.
        if error is not None or offset + 1 >= ends[partition]:
            del ends[partition]


def stored(topic: str, partition: int, offset: int, message: Message) -> StoredRecord:
    """A message as the log has it."""
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
