"""Random transactions on a captured table, several at a time: they interleave, wait for each other and roll back."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import AsyncConnection

from tests.integration.cdc_bench import Database, Document, Told

COLUMNS = {"key": ["id"], "title": "title", "body": "body", "acl": "acl", "labels": ["category"]}
WITH_TENANT = {**COLUMNS, "tenant": "tenant"}
TENANTS = ("aurora", "harbor")

_CREATE = (
    "CREATE TABLE {name} (id int PRIMARY KEY, tenant text NOT NULL DEFAULT 'aurora', title text, body text,"
    " acl text[], category text)"
)
_LARGE = "(SELECT string_agg(md5(random()::text), ' ') FROM generate_series(1, 300))"
"""About 9 KB that does not compress: kept out of the row."""
_ACLS = ("NULL", "'{}'", "'{hr}'", "'{hr,legal}'", "'{public}'")
_CONFLICTS = (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation)


def create(database: Database, name: str, *, full: bool, rows: int = 40) -> None:
    """A table with some rows. `full`: old rows are logged as a whole."""
    database.execute(_CREATE.format(name=name))
    if full:
        database.execute(f"ALTER TABLE {name} REPLICA IDENTITY FULL")
    database.execute(
        f"INSERT INTO {name} (id, title, body) SELECT n, 't' || n, {_LARGE} FROM generate_series(1, {rows}) n"
    )


def holds(database: Database, name: str, *, tenants: bool) -> dict[Document, Told]:
    """What the log has to tell of the table as it is."""
    rows = database.execute(f"SELECT id, tenant, title, body, acl FROM {name}").fetchall()
    return {
        (str(tenant) if tenants else "aurora", str(key)): Told(
            str(title), str(body), ("staff",) if acl is None else tuple(sorted(acl))
        )
        for key, tenant, title, body, acl in rows
    }


@dataclass
class Workload:
    """`run` does at least `operations` on one table and returns how many were committed."""

    dsn: str
    table: str
    operations: int
    seed: int
    connections: int = 4
    at: dict[int, Callable[[], None]] = field(default_factory=dict)
    """Called once, from a thread, when so many operations were committed."""
    done: int = 0

    async def run(self) -> int:
        dice = [random.Random(f"{self.table}/{self.seed}/{number}") for number in range(self.connections)]
        await asyncio.gather(*map(self._client, dice))
        return self.done

    async def _client(self, dice: random.Random) -> None:
        async with await AsyncConnection.connect(self.dsn) as connection:
            await connection.execute("SET deadlock_timeout = '20ms'")
            await connection.commit()
            while self.done < self.operations:
                statements = [self._statement(dice) for _ in range(dice.randint(1, 8))]
                if await self._transaction(connection, statements, dice):
                    await self._count(len(statements))

    async def _transaction(
        self, connection: "AsyncConnection[tuple[object, ...]]", statements: Sequence[str], dice: random.Random
    ) -> bool:
        try:
            for statement in statements:
                await connection.execute(statement)
                await asyncio.sleep(dice.choice((0, 0, 0.002)))
        except _CONFLICTS:
            await connection.rollback()
            return False
        if dice.random() < 0.05:
            await connection.rollback()
            return False
        await connection.commit()
        return True

    async def _count(self, operations: int) -> None:
        before, self.done = self.done, self.done + operations
        for number in [number for number in self.at if before < number <= self.done]:
            await asyncio.to_thread(self.at.pop(number))

    def _statement(self, dice: random.Random) -> str:
        row, other = dice.randint(1, 120), dice.randint(1, 120)
        acl, tenant, mark = dice.choice(_ACLS), dice.choice(TENANTS), dice.randint(1, 10**9)
        table = self.table
        insert = (
            f"INSERT INTO {table} VALUES ({row}, '{tenant}', 'new {mark}', {_LARGE}, {acl}, 'c{mark % 5}')"
            " ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = excluded.body, acl = excluded.acl"
        )
        return dice.choices(
            (
                insert,
                f"UPDATE {table} SET title = 'title {mark}' WHERE id = {row}",
                f"UPDATE {table} SET body = {_LARGE}, title = 'body {mark}' WHERE id = {row}",
                f"UPDATE {table} SET acl = {acl} WHERE id = {row}",
                f"UPDATE {table} SET tenant = '{tenant}' WHERE id = {row}",
                f"UPDATE {table} SET id = {other} WHERE id = {row}",
                f"UPDATE {table} SET category = 'c{mark % 7}' WHERE id BETWEEN {row} AND {row + 5}",
                f"DELETE FROM {table} WHERE id = {row}",
            ),
            weights=(30, 25, 5, 15, 5, 5, 5, 10),
        )[0]
