"""Appending to the log from a process with an asyncio loop."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ConfluentProducer

from runtime.kafka.config import producer_config
from runtime.log_port import Headers, check_size
from runtime.settings import Settings
from runtime.told_offsets import UNKNOWN, ToldOffsets
from schemas.errors import TooLargeError, TransientError
from schemas.records import Coordinates

_POLL_SECONDS = 0.1
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})


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
        self._told = ToldOffsets()
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
            offset = None if error is not None else self._told.true_offset(topic, partition, message.offset())
            outcome: Coordinates | Exception
            if offset is not None:
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
        # One thread at a time takes acknowledgements, so that they come in the order of the log.
        self._closing.set()
        await asyncio.to_thread(self._thread.join)
        left = await asyncio.to_thread(self._producer.flush, seconds)
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


@asynccontextmanager
async def open_producer(settings: Settings) -> AsyncIterator[Producer]:
    """A producer that is closed at the end, what it appended acknowledged. Enter it inside the loop that appends."""
    producer = Producer(settings)
    try:
        yield producer
    finally:
        await producer.close()


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
    # Without an error: a retry met its own first attempt (librdkafka #4438), or so the broker believes (told_offsets).
    reason = UNKNOWN if error is None else error.name()
    return TransientError(f"Kafka did not acknowledge a record for {topic}: {reason}")
