"""Walks the rows of one tenant, stretch by stretch of its seqs, and compares what belongs together.

A document is looked at where its newest row lies, so that a walk over all seqs meets each once. What is found may be
work under way: whoever walks looks at it a second time.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from index.audit.compare import chunk_findings, extra_findings, hole_findings, own_word, seq_findings, unlisted
from index.audit.findings import Finding, Kind
from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, Head, Published, Seq
from index.port import DeadRows, OpenChunk, VersionedIndex
from index.states import states_at
from index.sweep import dead_documents
from index.sweeper import chunks_beside
from schemas.identity import Document

STRETCH = 64
"""Seqs, so documents at most, that are looked at together."""
SEQS_AT_ONCE = 2000
_CHUNKS_AT_ONCE = 500
_OPEN_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Walked:
    """One stretch: the states whose newest row lies in it, and what differs."""

    states: Mapping[Document, DocumentRow]
    findings: tuple[Finding, ...]
    chunks: int


class StoreWalk:
    """Reads one incarnation. Errors are the port's."""

    def __init__(self, index: VersionedIndex) -> None:
        self._index = index

    async def stretch(self, published: Published, after: Seq, at_most: Seq) -> Walked:
        """The documents whose newest row has after < from_seq <= at_most."""
        tenant = published.head.tenant
        places = await self._index.places(tenant, after=after, at_most=at_most)
        found = await self.states(published, {place.document for place in places})
        states = {document: row for document, row in found.items() if after < row.from_seq <= at_most}
        return await self.documents(published, states)

    async def states(self, published: Published, documents: Collection[Document]) -> dict[Document, DocumentRow]:
        """The state of these documents at the head."""
        return await states_at(self._index, published, published.head.tenant, documents, published.seq)

    async def documents(self, published: Published, states: Mapping[Document, DocumentRow]) -> Walked:
        """Manifests, chunk rows, vector graph and word index of these documents."""
        findings: list[Finding] = []
        chunks = 0
        for some in _bounded(tuple(states.values())):
            found = await self._compared(published, some)
            findings += found
            chunks += sum(len(row.manifest) for row in some)
        return Walked(states, tuple(findings), chunks)

    async def _compared(self, published: Published, rows: Sequence[DocumentRow]) -> list[Finding]:
        tenant = published.head.tenant
        wanted = [entry.chunk_id for row in rows for entry in row.manifest]
        chunks = await self._index.chunks(tenant, wanted)
        open_chunks = await self._index.open_chunks([row.document for row in rows], limit=_OPEN_AT_ONCE)
        graph = await self._index.in_graph(tenant, chunks.keys()) if chunks else frozenset()
        words = _words_of(chunks)
        worded = await self._index.in_words(tenant, words) if words else frozenset()
        findings: list[Finding] = []
        for row in rows:
            findings += chunk_findings(row, published.head, chunks)
            findings += hole_findings(row, Kind.VECTOR_HOLE, graph, chunks.keys())
            findings += hole_findings(row, Kind.WORD_HOLE, worded, words.keys())
        extra = [chunk for row in rows for chunk in unlisted(row, published.head, open_chunks)]
        return findings + extra_findings(extra, await self._collected(published.head, extra))

    async def _collected(self, head: Head, extra: Sequence[OpenChunk]) -> list[DeadRows]:
        """What the sweep collects of the epochs of these rows."""
        epochs = {chunk.epoch for chunk in extra}
        dead = [one for one in dead_documents(head) if any(one.low <= epoch < one.below for epoch in epochs)]
        return [await chunks_beside(self._index, head, one) for one in dead]

    async def seqs(self, published: Published, after: Seq, at_most: Seq) -> list[Finding]:
        """Every seq of after < seq <= at_most that history holds has one row; at most SEQS_AT_ONCE of them."""
        after = max(after, published.head.history_from)
        if after >= at_most:
            return []
        places = await self._index.places(published.head.tenant, after=after, at_most=at_most)
        return seq_findings(published, places, after, at_most)

    async def shortfall(self, published: Published) -> int:
        """How many document rows fewer there are than seqs were published, dead ones counted; one small question."""
        return max(0, published.seq - await self._index.count_documents(published.head.tenant))

    async def dead_rows(self, published: Published) -> list[Finding]:
        """Document rows and chunk rows of epochs that published nothing which are still there."""
        tenant = published.head.tenant
        count = 0
        for dead in dead_documents(published.head):
            count += len(await self._index.dead_documents(tenant, dead, limit=SEQS_AT_ONCE))
            beside = await chunks_beside(self._index, published.head, dead)
            count += len(await self._index.dead_chunks(tenant, beside, limit=SEQS_AT_ONCE))
        return [Finding(Kind.DEAD_ROW, tenant, rows=count)] if count else []


def _words_of(chunks: Mapping[ChunkId, ChunkRow]) -> dict[ChunkId, str]:
    words = {id_: own_word(chunk) for id_, chunk in chunks.items()}
    return {id_: word for id_, word in words.items() if word is not None}


def _bounded(rows: Sequence[DocumentRow]) -> Iterator[list[DocumentRow]]:
    """Rows in order, some hundred chunks together; a large document goes alone."""
    some: list[DocumentRow] = []
    chunks = 0
    for row in rows:
        if some and chunks + len(row.manifest) > _CHUNKS_AT_ONCE:
            yield some
            some, chunks = [], 0
        some.append(row)
        chunks += len(row.manifest)
    if some:
        yield some
