"""What tests of connectors share: declarations, applying them, and reading what was captured."""

import asyncio
import json
from collections.abc import Mapping

import psycopg
import yaml

from connectors.debezium.apply import Applied, apply_connectors
from connectors.debezium.names import capture_topic
from runtime.declarations import load_topics
from runtime.kafka import KafkaAdmin, read_topic
from runtime.settings import Settings
from schemas.headers import EPOCH
from schemas.sources import Sources, parse_sources

Database = psycopg.Connection[tuple[object, ...]]

PREFIX = "cdc1."
BODY = {"key": ["id"], "title": "title", "body": "body"}


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


def epochs(settings: Settings, source: str) -> list[bytes | None]:
    """The epoch that each captured row was told in."""
    told = [record for record in read_topic(settings, capture_topic(source)) if record.value is not None]
    return [record.header(EPOCH) for record in told if "op" in json.loads(record.value or b"")]


async def until(settings: Settings, source: str, count: int) -> list[dict[str, object]]:
    for _ in range(240):
        found = rows(settings, source)
        if len(found) >= count:
            return found
        await asyncio.sleep(0.25)
    raise AssertionError(f"{len(found)} rows of {source}, not {count}")


async def until_row(settings: Settings, source: str, after: dict[str, object]) -> None:
    """Until a row is captured as `after`."""
    for _ in range(240):
        if after in [row["after"] for row in rows(settings, source)]:
            return
        await asyncio.sleep(0.25)
    raise AssertionError(f"{source} was never captured as {after}")
