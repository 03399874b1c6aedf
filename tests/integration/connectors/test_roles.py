"""Captured with little: a role of its own, another password, an outbox (real Postgres, Connect, Debezium)."""

import asyncio
import time
from collections.abc import Mapping

import pytest

from connectors.debezium.health import SourceHealth
from connectors.debezium.names import slot_name
from connectors.debezium.plan import Action
from infra.local.stack import Stack
from runtime.clock import SystemClock
from runtime.settings import Settings
from schemas.errors import ConfigError
from tests.integration.connectors.capturing import (
    PREFIX,
    Database,
    applied,
    captured,
    declared,
    rows,
    sources,
    until,
    until_row,
)

pytestmark = [pytest.mark.parts, pytest.mark.timeout(300)]

EVENTS = declared(
    "outbox",
    shape="outbox",
    columns={"key": ["doc"], "op": "op", "title": "title", "body": "body"},
)


def test_a_role_that_may_replicate_and_read_is_enough_once_the_owner_published_the_table(
    stack: Stack, settings: Settings, environment: Mapping[str, str], database: Database
) -> None:
    slot = slot_name(PREFIX, "plain")
    database.execute("CREATE TABLE plain (id bigint PRIMARY KEY, title text, body text)")
    database.execute("CREATE ROLE reader LOGIN PASSWORD 'first-one'")
    dsn = f"postgresql://reader:first-one@127.0.0.1:{stack.profile.ports.postgres}/postgres"
    least = {**environment, "READER_DSN": dsn}
    wanted = sources(declared("plain", dsn_env="READER_DSN"))
    with pytest.raises(ConfigError, match="ALTER ROLE reader REPLICATION"):
        applied(settings, least, wanted)
    database.execute("ALTER ROLE reader REPLICATION")
    with pytest.raises(ConfigError, match=r"GRANT SELECT ON public\.plain TO reader"):
        applied(settings, least, wanted)
    database.execute("GRANT SELECT ON plain TO reader")
    with pytest.raises(ConfigError, match=f"as the owner of the table, run CREATE PUBLICATION {slot} ") as refused:
        applied(settings, least, wanted)
    database.execute(str(refused.value).partition(", run ")[2].encode())
    assert applied(settings, least, wanted).actions == {"plain": Action.CREATE}
    database.execute("INSERT INTO plain VALUES (1, 'one', 'read by little')")
    asyncio.run(until_row(settings, "plain", {"id": 1, "title": "one", "body": "read by little"}))
    database.execute("ALTER ROLE reader PASSWORD 'second-one'")
    moved = {**environment, "READER_DSN": dsn.replace("first-one", "second-one")}
    assert applied(settings, moved, wanted).actions == {"plain": Action.RESTART}
    assert applied(settings, moved, wanted).actions == {"plain": Action.NONE}
    database.execute("INSERT INTO plain VALUES (2, 'two', 'read with another password')")
    asyncio.run(until_row(settings, "plain", {"id": 2, "title": "two", "body": "read with another password"}))
    gone = applied(settings, moved, sources(), before=wanted)
    assert gone.removed == ("plain",)
    assert f"DROP PUBLICATION {slot}" in gone.notes[0], "what only the owner may do is said"


def test_an_outbox_is_read_from_when_it_was_applied_and_never_as_a_snapshot(
    settings: Settings, environment: Mapping[str, str], database: Database
) -> None:
    database.execute("CREATE TABLE outbox (n bigserial PRIMARY KEY, doc text NOT NULL, op text, title text, body text)")
    insert = "INSERT INTO outbox (doc, op, title, body) VALUES (%s, %s, %s, %s)"
    database.execute(insert, ("a", "upsert", "t", "before it was applied"))
    wanted = sources(EVENTS)
    assert applied(settings, environment, wanted).actions == {"outbox": Action.CREATE}
    database.execute(insert, ("a", "upsert", "t", "first"))
    database.execute(insert, ("a", "delete", None, None))
    database.execute("DELETE FROM outbox")
    found = asyncio.run(until(settings, "outbox", 2))
    assert [(row["op"], row["after"]) for row in found] == [
        ("c", {"doc": "a", "op": "upsert", "title": "t", "body": "first"}),
        ("c", {"doc": "a", "op": "delete", "title": None, "body": None}),
    ]
    edited = sources({**EVENTS, "default_acl": ["public"]})
    database.execute(insert, ("b", "upsert", "t", "while it is edited"))
    assert applied(settings, environment, edited).actions == {"outbox": Action.REREAD}
    asyncio.run(until_row(settings, "outbox", {"doc": "b", "op": "upsert", "title": "t", "body": "while it is edited"}))
    assert not [row for row in rows(settings, "outbox") if row["op"] == "r"]
    assert not [record for record in captured(settings, "outbox") if record.get("type") == "TABLE_SCAN_COMPLETED"]
    assert applied(settings, environment, sources(), before=edited).removed == ("outbox",)


def test_an_outbox_whose_slot_is_gone_fails_by_name_and_says_what_is_missing(
    settings: Settings, environment: Mapping[str, str], database: Database
) -> None:
    wanted = sources(EVENTS)
    applied(settings, environment, wanted)
    database.execute("INSERT INTO outbox (doc, op, body) VALUES ('c', 'upsert', 'seen')")
    asyncio.run(until_row(settings, "outbox", {"doc": "c", "op": "upsert", "title": None, "body": "seen"}))
    slot = slot_name(PREFIX, "outbox")
    health = SourceHealth(settings, environment, wanted, SystemClock())
    for _ in range(300):
        database.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", [slot]
        )
        database.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active",
            [slot],
        )
        found = {finding.name: finding for finding in asyncio.run(health.look()) if not finding.ok}
        if "connector" in found:
            break
        time.sleep(0.1)
    assert "lost the position" in found["connector"].what
    done = applied(settings, environment, wanted)
    assert done.actions == {"outbox": Action.REREAD}
    assert any("insert them again" in note for note in done.notes)
    database.execute("INSERT INTO outbox (doc, op, body) VALUES ('d', 'upsert', 'goes on')")
    asyncio.run(until_row(settings, "outbox", {"doc": "d", "op": "upsert", "title": None, "body": "goes on"}))
    applied(settings, environment, sources(), before=wanted)
