"""What every confluent-kafka client of an installation is configured with."""

from runtime.log_port import MAX_RECORD_BYTES
from runtime.settings import Settings

ClientConfig = dict[str, str | int | float | bool]

QUIET = 2
"""syslog level "critical": what tools print of librdkafka's own log. Failures come back as errors anyway."""


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
