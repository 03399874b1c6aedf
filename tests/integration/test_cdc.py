"""Captured tables on the real parts: what documents.changes tells is what the table holds, whatever happens on the way
(Postgres, Debezium, Connect, Kafka and the stage `capture` as a process).
"""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg
import pytest

from cli.clearing import cut_for
from connectors.clear import newest_contents
from connectors.debezium.rows import PLACEHOLDER
from infra.local.stack import Stack
from runtime.kafka import read_topic
from schemas.topics import CHANGES
from tests.integration import cdc_workload as workload
from tests.integration.cdc_bench import Cdc, Database, Document, Told, declared
from tests.integration.cdc_workload import TENANTS, WITH_TENANT, Workload
from tests.integration.streams_bench import StageRun, eventually

pytestmark = [pytest.mark.parts, pytest.mark.timeout(400)]

COLUMNS = {"key": ["id"], "title": "title", "body": "body", "acl": "acl"}
TABLE = "(id bigint PRIMARY KEY, title text, body text, acl text[])"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("cdc") / ".millstream", ("kafka", "postgres", "connect")) as stack:
        yield stack


@pytest.fixture(scope="module")
def cdc(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cdc]:
    environment = {**stack.environment(), "MILLSTREAM_KAFKA_TOPIC_PREFIX": "test."}
    cdc = Cdc(environment, tmp_path_factory.mktemp("installation"))
    yield cdc
    cdc.stop()


@pytest.fixture
def database(cdc: Cdc) -> Iterator[Database]:
    with cdc.database() as connection:
        yield connection


def table_of(database: Database, name: str) -> dict[Document, Told]:
    """What the log has to tell of a table with COLUMNS."""
    rows = database.execute(f"SELECT id, title, body, acl FROM {name}").fetchall()
    return {
        ("aurora", str(key)): Told(title, body, ("staff",) if acl is None else tuple(sorted(acl)))
        for key, title, body, acl in rows
        if body
    }


def emptied(cdc: Cdc, name: str, *after: int) -> dict[int, Callable[[], None]]:
    """Truncates after so many operations."""

    def truncate() -> None:
        with cdc.database() as connection:
            connection.execute(f"TRUNCATE {name}")

    return dict.fromkeys(after, truncate)


def running_capture(cdc: Cdc) -> StageRun:
    """The capture process that runs; a new one where none does."""
    running = [run for run in cdc.runs if run.process.poll() is None]
    return running[0] if running else cdc.capture().until_ready()


def test_a_table_is_captured_row_by_row_from_its_snapshot_on(cdc: Cdc, database: Database) -> None:
    database.execute(f"CREATE TABLE notes {TABLE}")
    database.execute("INSERT INTO notes VALUES (1, 'one', 'first', NULL), (2, 'two', 'second', '{hr}')")
    cdc.apply(declared("notes", COLUMNS))
    running_capture(cdc)
    cdc.until_told("notes", lambda: table_of(database, "notes"))
    for statement in (
        "UPDATE notes SET title = 'uno' WHERE id = 1",
        "UPDATE notes SET acl = '{hr,legal}' WHERE id = 2",
        "INSERT INTO notes VALUES (3, 'three', repeat(md5('x'), 300), '{}')",
        "UPDATE notes SET title = 'tre' WHERE id = 3",
        "UPDATE notes SET id = 4 WHERE id = 1",
        "DELETE FROM notes WHERE id = 2",
        "UPDATE notes SET acl = NULL WHERE id = 3",
        "ALTER TABLE notes ADD COLUMN extra int DEFAULT 7",
        "UPDATE notes SET extra = 8 WHERE id = 3",
        "ALTER TABLE notes ALTER COLUMN title TYPE varchar(80)",
        "UPDATE notes SET title = 'III' WHERE id = 3",
        "TRUNCATE notes",
        "INSERT INTO notes VALUES (3, 'three again', 'body', NULL), (9, 'nine', NULL, NULL)",
    ):
        database.execute(statement)
        cdc.until_told("notes", lambda: table_of(database, "notes"))
    assert cdc.letters() == []


@pytest.mark.timeout(600)
def test_a_clear_takes_what_was_written_before_it_and_not_captured_yet(cdc: Cdc, database: Database) -> None:
    database.execute(f"CREATE TABLE purged {TABLE}")
    cdc.apply(declared("purged", COLUMNS))
    running_capture(cdc)
    database.execute("INSERT INTO purged SELECT n, 't' || n, 'body', NULL FROM generate_series(1, 500) n")
    source = cdc.in_force.get("purged") if cdc.in_force is not None else None
    assert source is not None
    cut = asyncio.run(cut_for(cdc.settings, cdc.environment, source, None))
    found = newest_contents(read_topic(cdc.settings, CHANGES), source.source)
    assert len(found) == 500
    assert all(cut(newest) is not None for newest in found.values())
    database.execute("INSERT INTO purged VALUES (501, 'later', 'body', NULL)")
    cdc.until_told("purged", lambda: table_of(database, "purged"))
    found = newest_contents(read_topic(cdc.settings, CHANGES), source.source)
    assert [document.doc_id for document, newest in found.items() if cut(newest) is None] == ["501"]


@pytest.mark.parametrize(
    ("operations", "wide", "slim"),
    [(3_000, "wide", "slim"), pytest.param(10_000, "broad", "narrow", marks=pytest.mark.soak)],
)
def test_random_operations_in_interleaved_transactions_end_equal_to_the_tables(
    cdc: Cdc, database: Database, operations: int, wide: str, slim: str
) -> None:
    """The snapshots are taken while transactions run."""
    workload.create(database, wide, full=True)
    workload.create(database, slim, full=False)
    running_capture(cdc)
    dsn, names, each = cdc.environment["MILLSTREAM_POSTGRES_DSN"], (wide, slim), operations // 2
    both = (declared(wide, WITH_TENANT, tenants=list(TENANTS)), declared(slim, workload.COLUMNS))

    async def run() -> int:
        before = [Workload(dsn, name, 10**9, seed=1) for name in names]
        running = [asyncio.create_task(work.run()) for work in before]
        await asyncio.to_thread(cdc.apply, *both)
        for work in before:
            work.operations = 0
        await asyncio.gather(*running)
        after = [Workload(dsn, name, each, seed=2, at=emptied(cdc, name, each // 5, 4 * each // 5)) for name in names]
        return sum(await asyncio.gather(*(work.run() for work in after)))

    assert asyncio.run(run()) >= operations
    cdc.until_told(wide, lambda: workload.holds(database, wide, tenants=True), 400)
    cdc.until_told(slim, lambda: workload.holds(database, slim, tenants=False), 400)
    assert cdc.letters() == []
    values = [record.value or b"" for record in read_topic(cdc.settings, CHANGES)]
    assert not any(PLACEHOLDER.encode() in value for value in values)


def dropped_slot(cdc: Cdc, database: Database, source: str, meanwhile: Sequence[str]) -> None:
    """Stop the connector, lose its slot, and change the table while nobody looks; then apply it again."""
    connect = cdc.connector(source)
    connect("PUT", "stop")
    eventually("the slot is idle", lambda: not active(database, cdc.slot(source)))
    database.execute("SELECT pg_drop_replication_slot(%s)", (cdc.slot(source),))
    for statement in meanwhile:
        database.execute(statement)
    connect("PUT", "resume")


def active(database: Database, slot: str) -> bool:
    found = database.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,)).fetchone()
    return found is not None and bool(found[0])


def test_what_a_transaction_did_before_a_snapshot_and_committed_after_it_is_not_lost(
    cdc: Cdc, database: Database
) -> None:
    """A slot is made in steps, each waits for the transactions of the one before: one that begins in between and
    commits later has its changes below the snapshot's LSN, and the snapshot does not show them.
    """
    dsn = cdc.environment["MILLSTREAM_POSTGRES_DSN"]
    database.execute(f"CREATE TABLE busy {TABLE}")
    database.execute("INSERT INTO busy SELECT n, 'old', 'body', NULL FROM generate_series(1, 4) n")
    running_capture(cdc)
    with psycopg.connect(dsn) as before, psycopg.connect(dsn) as between, psycopg.connect(dsn) as across:
        before.execute("SELECT pg_current_xact_id()")
        applying = threading.Thread(target=cdc.apply, args=[declared("busy", COLUMNS)])
        applying.start()
        eventually("the slot is being made", lambda: waits_for_transactions(database))
        between.execute("SELECT pg_current_xact_id()")
        before.commit()
        time.sleep(1)
        for statement in (
            "UPDATE busy SET title = 'first' WHERE id = 1",
            "UPDATE busy SET title = 'second', acl = '{hr}' WHERE id = 1",
            "DELETE FROM busy WHERE id = 2",
            "UPDATE busy SET id = 30 WHERE id = 3",
        ):
            across.execute(statement)
        between.commit()
        eventually("the snapshot is taken", lambda: len(cdc.told("busy")) == 4)
        across.commit()
    applying.join()
    expected = table_of(database, "busy")
    assert {told.title for told in expected.values()} == {"second", "old"}
    cdc.until_told("busy", lambda: table_of(database, "busy"))
    assert cdc.letters() == []


def waits_for_transactions(database: Database) -> bool:
    """Whether a slot is being made and waits for transactions to end."""
    making = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'walsender' AND wait_event_type = 'Lock'"
    return database.execute(making).fetchone() is not None


def test_a_lost_slot_has_the_table_read_again_and_what_went_meanwhile_deleted(cdc: Cdc, database: Database) -> None:
    database.execute(f"CREATE TABLE lost {TABLE}")
    database.execute("INSERT INTO lost SELECT n, 't' || n, 'body', NULL FROM generate_series(1, 20) n")
    cdc.apply(declared("lost", COLUMNS))
    running_capture(cdc)
    database.execute("UPDATE lost SET title = 'streamed' WHERE id = 1")
    cdc.until_told("lost", lambda: table_of(database, "lost"))
    changes = (
        "DELETE FROM lost WHERE id < 5",
        "UPDATE lost SET title = 'unseen' WHERE id = 7",
        "INSERT INTO lost VALUES (30, 'thirty', 'body', '{hr}')",
    )
    dropped_slot(cdc, database, "lost", changes)
    cdc.until_told("lost", lambda: table_of(database, "lost"))
    dropped_slot(cdc, database, "lost", ["DELETE FROM lost"])
    cdc.until_told("lost", dict)
    database.execute("INSERT INTO lost VALUES (1, 'again', 'body', NULL)")
    cdc.until_told("lost", lambda: table_of(database, "lost"))
    assert cdc.letters() == []


def test_killed_processes_lose_nothing(stack: Stack, cdc: Cdc, database: Database) -> None:
    """kill -9 of capture, of Connect, and of capture again, while transactions run."""
    workload.create(database, "shaken", full=True)
    cdc.apply(declared("shaken", WITH_TENANT, tenants=list(TENANTS)))
    running_capture(cdc)

    def kill_capture() -> None:
        running_capture(cdc).kill()
        cdc.capture()

    def kill_connect() -> None:
        stack.kill("connect", signal.SIGKILL)
        stack.restart("connect")

    dsn = cdc.environment["MILLSTREAM_POSTGRES_DSN"]
    steps = {300: kill_capture, 800: kill_connect, 1500: kill_capture}
    done = asyncio.run(Workload(dsn, "shaken", 2500, 2, at=steps | emptied(cdc, "shaken", 1200)).run())
    assert done >= 2500
    cdc.until_told("shaken", lambda: workload.holds(database, "shaken", tenants=True))


def test_an_edited_declaration_reads_all_rows_anew(cdc: Cdc, database: Database) -> None:
    database.execute(f"CREATE TABLE edited {TABLE}")
    database.execute("INSERT INTO edited VALUES (1, 'one', 'first', '{hr}'), (2, 'two', 'second', NULL)")
    open_to_all = {"key": ["id"], "title": "title", "body": "body"}
    cdc.apply(declared("edited", open_to_all))
    running_capture(cdc)
    known = {("aurora", "1"): Told("one", "first", None), ("aurora", "2"): Told("two", "second", None)}
    cdc.until_told("edited", lambda: known)
    cdc.apply(declared("edited", COLUMNS))
    cdc.until_told("edited", lambda: table_of(database, "edited"))
    database.execute("ALTER TABLE edited ALTER title SET NOT NULL, ADD UNIQUE (title), REPLICA IDENTITY FULL")
    cdc.apply(declared("edited", {**COLUMNS, "key": ["title"]}))
    renamed = {("aurora", told.title or ""): told for told in table_of(database, "edited").values()}
    cdc.until_told("edited", lambda: renamed)


def test_a_table_that_cannot_be_read_any_more_makes_dead_letters_and_others_go_on(cdc: Cdc, database: Database) -> None:
    database.execute(f"CREATE TABLE broken {TABLE}")
    database.execute(f"CREATE TABLE whole {TABLE}")
    # The cluster has places for eight sources, and new connectors are made before old ones go.
    cdc.apply(instead_of=("busy", "wide", "slim"))
    cdc.apply(declared("broken", COLUMNS), declared("whole", COLUMNS))
    running_capture(cdc)
    known = len(cdc.letters())
    database.execute("INSERT INTO broken VALUES (1, 'one', 'first', '{\" x\"}'), (2, 'two', 'second', NULL)")
    database.execute("INSERT INTO whole VALUES (1, 'one', 'first', NULL)")
    cdc.until_told("whole", lambda: table_of(database, "whole"))
    eventually("a dead letter", lambda: len(cdc.letters()) > known)
    letter = cdc.letters()[-1]
    assert (letter.stage, letter.reason, letter.origin.topic) == ("capture", "invalid_event", "cdc.broken")
    cdc.until_told("broken", lambda: {("aurora", "2"): Told("two", "second", ("staff",))})
