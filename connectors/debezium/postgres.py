"""The database of a captured source: what it says about a table, a slot and a publication, and the few things done
there. The one module that imports psycopg.

Each call opens a connection of its own and closes it: they are rare, and a captured database is somebody else's.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import LiteralString

import psycopg
from psycopg import AsyncConnection, conninfo, sql
from psycopg.rows import TupleRow

from connectors.debezium.tables import (
    ColumnFacts,
    PublicationFacts,
    TableFacts,
    create_publication,
)
from connectors.debezium.template import Endpoint
from schemas.errors import ConfigError, TransientError
from schemas.sources import PostgresTable, SourceConfig

CONNECT_SECONDS = 5
STATEMENT_MS = 15_000

_TABLE = """
SELECT c.oid, c.relkind, c.relpersistence, c.relreplident, has_table_privilege(c.oid, 'SELECT'),
       row_security_active(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relname = %s
"""
# A domain stands for the type at its bottom.
_COLUMNS = """
WITH RECURSIVE base AS (
  SELECT a.attname, a.attnum, a.attnotnull, a.attgenerated, t.oid, t.typname, t.typtype, t.typbasetype
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
   WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT b.attname, b.attnum, b.attnotnull, b.attgenerated, t.oid, t.typname, t.typtype, t.typbasetype
    FROM base b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
)
SELECT attname, CASE WHEN typtype = 'e' THEN 'enum' ELSE typname END, attnotnull, attgenerated <> ''
  FROM base WHERE typtype <> 'd' ORDER BY attnum
"""
_INDEXES = """
SELECT i.indisprimary, i.indisreplident,
       i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL,
       array(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))
  FROM pg_index i WHERE i.indrelid = %s
"""
_SERVER = """
SELECT current_setting('wal_level'), pg_is_in_recovery(), current_user::text,
       (SELECT r.rolreplication OR r.rolsuper FROM pg_roles r WHERE r.rolname = current_user)
         OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'rds_replication'
                       AND pg_has_role(current_user, r.oid, 'member')),
       current_setting('max_replication_slots')::int
         - (SELECT count(*)::int FROM pg_replication_slots WHERE slot_name <> %s),
       (SELECT CASE WHEN setting::bigint < 0 THEN -1 ELSE setting::bigint END
          FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
       (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_current_wal_lsn() - '0/0'::pg_lsn END
"""
_PUBLICATION = """
SELECT CASE WHEN p.puballtables THEN p.oid ELSE r.oid END, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
       coalesce(r.prqual IS NOT NULL OR r.prattrs IS NOT NULL, false)
  FROM pg_publication p LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = %s
 WHERE p.pubname = %s
"""
_SLOT = """
SELECT active, coalesce(wal_status, 'lost'), coalesce(pg_current_wal_lsn() - confirmed_flush_lsn, 0)::bigint,
       coalesce(confirmed_flush_lsn - '0/0', 0)::bigint
  FROM pg_replication_slots WHERE slot_name = %s
"""
_DROP_SLOT = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active
"""


@dataclass(frozen=True, slots=True)
class Dsn:
    """A checked DSN. Its text holds the password."""

    text: str = field(repr=False)
    endpoint: Endpoint
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """A replication slot. `wal_status`: reserved, extended, unreserved or lost; `lag_bytes`: written and not read;
    `confirmed`: read and safe up to this place in the write-ahead log.
    """

    active: bool
    wal_status: str
    lag_bytes: int
    confirmed: int = 0


def dsn_of(source: SourceConfig, environment: Mapping[str, str]) -> Dsn:
    """The DSN that the source's variable holds. Raises ConfigError with one line that holds nothing of it."""
    assert source.postgres is not None
    name = source.postgres.dsn_env
    text = environment.get(name, "")
    if not text:
        raise ConfigError(f"source {source.name}: {name} is not set: export the DSN of its database")
    try:
        given = conninfo.conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        raise ConfigError(
            f"source {source.name}: {name} is no DSN such as postgresql://user:password@host/db"
        ) from None
    host, user = str(given.get("host") or ""), str(given.get("user") or "")
    port = str(given.get("port") or "5432")
    if not host or host.startswith("/") or "," in host or not user or not port.isdecimal():
        raise ConfigError(f"source {source.name}: {name} must name one host by TCP, and a user")
    endpoint = Endpoint(
        host,
        int(port),
        user,
        str(given.get("dbname") or user),
        str(given.get("sslmode") or ""),
        str(given.get("sslrootcert") or ""),
    )
    return Dsn(text, endpoint, str(given.get("password") or ""))


class SourceDatabase:
    """One source's database. Every method raises TransientError when it does not answer, ConfigError when it refuses
    the login or the statement; neither message holds a row's values.
    """

    def __init__(self, dsn: Dsn, name: str) -> None:
        """`name`: the source, for messages."""
        self._dsn = dsn
        self._name = name

    async def table_facts(self, table: PostgresTable, slot: str) -> TableFacts:
        """All that `check_table` looks at."""
        async with self._connection() as connection:
            facts = await _server_facts(connection, slot)
            schema, _, name = table.table.partition(".")
            found = await _row(connection, _TABLE, (schema, name))
            if found is None:
                return facts
            oid, kind, persistence, identity, readable, row_security = found
            columns = await _rows(connection, _COLUMNS, (oid,))
            indexes = await _rows(connection, _INDEXES, (oid,))
            facts = replace(
                facts,
                kind=_letter(kind),
                persistent=_letter(persistence) == "p",
                readable=bool(readable),
                row_security=bool(row_security),
                columns=tuple(ColumnFacts(str(row[0]), str(row[1]), bool(row[2]), bool(row[3])) for row in columns),
                unique=tuple(frozenset(names) for _, _, unique, names in indexes if unique),
            )
            return replace(
                facts,
                identity=_identity(_letter(identity), facts, indexes),
                publication=_publication(await _row(connection, _PUBLICATION, (oid, slot))),
            )

    async def slot(self, name: str) -> SlotFacts | None:
        """The replication slot of that name."""
        async with self._connection() as connection:
            found = await _row(connection, _SLOT, (name,))
        return None if found is None else SlotFacts(bool(found[0]), str(found[1]), int(found[2]), int(found[3]))

    async def create_publication(self, table: PostgresTable, name: str) -> None:
        """Publish the table's changes."""
        statement = create_publication(table, name)
        async with self._connection() as connection:
            try:
                await connection.execute(sql.SQL(statement))
            except psycopg.errors.InsufficientPrivilege:
                raise ConfigError(f"source {self._name}: as the owner of the table, run {statement}") from None

    async def drop_publication(self, name: str) -> None:
        """Remove the publication, if it is there."""
        async with self._connection() as connection:
            await connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))

    async def drop_slot(self, name: str) -> None:
        """Remove the replication slot, unless it is in use or not there."""
        async with self._connection() as connection:
            await connection.execute(_DROP_SLOT, (name,))

    async def open(self) -> AsyncConnection[TupleRow]:
        """A connection that commits each statement; its user closes it."""
        with self.faults():
            return await AsyncConnection.connect(
                self._dsn.text,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="millstream",
                options=f"-c statement_timeout={STATEMENT_MS}",
            )

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Errors of the database become ours."""
        about = f"source {self._name}: Postgres at {self._dsn.endpoint.host}:{self._dsn.endpoint.port}"
        try:
            yield
        except psycopg.OperationalError as error:
            if error.sqlstate is None and _is_refused_login(error):
                raise ConfigError(f"{about} refuses the login of {self._dsn.endpoint.user}") from None
            raise TransientError(f"{about} does not answer ({type(error).__name__})") from None
        except psycopg.Error as error:
            raise ConfigError(f"{about} refuses a statement ({type(error).__name__})") from None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        with self.faults():
            async with await self.open() as connection:
                yield connection


class CurrentRows:
    """Rows of one captured table as they are now, one question at a time over one connection: opened when it is needed,
    and again when it was lost.
    """

    def __init__(self, database: Callable[[], SourceDatabase], table: PostgresTable) -> None:
        """`database` is called when a row is asked for; it may raise ConfigError."""
        self._database = database
        self._table = table
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection[TupleRow] | None = None

    async def __call__(self, key: Mapping[str, object], columns: Sequence[str]) -> Mapping[str, object] | None:
        """Columns of the row with that key, each as Debezium's JSON says it; None when it is gone. Raises
        TransientError, ConfigError.
        """
        schema, _, name = self._table.table.partition(".")
        query = sql.SQL("SELECT {} FROM {} WHERE {}").format(
            sql.SQL(", ").join(_as_json(column) for column in columns),
            sql.Identifier(schema, name),
            sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in key),
        )
        async with self._turn:
            database = self._database()
            with database.faults():
                found = await self._ask(database, query, [str(value) for value in key.values()])
        return None if found is None else dict(zip(columns, found, strict=True))

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            await self._connection.close()

    async def _ask(self, database: SourceDatabase, query: sql.Composed, values: Sequence[str]) -> TupleRow | None:
        if self._connection is None or self._connection.closed:
            self._connection = await database.open()
        try:
            return await (await self._connection.execute(query, values)).fetchone()
        except psycopg.OperationalError:
            await self._connection.close()
            raise


def _is_refused_login(error: psycopg.OperationalError) -> bool:
    """libpq gives no code for an error before the session: its English text is all there is."""
    text = str(error)
    return any(word in text for word in ("authentication failed", "no pg_hba.conf entry", "does not exist"))


async def _server_facts(connection: AsyncConnection[TupleRow], slot: str) -> TableFacts:
    found = await _row(connection, _SERVER, (slot,))
    assert found is not None
    wal_level, standby, user, may, free, limit, system, position = found
    return TableFacts(
        wal_level=str(wal_level),
        standby=bool(standby),
        user=str(user),
        may_replicate=bool(may),
        free_slots=int(free),
        slot_limit_mb=int(limit),
        system=str(system),
        position=int(position),
    )


def _identity(kind: str, facts: TableFacts, indexes: Sequence[TupleRow]) -> frozenset[str]:
    """Columns of an old row that are logged: all, those of the index that says so, or those of the primary key."""
    if kind == "f":
        return frozenset(column.name for column in facts.columns)
    flags = {"d": 0, "i": 1}
    chosen = [row[3] for row in indexes if kind in flags and row[flags[kind]]]
    return frozenset(chosen[0]) if chosen else frozenset()


def _publication(found: TupleRow | None) -> PublicationFacts | None:
    if found is None:
        return None
    place, *flags, narrowed = found
    publishes = {name for name, on in zip(("insert", "update", "delete", "truncate"), flags, strict=True) if on}
    return PublicationFacts("" if place is None else str(place), frozenset(publishes), bool(narrowed))


def _as_json(column: str) -> sql.Composed:
    """A JSON column is text to Debezium, numbers are exact, and bytes are base64."""
    return sql.SQL(
        "CASE pg_typeof({0})::text WHEN 'json' THEN to_json({0}::text) WHEN 'jsonb' THEN to_json({0}::text) "
        "WHEN 'numeric' THEN to_json({0}::text) "
        "WHEN 'bytea' THEN to_json(translate(encode({0}::text::bytea, 'base64'), E'\\n', '')) ELSE to_json({0}) END"
    ).format(sql.Identifier(column))


def _letter(code: object) -> str:
    """A value of Postgres' type "char", which arrives as bytes."""
    return code.decode() if isinstance(code, bytes) else str(code)


async def _row(
    connection: AsyncConnection[TupleRow], query: LiteralString, values: tuple[object, ...]
) -> TupleRow | None:
    return await (await connection.execute(query, values)).fetchone()


async def _rows(
    connection: AsyncConnection[TupleRow], query: LiteralString, values: tuple[object, ...]
) -> list[TupleRow]:
    return await (await connection.execute(query, values)).fetchall()
