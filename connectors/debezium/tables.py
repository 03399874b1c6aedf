"""Whether a table can be captured as its source declares it: pure, over what the database says of itself.

Each refusal is one line that names source, table and column and, where there is one, the SQL that helps.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.errors import ConfigError
from schemas.sources import PostgresTable, SourceConfig

TEXT = frozenset({"text", "varchar", "citext"})
NUMBERS = frozenset({"int2", "int4", "int8"})
KEYS = TEXT | NUMBERS | {"uuid"}
LABELS = KEYS | {"bool", "numeric", "date", "enum"}
TIMES = frozenset({"timestamptz", "timestamp", "date", "int8", "text"})
ACLS = TEXT | {"_text", "_varchar", "json", "jsonb"}
BODIES = {"text": TEXT | {"json", "jsonb", "xml"}, "bytes": frozenset({"bytea"})}

_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "p": "a partitioned table"}


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """`type`: Postgres' own name of the base type (`int8`, `_text` for text[]), or `enum`."""

    name: str
    type: str
    not_null: bool
    generated: bool = False


@dataclass(frozen=True, slots=True)
class PublicationFacts:
    """The source's publication. `place`: identity of the table's place in it; empty when it misses the table.

    `publishes`: of insert, update, delete, truncate. `narrowed`: it has a row filter or a column list.
    """

    place: str
    publishes: frozenset[str]
    narrowed: bool


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What a database says about a table and about itself. `kind`: pg_class.relkind, empty where there is none.

    `unique`: the column sets of its usable unique indexes; `identity`: the columns that an old row is logged with.
    """

    kind: str = ""
    persistent: bool = True
    columns: tuple[ColumnFacts, ...] = ()
    unique: tuple[frozenset[str], ...] = ()
    identity: frozenset[str] = frozenset()
    readable: bool = True
    row_security: bool = False
    wal_level: str = "logical"
    standby: bool = False
    may_replicate: bool = True
    user: str = ""
    free_slots: int = 1
    slot_limit_mb: int = -1
    publication: PublicationFacts | None = None
    system: str = ""
    position: int = 0

    def column(self, name: str) -> ColumnFacts | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)


def needed_operations(table: PostgresTable) -> tuple[str, ...]:
    """What the publication has to publish: of an outbox, its inserts are all."""
    return ("insert",) if table.shape == "outbox" else ("insert", "update", "delete", "truncate")


def check_table(source: SourceConfig, facts: TableFacts, publication: str) -> None:
    """Refuse what cannot be captured. Raises ConfigError with the first fault, in one line."""
    assert source.postgres is not None
    for fault in _faults(source.postgres, facts, publication):
        raise ConfigError(f"source {source.name}: {fault}")


def advice(source: SourceConfig, facts: TableFacts) -> tuple[str, ...]:
    """What works and is still better changed."""
    if facts.slot_limit_mb < 0:
        return (
            f"source {source.name}: max_slot_wal_keep_size has no limit, so a stopped connector can fill the "
            "database's disk: ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf()",
        )
    return ()


def _faults(table: PostgresTable, facts: TableFacts, publication: str) -> Iterator[str]:
    yield from _database_faults(facts)
    if not facts.kind:
        yield f"table {table.table} does not exist, or {facts.user} may not see it"
        return
    yield from _table_faults(table, facts)
    yield from _column_faults(table, facts)
    yield from _key_faults(table, facts)
    if table.shape == "rows":
        yield from _identity_faults(table, facts)
    yield from _publication_faults(table, facts, publication)


def _database_faults(facts: TableFacts) -> Iterator[str]:
    if facts.standby:
        yield "the database is a standby: give the DSN of its primary"
    if facts.wal_level != "logical":
        yield f"wal_level is {facts.wal_level}: ALTER SYSTEM SET wal_level = 'logical', then restart Postgres"
    if not facts.may_replicate:
        yield f"role {facts.user} may not replicate: ALTER ROLE {facts.user} REPLICATION"
    if facts.free_slots < 1:
        yield "no replication slot is free: ALTER SYSTEM SET max_replication_slots higher, then restart Postgres"


def _table_faults(table: PostgresTable, facts: TableFacts) -> Iterator[str]:
    name = table.table
    if facts.kind != "r":
        yield f"table {name} is {_KINDS.get(facts.kind, 'no table')}: only ordinary tables have a stream of changes"
    if not facts.persistent:
        yield f"table {name} is not in the write-ahead log: ALTER TABLE {name} SET LOGGED"
    if not facts.readable:
        yield f"role {facts.user} may not read table {name}: GRANT SELECT ON {name} TO {facts.user}"
    if facts.row_security:
        yield f"row security hides rows of table {name} from role {facts.user}: ALTER ROLE {facts.user} BYPASSRLS"


def _column_faults(table: PostgresTable, facts: TableFacts) -> Iterator[str]:
    for role, name, types in _roles(table):
        column = facts.column(name)
        if column is None:
            there = ", ".join(known.name for known in facts.columns)
            yield f"table {table.table} has no column {name} (columns.{role}); it has {there}"
        elif column.generated:
            yield f"column {name} of table {table.table} is generated: such columns are not in the stream of changes"
        elif types and column.type not in types:
            fits = ", ".join(sorted(shown(kind) for kind in types))
            yield (
                f"column {name} of table {table.table} has type {shown(column.type)}, and columns.{role} takes {fits}"
            )


def shown(kind: str) -> str:
    """A type as SQL writes it."""
    return f"{kind[1:]}[]" if kind.startswith("_") else kind


def _roles(table: PostgresTable) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Every column that is read: what for, its name, the types that do; no types: any."""
    columns = table.columns
    yield from (("key", name, KEYS) for name in columns.key)
    single = {
        "tenant": (columns.tenant, TEXT | {"enum"}),
        "op": (columns.op, TEXT | {"enum"}),
        "title": (columns.title, TEXT),
        "body": (columns.body, BODIES[table.body_encoding]),
        "content_type": (columns.content_type, TEXT | {"enum"}),
        "url": (columns.url, TEXT),
        "acl": (columns.acl, ACLS),
        "event_time": (columns.event_time, TIMES),
        "actor": (columns.actor, KEYS | {"enum"}),
    }
    yield from ((role, name, types) for role, (name, types) in single.items() if name is not None)
    yield from (("labels", name, LABELS) for name in columns.labels)
    yield from (("pii_columns", name, frozenset[str]()) for name in table.pii_columns)


def _key_faults(table: PostgresTable, facts: TableFacts) -> Iterator[str]:
    name, key = table.table, table.columns.key
    listed = ", ".join(key)
    for part in key:
        column = facts.column(part)
        if column is not None and not column.not_null:
            yield f"column {part} of table {name} may be NULL, and a key never is: {_set_not_null(name, part)}"
    if table.shape == "rows" and not any(unique <= set(key) for unique in facts.unique):
        yield f"the key {listed} of table {name} is not unique: ALTER TABLE {name} ADD PRIMARY KEY ({listed})"


def _set_not_null(table: str, column: str) -> str:
    return f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL"


def _identity_faults(table: PostgresTable, facts: TableFacts) -> Iterator[str]:
    """An old row, of a delete or a moved key, must name its document; also its tenant, where a column does."""
    full = f"ALTER TABLE {table.table} REPLICA IDENTITY FULL"
    for part in table.columns.key:
        if part not in facts.identity:
            yield f"table {table.table} does not log column {part} of a deleted row, which is its key: {full}"
    tenant = table.columns.tenant
    if tenant is not None and tenant not in facts.identity:
        yield f"table {table.table} does not log column {tenant} of a deleted row, which names its tenant: {full}"


def _publication_faults(table: PostgresTable, facts: TableFacts, name: str) -> Iterator[str]:
    found = facts.publication
    if found is None:
        return
    if not found.place:
        yield f"publication {name} misses table {table.table}: ALTER PUBLICATION {name} ADD TABLE {table.table}"
    elif found.narrowed:
        yield (
            f"publication {name} leaves out rows or columns of table {table.table}: "
            f"ALTER PUBLICATION {name} SET TABLE {table.table}"
        )
    missing = [operation for operation in needed_operations(table) if operation not in found.publishes]
    if missing:
        wanted = ", ".join(needed_operations(table))
        yield (
            f"publication {name} does not publish {missing[0]} of table {table.table}: "
            f"ALTER PUBLICATION {name} SET (publish = '{wanted}')"
        )


def create_publication(table: PostgresTable, name: str) -> str:
    """The SQL that makes the source's publication. Both names hold letters, digits and _ alone, case as stored."""
    publish = ", ".join(needed_operations(table))
    return f"CREATE PUBLICATION {name} FOR TABLE {quoted(table.table)} WITH (publish = '{publish}')"


def quoted(table: str) -> str:
    """`schema.table` as SQL takes it, case kept."""
    schema, _, name = table.partition(".")
    return f'"{schema}"."{name}"'
