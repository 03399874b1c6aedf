"""Asks the store what the audit compares: chunk rows by document, and whether the search indexes have them.

A vector query whose filter lets through fewer rows than the flat search cutoff compares each of them one by one, but
only those that the graph has a node for: so one query over some hundred ids tells which of them are holes (measured on
1.38.11: of 4,800 rows, 800 of them holes, it named the same 800 as asking the graph for each row by its own vector).
"""

from collections.abc import Collection, Mapping

import numpy as np

from index.manifest import ChunkId
from index.model import OPEN
from index.port import OpenChunk
from index.weaviate.client import Client
from index.weaviate.legs import LEXICAL
from index.weaviate.query import ROW_ID, Condition, Operator, Query
from index.weaviate.rows import document_of_key, vector_bytes

_GRAPH_AT_ONCE = 500
"""Below the flat search cutoff by far."""
_WORDS_AT_ONCE = 64


class AuditedRows:
    """Chunk rows of one incarnation. Errors are the port's."""

    def __init__(self, client: Client, collection: str) -> None:
        self._client = client
        self._collection = collection

    async def open_chunks(self, shard: str, keys: Collection[str], limit: int) -> tuple[OpenChunk, ...]:
        """Up to `limit` rows of these documents that are not closed."""
        conditions = (
            Condition("document", Operator.ANY_OF, tuple(keys)),
            Condition("to_seq", Operator.AT_LEAST, OPEN),
        )
        properties = ("document", "epoch", "from_seq")
        found = await self._client.search(Query(self._collection, limit, shard, conditions, properties=properties))
        return tuple(
            OpenChunk(
                ChunkId(row.id),
                document_of_key(str(row.properties["document"])),
                int(str(row.properties["epoch"])),
                int(str(row.properties["from_seq"])),
            )
            for row in found
        )

    async def in_graph(self, shard: str, ids: Collection[ChunkId], dimension: int) -> frozenset[ChunkId]:
        """Those that the vector graph has."""
        near = vector_bytes(np.full(dimension, dimension**-0.5, dtype=np.float32))
        found: set[ChunkId] = set()
        for some in _batched(ids, _GRAPH_AT_ONCE):
            conditions = (Condition(ROW_ID, Operator.ANY_OF, some),)
            rows = await self._client.search(Query(self._collection, len(some), shard, conditions, near=near))
            found |= {ChunkId(row.id) for row in rows}
        return frozenset(found)

    async def in_words(self, shard: str, words: Mapping[ChunkId, str]) -> frozenset[ChunkId]:
        """Those that BM25 finds, asked for the words of some rows together, among these rows alone."""
        found: set[ChunkId] = set()
        for some in _batched(words, _WORDS_AT_ONCE):
            question = " ".join(dict.fromkeys(words[id_] for id_ in some))
            conditions = (Condition(ROW_ID, Operator.ANY_OF, some),)
            query = Query(self._collection, len(some), shard, conditions, words=(question, LEXICAL))
            found |= {ChunkId(row.id) for row in await self._client.search(query)}
        return frozenset(found)


def _batched(ids: Collection[ChunkId], size: int) -> list[tuple[ChunkId, ...]]:
    listed = tuple(ids)
    return [listed[start : start + size] for start in range(0, len(listed), size)]
