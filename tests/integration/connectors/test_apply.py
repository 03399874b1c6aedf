"""Sources of kind postgres on the real parts: applied, edited, removed, refused (Postgres, Connect, Debezium)."""

import asyncio
import urllib.request
from collections.abc import Mapping

import pytest

from connectors.debezium.connect_client import ConnectClient
from connectors.debezium.names import connector_name, slot_name
from connectors.debezium.plan import Action
from infra.local.stack import Stack
from runtime.settings import Settings
from schemas.errors import ConfigError, TransientError
from tests.integration.connectors.capturing import (
    BODY,
    PREFIX,
    Database,
    applied,
    declared,
    epochs,
    rows,
    sources,
    until,
)

pytestmark = [pytest.mark.parts, pytest.mark.timeout(300)]


def test_a_source_applied_twice_is_captured_and_left_alone(
    settings: Settings, environment: Mapping[str, str], database: Database
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


def test_the_password_is_in_no_configuration_and_no_log(
    stack: Stack, settings: Settings, environment: Mapping[str, str]
) -> None:
    password = stack.profile.secrets.postgres_password

    async def told() -> str:
        async with ConnectClient(settings.connect_url) as connect:
            return str(await connect.config(connector_name(PREFIX, "articles")))

    shown = asyncio.run(told())
    assert "${dir:" in shown
    assert password not in shown
    tasks = f"{settings.connect_url}/connectors/{connector_name(PREFIX, 'articles')}/tasks"
    with urllib.request.urlopen(tasks, timeout=10) as answer:
        assert password not in answer.read().decode()
    assert password not in stack.parts["connect"].part.log_file.read_text()
    kept = stack.profile.connect_secrets_dir / "articles"
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (password, 0o600)


BAD_TABLES = [
    ("CREATE TABLE {t} (id bigint, title text, body text)", {}, "column id of table public.{t} may be NULL"),
    ("CREATE TABLE {t} (id bigint NOT NULL, title text, body text)", {}, "ADD PRIMARY KEY (id)"),
    ("CREATE TABLE {t} (id point, title text, body text)", {}, "column id of table public.{t} has type point"),
    ("CREATE TABLE {t} (id bigint PRIMARY KEY, title text)", {}, "has no column body"),
    ("CREATE TABLE {t} (id bigint PRIMARY KEY, title text, body bytea)", {}, "columns.body takes"),
    (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, title text, body text GENERATED ALWAYS AS ('x') STORED)",
        {},
        "column body of table public.{t} is generated",
    ),
    (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, owner text, title text, body text)",
        {"columns": {**BODY, "tenant": "owner"}, "tenants": ["aurora", "harbor"]},
        "column owner of a deleted row, which names its tenant: ALTER TABLE public.{t} REPLICA IDENTITY FULL",
    ),
    ("CREATE VIEW {t} AS SELECT 1::bigint AS id, ''::text AS title, ''::text AS body", {}, "is a view"),
    ("CREATE UNLOGGED TABLE {t} (id bigint PRIMARY KEY, title text, body text)", {}, "SET LOGGED"),
    (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, title text, body text) PARTITION BY RANGE (id)",
        {},
        "is a partitioned table",
    ),
    ("SELECT 1", {}, "table public.{t} does not exist"),
    (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, title text, body text); CREATE TABLE other (id int); "
        "CREATE PUBLICATION {slot} FOR TABLE other; DROP TABLE IF EXISTS gone",
        {},
        "misses table public.{t}: ALTER PUBLICATION {slot} ADD TABLE public.{t}",
    ),
    (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, title text, body text); CREATE PUBLICATION {slot} FOR TABLE {t} "
        "WITH (publish = 'insert')",
        {},
        "does not publish update",
    ),
    (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, title text, body text); CREATE PUBLICATION {slot} FOR TABLE {t} "
        "(id, title)",
        {},
        "leaves out rows or columns",
    ),
]


@pytest.mark.parametrize(("number", "case"), list(enumerate(BAD_TABLES)))
def test_a_table_that_cannot_be_captured_is_refused_in_one_line(
    settings: Settings,
    environment: Mapping[str, str],
    database: Database,
    number: int,
    case: tuple[str, dict[str, object], str],
) -> None:
    name = f"bad{number}"
    made, postgres, says = case
    filled = {"t": name, "slot": slot_name(PREFIX, name)}
    database.execute(made.format(**filled).encode())
    with pytest.raises(ConfigError) as refused:
        applied(settings, environment, sources(declared("articles"), declared(name, **postgres)))
    line = str(refused.value)
    assert line.startswith(f"source {name}: ")
    assert says.format(**filled) in line
    assert "\n" not in line


def test_a_login_that_is_refused_or_a_database_that_is_away_is_said_without_the_dsn(
    stack: Stack, settings: Settings, environment: Mapping[str, str]
) -> None:
    wrong = {
        **environment,
        "MILLSTREAM_POSTGRES_DSN": f"postgresql://postgres:geheim@127.0.0.1:{stack.profile.ports.postgres}/postgres",
    }
    with pytest.raises(ConfigError, match="refuses the login of postgres") as refused:
        applied(settings, wrong, sources(declared("articles")))
    assert "geheim" not in str(refused.value)
    away = {**environment, "MILLSTREAM_POSTGRES_DSN": "postgresql://postgres:geheim@127.0.0.1:1/postgres"}
    with pytest.raises(TransientError, match="does not answer"):
        applied(settings, away, sources(declared("articles")))


def test_an_edited_source_is_read_again_and_one_that_went_leaves_nothing(
    settings: Settings, environment: Mapping[str, str], database: Database
) -> None:
    before = sources(declared("articles", columns={**BODY, "acl": "acl"}))
    edited = sources(declared("articles", columns={**BODY, "labels": ["secret"]}))
    read = len(rows(settings, "articles"))
    assert applied(settings, environment, edited).actions == {"articles": Action.REREAD}
    found = asyncio.run(until(settings, "articles", read + 1))
    assert found[-1]["after"] == {"id": 1, "title": "one", "body": "first", "secret": "s"}
    raised = sources(declared("articles", columns={**BODY, "labels": ["secret"]}, epoch=2))
    assert applied(settings, environment, raised).actions == {"articles": Action.REREAD}
    assert asyncio.run(until(settings, "articles", read + 2))[-1]["op"] == "r"
    assert epochs(settings, "articles") == [b"1"] * (read + 1) + [b"2"], "each row says when it was told"
    gone = applied(settings, environment, sources(), before=raised)
    assert (gone.removed, gone.notes) == (("articles",), ())
    assert database.execute("SELECT count(*) FROM pg_replication_slots").fetchone() == (0,)
    left = database.execute("SELECT count(*) FROM pg_publication WHERE pubname = %s", (slot_name(PREFIX, "articles"),))
    assert left.fetchone() == (0,)
    del before
