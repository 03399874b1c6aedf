"""Captured tables on the real parts: what documents.changes tells is what the table holds, whatever happens on the way
(Postgres, Debezium, Connect, Kafka and the stage `capture` as a process).
"""

from collections.abc import Iterator

import pytest

from infra.local.stack import Stack
from tests.integration.cdc_bench import Cdc, Database, Document, Told, declared

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


def test_a_table_is_captured_row_by_row_from_its_snapshot_on(cdc: Cdc, database: Database) -> None:
    database.execute(f"CREATE TABLE notes {TABLE}")
    database.execute("INSERT INTO notes VALUES (1, 'one', 'first', NULL), (2, 'two', 'second', '{hr}')")
    cdc.apply(declared("notes", COLUMNS))
    cdc.capture().until_ready()
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
