"""Reads single records of the log by their coordinates, over one connection that stays open."""

import threading

from confluent_kafka import Consumer, KafkaError, TopicPartition

from runtime.kafka.config import QUIET, client_config
from runtime.kafka.reading import stored
from runtime.log_port import MAX_RECORD_BYTES, StoredRecord
from runtime.settings import Settings
from schemas.errors import TransientError
from schemas.records import Coordinates


class RecordReader:
    """Joins no group and commits nothing. Calls from several threads are answered one after the other."""

    def __init__(self, settings: Settings, *, seconds: float = 30.0) -> None:
        self._settings = settings
        self._seconds = seconds
        self._consumer: Consumer | None = None
        self._one_at_a_time = threading.Lock()

    def at(self, at: Coordinates) -> StoredRecord | None:
        """The record there; None where compaction or retention has taken it. Blocks; raises TransientError."""
        with self._one_at_a_time:
            consumer = self._consumer = self._consumer or self._open()
            try:
                return self._read(consumer, at)
            except TransientError:
                self._close()
                raise

    def close(self) -> None:
        """Release the connection; the next call opens another."""
        with self._one_at_a_time:
            self._close()

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _open(self) -> Consumer:
        return Consumer(
            {
                **client_config(self._settings),
                "log_level": QUIET,
                "group.id": self._settings.kafka_topic_prefix + "millstream-tools",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": MAX_RECORD_BYTES,
                # What is asked for is one record, and the next one somewhere else: nothing waits for more of the same.
                "queued.min.messages": 1,
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": 10,
            }
        )

    def _read(self, consumer: Consumer, at: Coordinates) -> StoredRecord | None:
        topic = self._settings.kafka_topic_prefix + at.topic
        consumer.assign([TopicPartition(topic, at.partition, at.offset)])
        message = consumer.poll(self._seconds)
        while message is not None and (message.topic(), message.partition()) != (topic, at.partition):
            message = consumer.poll(self._seconds)  # that was fetched for the question before
        consumer.unassign()
        if message is None:
            raise TransientError(f"Kafka sent nothing of {at.topic} for {self._seconds:.0f} s")
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                return None
            raise TransientError(f"reading {at.topic}: {error.name()}")
        return stored(at.topic, at.partition, at.offset, message) if message.offset() == at.offset else None
