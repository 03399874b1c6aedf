"""What librdkafka's errors mean to a caller."""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import ConfigError, TransientError

T = TypeVar("T")

_PAUSE_SECONDS = 0.02
_NO_LEADER = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError._NOENT,  # what librdkafka says of all of a topic's partitions
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
_REFUSED_HERE = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._INVALID_ARG,
        KafkaError._NOT_IMPLEMENTED,
        KafkaError._SSL,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNSUPPORTED_FEATURE,
    }
)
"""Of librdkafka's own errors, whose codes are below 0; its others tell of connections, brokers and time."""


class NoLeaderError(TransientError):
    """A partition has no leader yet, or a group no coordinator, or the client asked the one before."""


def told(error: KafkaException) -> Exception:
    """What is raised instead."""
    return told_of(error.args[0])


def told_of(cause: KafkaError) -> Exception:
    """See `told`."""
    if cause.code() in _NO_LEADER:
        return NoLeaderError(f"Kafka has no leader for a partition or a group yet: {cause.name()}")
    is_of_connections = cause.code() < 0 and cause.code() not in _REFUSED_HERE
    if is_of_connections or cause.retriable() or cause.code() == KafkaError.REQUEST_TIMED_OUT:
        return TransientError(f"Kafka did not answer: {cause.name()}")
    return ConfigError(f"Kafka refuses: {cause.name()} {cause.str()}")


def until_led(ask: Callable[[], T], seconds: float) -> T:
    """What `ask` returns, asked again for so long while a partition of a new topic has no leader yet, a group no
    coordinator, or another one than a moment ago. Blocks. Raises what `ask` does.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except NoLeaderError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
