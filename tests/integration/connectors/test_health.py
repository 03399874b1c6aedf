"""A captured source that is broken on the real parts: found, named with its remedy, alerted, and mended."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import psycopg
import pytest
from structlog.testing import capture_logs

from connectors.debezium.connect_client import ConnectClient
from connectors.debezium.health import SourceHealth, SourceWatch
from connectors.debezium.names import connector_name, slot_name
from connectors.debezium.plan import Action
from connectors.debezium.wellness import SourceFinding
from infra.local.stack import Stack
from runtime.clock import SystemClock
from runtime.metrics import ALERTS, Metrics
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.sources import Sources
from tests.integration.connectors.capturing import PREFIX, Database, applied, declared, rows, sources, until, until_row

pytestmark = [pytest.mark.parts, pytest.mark.timeout(300)]

WANTED = sources(declared("notes"), declared("calm"))
SLOT = slot_name(PREFIX, "notes")


@pytest.fixture(autouse=True)
def _captured(settings: Settings, environment: Mapping[str, str], database: Database) -> Iterator[None]:
    """Two captured tables; whatever a test did to them is undone."""
    for name in ("notes", "calm"):
        database.execute(f"DROP TABLE IF EXISTS {name}".encode())
        database.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, title text, body text)".encode())
        database.execute(f"INSERT INTO {name} VALUES (1, 'one', 'first')".encode())
    applied(settings, environment, WANTED)
    yield
    done = applied(settings, environment, sources(), before=WANTED)
    assert (done.removed, done.notes) == (("calm", "notes"), ())


@pytest.fixture
def health(settings: Settings, environment: Mapping[str, str]) -> SourceHealth:
    return SourceHealth(settings, environment, WANTED, SystemClock())


def bad(health: SourceHealth) -> dict[tuple[str, str], SourceFinding]:
    return {finding.key: finding for finding in asyncio.run(health.look()) if not finding.ok}


def bad_in_the_end(health: SourceHealth, key: tuple[str, str]) -> SourceFinding:
    for _ in range(240):
        found = bad(health)
        if key in found:
            return found[key]
        time.sleep(0.25)
    raise AssertionError(f"{key} was never bad")


def good_in_the_end(health: SourceHealth) -> None:
    for _ in range(240):
        if not bad(health):
            return
        time.sleep(0.25)
    raise AssertionError(str(bad(health)))


class PassingHealth(SourceHealth):
    """Takes every failure for one that passes."""

    async def look(self) -> tuple[SourceFinding, ...]:
        return tuple(replace(finding, transient=not finding.ok) for finding in await super().look())


def drop_slot(database: Database) -> None:
    """As somebody with the right to would: end who reads it, drop it before it is read again."""
    for _ in range(200):
        database.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", (SLOT,)
        )
        try:
            database.execute("SELECT pg_drop_replication_slot(%s)", (SLOT,))
        except psycopg.errors.ObjectInUse:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the slot is always in use")


def test_what_is_well_says_so_in_every_respect(health: SourceHealth) -> None:
    good_in_the_end(health)
    looked_at = [finding.name for finding in asyncio.run(health.look()) if finding.source == "notes"]
    assert looked_at == ["database", "connector", "publication", "slot", "progress"]


def test_a_dropped_slot_is_found_and_the_table_read_again(
    settings: Settings, health: SourceHealth, database: Database
) -> None:
    asyncio.run(until(settings, "notes", 1))
    good_in_the_end(health)
    read = len(rows(settings, "notes"))
    drop_slot(database)
    database.execute("UPDATE notes SET title = 'unseen'")
    assert "is gone" in bad_in_the_end(health, ("notes", "slot")).what
    found = asyncio.run(until(settings, "notes", read + 1))
    assert (found[-1]["op"], found[-1]["after"]) == ("r", {"id": 1, "title": "unseen", "body": "first"})
    good_in_the_end(health)


def test_a_slot_that_lost_its_position_is_found_and_apply_reads_again(
    settings: Settings, environment: Mapping[str, str], health: SourceHealth, database: Database
) -> None:
    good_in_the_end(health)
    read = len(rows(settings, "notes"))

    async def stop() -> None:
        async with ConnectClient(settings.connect_url) as connect:
            await connect.stop(connector_name(PREFIX, "notes"))

    asyncio.run(stop())
    assert "stopped" in bad_in_the_end(health, ("notes", "connector")).what
    database.execute("ALTER SYSTEM SET idle_replication_slot_timeout = '1s'")
    database.execute("SELECT pg_reload_conf()")
    try:
        for _ in range(100):
            database.execute("CHECKPOINT")
            state = database.execute("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", (SLOT,))
            if state.fetchone() == ("lost",):
                break
            time.sleep(0.2)
    finally:
        database.execute("ALTER SYSTEM RESET idle_replication_slot_timeout")
        database.execute("SELECT pg_reload_conf()")
    finding = bad_in_the_end(health, ("notes", "slot"))
    assert "lost its position" in finding.what
    assert "source apply" in finding.remedy
    assert applied(settings, environment, WANTED).actions == {"notes": Action.REREAD, "calm": Action.NONE}
    assert asyncio.run(until(settings, "notes", read + 1))[-1]["op"] == "r"
    good_in_the_end(health)


def test_a_publication_that_lost_the_table_is_found_and_apply_reads_again(
    settings: Settings, environment: Mapping[str, str], health: SourceHealth, database: Database
) -> None:
    good_in_the_end(health)
    read = len(rows(settings, "notes"))
    database.execute(f"DROP PUBLICATION {SLOT}".encode())
    database.execute("UPDATE notes SET title = 'unseen'")
    assert "is gone" in bad_in_the_end(health, ("notes", "publication")).what
    database.execute(f"CREATE PUBLICATION {SLOT} FOR TABLE calm".encode())
    finding = bad_in_the_end(health, ("notes", "publication"))
    assert f"ALTER PUBLICATION {SLOT} ADD TABLE public.notes" in finding.remedy
    with pytest.raises(ConfigError, match=r"misses table public\.notes"):
        applied(settings, environment, WANTED)
    database.execute(f"ALTER PUBLICATION {SLOT} SET TABLE notes".encode())
    assert "made anew" in bad_in_the_end(health, ("notes", "publication")).what
    assert applied(settings, environment, WANTED).actions["notes"] is Action.REREAD
    found = asyncio.run(until(settings, "notes", read + 1))
    assert found[-1]["after"] == {"id": 1, "title": "unseen", "body": "first"}
    good_in_the_end(health)


def test_a_table_that_changed_under_its_source_is_named_with_column_and_remedy(
    health: SourceHealth, database: Database
) -> None:
    good_in_the_end(health)
    database.execute("ALTER TABLE notes DROP COLUMN title")
    assert "no column title" in bad_in_the_end(health, ("notes", "table")).what
    database.execute("ALTER TABLE notes ADD COLUMN title text")
    good_in_the_end(health)
    database.execute("ALTER TABLE notes DROP CONSTRAINT notes_pkey")
    assert "ADD PRIMARY KEY (id)" in bad_in_the_end(health, ("notes", "table")).what


def test_a_row_over_the_limit_of_a_document_does_not_stop_its_source(
    settings: Settings, health: SourceHealth, database: Database
) -> None:
    good_in_the_end(health)
    read = len(rows(settings, "notes"))
    database.execute("INSERT INTO notes VALUES (2, 'big', repeat('a', 20000000)), (3, 'small', 'after it')")
    found = asyncio.run(until(settings, "notes", read + 2))
    big, small = (row["after"] for row in found[-2:])
    assert isinstance(big, dict)
    assert len(big["body"]) == settings.max_document_bytes + 1
    assert small == {"id": 3, "title": "small", "body": "after it"}


def test_a_task_that_failed_is_named_alerted_and_started_again(
    settings: Settings, environment: Mapping[str, str], health: SourceHealth, database: Database
) -> None:
    """16 MiB of characters that JSON writes with six bytes each are over what a record may have."""
    good_in_the_end(health)
    metrics = Metrics()
    watching = SourceWatch(health, metrics, SystemClock())
    database.execute("INSERT INTO notes VALUES (4, 'huge', repeat(chr(1), 4000000))")
    finding = bad_in_the_end(health, ("notes", "connector"))
    assert "larger than a record" in finding.what
    assert not finding.transient
    for _ in range(2):
        asyncio.run(watching.step())
    assert metrics.value(ALERTS, alert="source_connector") == 1
    hopeful = SourceWatch(PassingHealth(settings, environment, WANTED, SystemClock()), metrics, SystemClock())
    with capture_logs() as lines:
        for _ in range(2):
            asyncio.run(hopeful.step())
    restarted = [line["source"] for line in lines if line["event"] == "source_restarted"]
    assert restarted == ["notes"], "at once, and not again before its time"
    bad_in_the_end(health, ("notes", "connector"))
    database.execute("INSERT INTO calm VALUES (2, 'two', 'goes on')")
    asyncio.run(until_row(settings, "calm", {"id": 2, "title": "two", "body": "goes on"}))
    database.execute("UPDATE notes SET body = 'short' WHERE id = 4")
    read = len(rows(settings, "notes"))
    assert applied(settings, environment, WANTED).actions["notes"] is Action.REREAD
    found = asyncio.run(until(settings, "notes", read + 2))
    assert [row["op"] for row in found[-2:]] == ["r", "r"]
    good_in_the_end(health)


def test_connect_that_is_away_is_one_finding(settings: Settings, environment: Mapping[str, str], stack: Stack) -> None:
    away = settings.model_copy(update={"connect_url": "http://user:geheim@127.0.0.1:1"})
    findings = asyncio.run(SourceHealth(away, environment, WANTED, SystemClock()).look())
    assert [(finding.name, finding.ok) for finding in findings] == [("connect", False)]
    assert "geheim" not in findings[0].what
    assert "127.0.0.1:1" in findings[0].what


def test_another_cluster_or_a_restored_one_is_refused_until_the_epoch_is_raised(
    settings: Settings, environment: Mapping[str, str]
) -> None:
    async def mark(system: str) -> None:
        async with ConnectClient(settings.connect_url) as connect:
            name = connector_name(PREFIX, "notes")
            config = await connect.config(name)
            assert config is not None
            await connect.put_config(name, {**config, "millstream.system": system})

    asyncio.run(mark("7"))
    with pytest.raises(ConfigError, match=r"another database cluster.*raise the source's epoch"):
        applied(settings, environment, WANTED)
    raised: Sources = sources(declared("notes", epoch=2), declared("calm"))
    assert applied(settings, environment, raised).actions["notes"] is Action.REREAD
