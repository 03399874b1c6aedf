"""What librdkafka's errors mean: try again, or somebody has to change something."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from runtime.kafka import NoLeaderError
from runtime.kafka.errors import told
from schemas.errors import ConfigError, TransientError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._TIMED_OUT, TransientError),
        (KafkaError._TRANSPORT, TransientError),
        (KafkaError._DESTROY_BROKER, TransientError),
        (KafkaError._ALL_BROKERS_DOWN, TransientError),
        (KafkaError.REQUEST_TIMED_OUT, TransientError),
        (KafkaError._NOENT, NoLeaderError),
        (KafkaError._UNKNOWN_PARTITION, NoLeaderError),
        (KafkaError.NOT_LEADER_FOR_PARTITION, NoLeaderError),
        (KafkaError.NOT_COORDINATOR, NoLeaderError),
        (KafkaError._AUTHENTICATION, ConfigError),
        (KafkaError._SSL, ConfigError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ConfigError),
    ],
)
def test_an_error_is_told_as_what_helps(code: int, kind: type[Exception]) -> None:
    assert type(told(KafkaException(KafkaError(code)))) is kind
