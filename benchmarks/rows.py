"""A captured table as a benchmark writes to it: one row a document, and a freshness token for each, made from an LSN.

With benchmarks' own use of psycopg: the rows are written as the table's owner would.
"""

import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from benchmarks.client import Json, Posted
from runtime.freshness_token import TokenKey, seal
from schemas.errors import ConfigError
from schemas.identity import Document
from schemas.sources import SourceConfig, row_doc_id
from schemas.versions import Op, Rank, Version

_POSITION = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"
_TYPE = "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s"
_INTEGERS: Mapping[str, int] = {"smallint": 2**14, "integer": 2**30, "bigint": 2**62}


class Rows:
    """One captured source's table. `async with`: its connection lives as long."""

    def __init__(self, source: SourceConfig, dsn: str, key: TokenKey) -> None:
        if source.postgres is None or source.postgres.shape != "rows" or len(source.postgres.columns.key) != 1:
            raise ConfigError(f"source {source.name}: the benchmark writes to a table with one key column, no outbox")
        self._source = source
        self._table = source.postgres
        self._dsn = dsn
        self._key = key
        self._written: dict[str, str] = {}
        """doc_id of the benchmark -> the row's key."""

    async def __aenter__(self) -> Self:
        try:
            self._connection: AsyncConnection[TupleRow] = await AsyncConnection.connect(self._dsn)
            self._largest = await self._largest_key()
        except psycopg.Error as error:
            raise ConfigError(f"source {self._source.name}: its database says {type(error).__name__}") from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def put(self, event: Json) -> Posted:
        """Insert a row; accepted once it is committed."""
        row_key = self._new_key()
        columns = self._table.columns
        values = {columns.key[0]: row_key, columns.body: event["body"]}
        if columns.title is not None:
            values[columns.title] = event["title"]
        names = [name for name in values if name is not None]
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            self._name(),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(sql.Placeholder() * len(names)),
        )
        self._written[str(event["doc_id"])] = row_key
        return await self._write(statement, [str(values[name]) for name in names], row_key, Op.UPSERT)

    async def delete(self, doc_ids: Sequence[str]) -> Posted:
        """Delete the rows of these documents."""
        keys = [self._written[doc_id] for doc_id in doc_ids if doc_id in self._written]
        if not keys:
            return Posted(202)
        column = sql.Identifier(self._table.columns.key[0])
        holders = sql.SQL(", ").join(sql.Placeholder() * len(keys))
        statement = sql.SQL("DELETE FROM {} WHERE {} IN ({})").format(self._name(), column, holders)
        return await self._write(statement, keys, keys[-1], Op.DELETE)

    def doc_id(self, doc_id: str) -> str:
        """What Millstream calls the benchmark's document."""
        return row_doc_id([self._written[doc_id]]) if doc_id in self._written else doc_id

    async def _write(self, statement: sql.Composed, values: Sequence[str], row_key: str, op: Op) -> Posted:
        """The LSN is taken before the write: the row's own change is at or beyond it."""
        try:
            (lsn,) = await self._one(_POSITION)
            await self._connection.execute(statement, values)
            await self._connection.commit()
        except psycopg.Error as error:
            await self._connection.rollback()
            return Posted(0, problem=f"{type(error).__name__} {error.sqlstate}")
        document = Document.checked(self._source.tenant, self._source.name, row_doc_id([row_key]))
        rank = Rank.DELETE if op is Op.DELETE else Rank.UPSERT
        return Posted(202, (seal(self._key, document, "content", Version(self._source.epoch, int(lsn), rank)),))

    async def _one(self, query: str, values: Sequence[str] = ()) -> TupleRow:
        found = await (await self._connection.execute(query.encode(), values)).fetchone()
        if found is None:
            raise ConfigError(f"source {self._source.name}: table {self._table.table} has no such column")
        return found

    async def _largest_key(self) -> int | None:
        """For a key that is a number, where the benchmark's own begin; None for other keys."""
        (kind,) = await self._one(_TYPE, (self._table.table, self._table.columns.key[0]))
        await self._connection.commit()
        return _INTEGERS.get(str(kind))

    def _new_key(self) -> str:
        """A key that no row of the table's owner has."""
        if self._largest is None:
            return str(uuid.uuid4())
        return str(self._largest + uuid.uuid4().int % (self._largest // 2))

    def _name(self) -> sql.Identifier:
        schema, _, table = self._table.table.partition(".")
        return sql.Identifier(schema, table)
