"""Reads the newest document rows of many documents: first which rows there are, then those not decoded before.

A row never changes but in its `to_seq`, which the first question brings along, and a row that is gone is not listed:
so a decoded row may be kept for as long as there is room. It saves most of what reading documents with a history takes.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from index.model import DocumentRow, RowId, Seq
from index.weaviate.client import Client
from index.weaviate.query import ROW_ID, Condition, Found, Operator, Query
from index.weaviate.rows import row_to_document
from index.weaviate.schema import DOCUMENT
from schemas.identity import Document

NEWEST = 32
"""How many rows of one document are read."""
ROOM = 60_000
"""Manifest entries of decoded rows that are kept: some 16 MB."""
_ROWS_AT_ONCE = 256
_PLACES_AT_ONCE = 512
_PLACE = ("document", "from_seq", "epoch", "to_seq")


@dataclass(frozen=True, slots=True)
class _Place:
    """A document row that exists, not read yet."""

    key: str
    from_seq: Seq
    epoch: int
    to_seq: Seq
    id: RowId


class NewestRows:
    """Of one incarnation; rows are told apart by their ids alone, which no two tenants share."""

    def __init__(self, client: Client, collection: str, *, room: int = ROOM) -> None:
        self._client = client
        self._collection = collection
        self._room = room
        self._kept: OrderedDict[RowId, DocumentRow] = OrderedDict()
        self._used = 0

    async def read(self, shard: str, documents: Sequence[Document], at: Seq) -> dict[Document, tuple[DocumentRow, ...]]:
        """Up to `NEWEST` rows of each document with from_seq <= at < to_seq, newest first."""
        of_key: dict[str, list[_Place]] = defaultdict(list)
        for place in await self._places(shard, tuple({document.key for document in documents}), at):
            of_key[place.key].append(place)
        newest = {key: _newest(places) for key, places in of_key.items()}
        rows = await self._rows(shard, [place for places in newest.values() for place in places])
        return {
            document: tuple(
                _closed_at(rows[place.id], place.to_seq) for place in newest.get(document.key, ()) if place.id in rows
            )
            for document in documents
        }

    async def _places(self, shard: str, keys: tuple[str, ...], at: Seq) -> list[_Place]:
        """Of a single document the newest, sorted by the store; of several all, in halves where they are too many."""
        single = len(keys) == 1
        limit = NEWEST if single else max(_PLACES_AT_ONCE, 2 * len(keys))
        query = Query(
            self._collection,
            limit,
            shard,
            (
                Condition("document", Operator.ANY_OF, keys),
                Condition("from_seq", Operator.AT_MOST, at),
                Condition("to_seq", Operator.ABOVE, at),
            ),
            newest_by=("from_seq", "epoch") if single else (),
            properties=_PLACE,
        )
        found = await self._client.search(query)
        if single or len(found) < limit:
            return [_place(row) for row in found]
        middle = len(keys) // 2
        halves = await asyncio.gather(self._places(shard, keys[:middle], at), self._places(shard, keys[middle:], at))
        return halves[0] + halves[1]

    async def _rows(self, shard: str, places: Sequence[_Place]) -> dict[RowId, DocumentRow]:
        rows = {place.id: self._kept[place.id] for place in places if place.id in self._kept}
        missing = [place.id for place in places if place.id not in rows]
        for start in range(0, len(missing), _ROWS_AT_ONCE):
            some = tuple(missing[start : start + _ROWS_AT_ONCE])
            condition = Condition(ROW_ID, Operator.ANY_OF, some)
            query = Query(self._collection, len(some), shard, (condition,), properties=tuple(DOCUMENT))
            for found in await self._client.search(query):
                row = row_to_document(found)
                rows[row.id] = row
        self._keep(rows.values())
        return rows

    def _keep(self, rows: Iterable[DocumentRow]) -> None:
        for row in rows:
            if row.id in self._kept:
                self._kept.move_to_end(row.id)
            else:
                self._kept[row.id] = row
                self._used += row.weight
        while self._used > self._room:
            _, oldest = self._kept.popitem(last=False)
            self._used -= oldest.weight


def _place(row: Found) -> _Place:
    document, *numbers = (row.properties[name] for name in _PLACE)
    from_seq, epoch, to_seq = (int(number) for number in numbers if isinstance(number, int))
    return _Place(str(document), from_seq, epoch, to_seq, RowId(row.id))


def _newest(places: Sequence[_Place]) -> list[_Place]:
    return sorted(places, key=lambda place: (place.from_seq, place.epoch), reverse=True)[:NEWEST]


def _closed_at(row: DocumentRow, to_seq: Seq) -> DocumentRow:
    return row if row.to_seq == to_seq else replace(row, to_seq=to_seq)
