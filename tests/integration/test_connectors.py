"""Sources of kind postgres on the real parts: applied, edited, broken and found out (Postgres, Connect, Debezium)."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
import yaml

from connectors.debezium.apply import Applied, apply_connectors
from connectors.debezium.connect_client import ConnectClient
from connectors.debezium.names import capture_topic, connector_name, slot_name
from connectors.debezium.plan import Action
from connectors.debezium.postgres import SourceDatabase, dsn_of
from infra.local.stack import Stack
from runtime.declarations import load_topics
from runtime.kafka import KafkaAdmin, read_topic
from runtime.settings import Settings, settings_from
from schemas.errors import ConfigError, TransientError
from schemas.sources import Sources, parse_sources

pytestmark = [pytest.mark.parts, pytest.mark.timeout(300)]

PREFIX = "cdc1."
BODY = {"key": ["id"], "title": "title", "body": "body"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("capture") / ".millstream", ("kafka", "postgres", "connect")) as stack:
        yield stack


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Mapping[str, str]:
    return {**stack.environment(), "MILLSTREAM_KAFKA_TOPIC_PREFIX": PREFIX}


@pytest.fixture(scope="module")
def settings(environment: Mapping[str, str]) -> Settings:
    return settings_from(environment)


@pytest.fixture
def database(environment: Mapping[str, str]) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    with psycopg.connect(environment["MILLSTREAM_POSTGRES_DSN"], autocommit=True) as connection:
        yield connection


def declared(name: str, table: str | None = None, *, epoch: int = 1, **postgres: object) -> dict[str, object]:
    block = {"dsn_env": "MILLSTREAM_POSTGRES_DSN", "table": table or f"public.{name}", "columns": BODY, **postgres}
    return {"name": name, "tenant": "aurora", "kind": "postgres", "epoch": epoch, "postgres": block}


def sources(*entries: dict[str, object]) -> Sources:
    return parse_sources(yaml.safe_dump({"version": 1, "sources": list(entries)}))


def applied(
    settings: Settings, environment: Mapping[str, str], wanted: Sources, before: Sources | None = None
) -> Applied:
    admin = KafkaAdmin(settings)
    admin.apply(
        admin.plan(
            load_topics(settings).concrete(
                sources=tuple(source.name for source in wanted.captured), generations=("g1",)
            )
        )
    )
    return asyncio.run(apply_connectors(settings, environment, wanted, before))


def captured(settings: Settings, source: str) -> list[dict[str, object]]:
    values = [record.value for record in read_topic(settings, capture_topic(source))]
    return [json.loads(value) for value in values if value is not None]


def rows(settings: Settings, source: str) -> list[dict[str, object]]:
    return [record for record in captured(settings, source) if "op" in record]


async def until(settings: Settings, source: str, count: int) -> list[dict[str, object]]:
    for _ in range(240):
        found = rows(settings, source)
        if len(found) >= count:
            return found
        await asyncio.sleep(0.25)
    raise AssertionError(f"{len(found)} rows of {source}, not {count}")


def test_a_source_applied_twice_is_captured_and_left_alone(
    settings: Settings, environment: Mapping[str, str], database: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    database.execute(
        "CREATE TABLE articles (id bigint PRIMARY KEY, title text, body text, secret text DEFAULT 'geheim',"
        " acl text[] DEFAULT '{everyone}')"
    )
    database.execute("INSERT INTO articles VALUES (1, 'one', 'first', 's', NULL)")
    wanted = sources(declared("articles", columns={**BODY, "acl": "acl"}))
    assert applied(settings, environment, wanted).actions == {"articles": Action.CREATE}
    assert applied(settings, environment, wanted).actions == {"articles": Action.NONE}
    found = asyncio.run(until(settings, "articles", 1))
    assert found[0]["op"] == "r"
    assert found[0]["after"] == {"id": 1, "title": "one", "body": "first", "acl": None}
