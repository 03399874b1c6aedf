"""Real Kafka, Postgres and Connect, once for all tests of connectors."""

from collections.abc import Iterator, Mapping

import psycopg
import pytest

from infra.local.stack import Stack
from runtime.settings import Settings, settings_from
from tests.integration.connectors.capturing import PREFIX, Database


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("capture") / ".millstream", ("kafka", "postgres", "connect")) as stack:
        yield stack


@pytest.fixture(scope="package")
def environment(stack: Stack) -> Mapping[str, str]:
    return {**stack.environment(), "MILLSTREAM_KAFKA_TOPIC_PREFIX": PREFIX}


@pytest.fixture(scope="package")
def settings(environment: Mapping[str, str]) -> Settings:
    return settings_from(environment)


@pytest.fixture
def database(environment: Mapping[str, str]) -> Iterator[Database]:
    with psycopg.connect(environment["MILLSTREAM_POSTGRES_DSN"], autocommit=True) as connection:
        yield connection
