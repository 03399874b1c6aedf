"""How clients are configured: idempotent, Java's partitioner, and the installation's security settings."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from runtime.aio_kafka import connection
from runtime.kafka import client_config, producer_config
from runtime.log_port import MAX_RECORD_BYTES
from runtime.settings import PACKAGED_TOPICS, Settings
from schemas.errors import ConfigError
from schemas.topics import parse_topics

SASL = Settings(
    kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_username="ann", kafka_sasl_password=SecretStr("hidden")
)


def test_producers_are_idempotent_and_partition_like_java() -> None:
    config = producer_config(Settings(), delivery_seconds=9)
    assert config["enable.idempotence"] is True
    assert config["acks"] == "all"
    assert config["partitioner"] == "murmur2_random"
    assert config["delivery.timeout.ms"] == 9000


def test_clients_and_topics_allow_the_same_largest_record() -> None:
    assert client_config(Settings())["message.max.bytes"] == MAX_RECORD_BYTES
    assert parse_topics(PACKAGED_TOPICS.read_text()).defaults.max_message_bytes == MAX_RECORD_BYTES


def test_a_plain_connection_carries_no_credentials() -> None:
    assert not [key for key in client_config(Settings()) if key.startswith(("sasl", "ssl"))]
    link = connection(Settings(kafka_bootstrap="a:1,b:2"))
    assert link.bootstrap_servers == ["a:1", "b:2"]
    assert (link.ssl_context, link.sasl_plain_username, link.sasl_plain_password) == (None, None, None)


def test_sasl_reaches_both_clients() -> None:
    config, link = client_config(SASL), connection(SASL)
    assert (config["sasl.mechanism"], config["sasl.username"], config["sasl.password"]) == (
        link.sasl_mechanism,
        link.sasl_plain_username,
        link.sasl_plain_password,
    )
    assert link.sasl_plain_password == "hidden"


def test_tls_reaches_both_clients(tmp_path: Path) -> None:
    settings = Settings(kafka_security_protocol="SSL")
    assert connection(settings).ssl_context is not None
    with_file = settings.model_copy(update={"kafka_ca_file": tmp_path / "ca.pem"})
    assert client_config(with_file)["ssl.ca.location"] == str(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match="MILLSTREAM_KAFKA_CA_FILE"):
        connection(with_file)


def test_the_password_does_not_show_in_the_settings_repr() -> None:
    assert "hidden" not in repr(SASL)


def test_an_aiokafka_connection_does_not_show_its_password() -> None:
    assert "hidden" not in repr(connection(SASL))
