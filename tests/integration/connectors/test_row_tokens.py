"""What `POST /v1/tokens` promises of a row: its change lies at the LSN taken before the write or beyond it, and what
was written before lies below it.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from runtime.settings import Settings
from serving.tokens import lsn_number
from tests.integration.connectors.capturing import Database, applied, declared, sources, until

pytestmark = [pytest.mark.parts, pytest.mark.timeout(240)]

WRITES = 300
Lsn = int


def _write(database: Database, chance: random.Random, known: set[int]) -> tuple[int, Lsn]:
    """One transaction with one write: the row, and the LSN before."""
    row = chance.choice([*known, 1000 + chance.randrange(20)])
    with database.transaction(), database.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn()")
        found = cursor.fetchone()
        if row not in known:
            cursor.execute("INSERT INTO tokens VALUES (%s, 'title', %s)", (row, "x" * chance.choice([9, 20_000])))
            known.add(row)
        elif chance.random() < 0.3:
            cursor.execute("DELETE FROM tokens WHERE id = %s", (row,))
            known.discard(row)
        else:
            cursor.execute("UPDATE tokens SET title = title || '.' WHERE id = %s", (row,))
    assert found is not None
    return row, lsn_number(str(found[0]))


async def test_a_rows_change_lies_at_the_lsn_before_its_write_or_beyond(
    settings: Settings, environment: Mapping[str, str], database: Database
) -> None:
    database.execute("CREATE TABLE tokens (id int PRIMARY KEY, title text, body text)")
    await asyncio.to_thread(applied, settings, environment, sources(declared("tokens")))
    chance, known = random.Random(11), set[int]()
    stated: dict[int, list[Lsn]] = defaultdict(list)
    for _ in range(WRITES):
        row, lsn = _write(database, chance, known)
        stated[row].append(lsn)
    changed: dict[int, list[Lsn]] = defaultdict(list)
    for record in await until(settings, "tokens", WRITES):
        changed[_row(record)].append(_lsn(record))
    assert {row: len(lsns) for row, lsns in changed.items()} == {row: len(lsns) for row, lsns in stated.items()}
    for row, before in stated.items():
        assert all(before <= change for before, change in zip(before, changed[row], strict=True))
        assert all(change < later for change, later in zip(changed[row], before[1:], strict=False))


def _row(record: Mapping[str, Any]) -> int:
    return int((record["after"] or record["before"])["id"])


def _lsn(record: Mapping[str, Any]) -> Lsn:
    return int(record["source"]["lsn"])
