"""The whole index against what sources had acknowledged: states, chunk rows, both legs, seqs, commits."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from index.model import ChunkRow, DocumentRow, Published
from index.port import VersionedIndex
from index.reader import Filters, Question, Reader
from index.weaviate import open_index
from runtime.clock import SystemClock
from runtime.declarations import load_sources
from runtime.kafka import read_topic
from runtime.settings import Settings
from schemas.codec import decode_any
from schemas.identity import Document, Source, Tenant
from schemas.records import Commit
from schemas.topics import COMMITS
from tests.acceptance.ledger import Expected

LEG = 200
"""More than any document has chunks."""
AT_ONCE = 8
JUST = timedelta(seconds=10)


@dataclass(frozen=True)
class StoreKills:
    """When Weaviate was killed. It may lose vector entries of rows it had just acknowledged; finding and writing them
    anew is the auditor's work. Nothing else, and nothing written at another time, may be missing.
    """

    at: list[datetime] = field(default_factory=list)

    def explain(self, written: datetime | None) -> bool:
        """Whether a row written then may be missing from vector search."""
        return written is not None and any(abs(kill - written) <= JUST for kill in self.at)


async def check_index(
    settings: Settings,
    tenant: Tenant,
    written: Iterable[tuple[Document, Expected]],
    kills: StoreKills,
    *,
    is_rebuilt: bool = False,
) -> list[str]:
    """Everything that is wrong with a tenant's index; empty is equal. What a rebuilt one passed through before its
    history began was told nobody.
    """
    index = open_index(settings)
    try:
        reader = Reader(index, SystemClock())
        published = await reader.position(tenant)
        sources = [Source(source.name) for source in load_sources(settings).sources if source.tenant == tenant]
        rows = [row for source in sources async for row in index.source_rows(tenant, source)]
        valid = [row for row in rows if published.is_valid(row)]
        newest = newest_rows(published, rows)
        untold = published.head.history_from if is_rebuilt else 0
        faults = [*log_faults(published, valid), *commit_faults(settings, published, valid, untold)]
        for document, expected in written:
            faults += state_faults(newest.get(document), document, expected)
        places = asyncio.Semaphore(AT_ONCE)
        times = {row.from_seq: row.committed_at for row in valid}

        def excused(chunk: ChunkRow) -> bool:
            return kills.explain(times.get(chunk.from_seq))

        async def of_chunks(row: DocumentRow) -> list[str]:
            async with places:
                return await chunk_faults(index, reader, row, excused)

        for found in await asyncio.gather(*(of_chunks(row) for row in newest.values() if row.is_present)):
            faults += found
        return faults
    finally:
        await index.close()


def newest_rows(published: Published, rows: Sequence[DocumentRow]) -> Mapping[Document, DocumentRow]:
    """The state of each document at the head."""
    of_document: dict[Document, list[DocumentRow]] = defaultdict(list)
    for row in rows:
        of_document[row.document].append(row)
    states = {document: published.state_at(found, published.seq) for document, found in of_document.items()}
    return {document: row for document, row in states.items() if row is not None}


def log_faults(published: Published, valid: Sequence[DocumentRow]) -> list[str]:
    """Every seq up to the head has exactly one document row, and no change was made visible twice."""
    seqs = sorted(row.from_seq for row in valid)
    if seqs != list(range(1, published.seq + 1)):
        counted = Counter(seqs)
        holes = [seq for seq in range(1, published.seq + 1) if not counted[seq]]
        twice = [seq for seq, count in counted.items() if count > 1]
        return [f"head {published.seq}: no row at {holes}, several at {twice}"]
    made_of = Counter(row.mutation for row in valid)
    return [f"{mutation} was made visible {count} times" for mutation, count in made_of.items() if count > 1]


def commit_faults(settings: Settings, published: Published, valid: Sequence[DocumentRow], untold: int = 0) -> list[str]:
    """index.commits tells of every seq behind `untold`, and however often it does, the same as the index."""
    build = settings.generation, settings.incarnation
    told: dict[int, set[tuple[Document, str]]] = defaultdict(set)
    for record in read_topic(settings, COMMITS):
        commit = decode_any(record.value or b"")
        if not isinstance(commit, Commit) or (commit.generation, commit.incarnation) != build:
            continue
        if commit.tenant == published.head.tenant:
            told[commit.seq].add((commit.document, str(commit.mutation)))
    held = {row.from_seq: {(row.document, str(row.mutation))} for row in valid if row.from_seq > untold}
    return [
        f"seq {seq}: index.commits tells {sorted(map(str, told[seq]))}, the index holds {sorted(map(str, found))}"
        for seq, found in sorted(held.items())
        if told[seq] != found
    ] + [f"index.commits tells of seq {seq}, which the index does not have" for seq in sorted(set(told) - set(held))]


def state_faults(row: DocumentRow | None, document: Document, expected: Expected) -> list[str]:
    """The newest acknowledged state of a document is the one at the head."""
    if row is None:
        return [f"{document.key} is not in the index"]
    if not expected.edition:
        return [f"{document.key} is there, and was deleted"] if row.is_present else []
    faults = []
    if not row.is_present or row.title != f"Edition {expected.edition}" or len(row.manifest) != expected.parts:
        faults.append(f"{document.key} holds {row.title!r} ({len(row.manifest)} chunks), acknowledged was {expected}")
    if row.acl != expected.acl:
        faults.append(f"{document.key} may be read by {row.acl}, acknowledged was {expected}")
    return faults


async def chunk_faults(
    index: VersionedIndex, reader: Reader, row: DocumentRow, excused: Callable[[ChunkRow], bool]
) -> list[str]:
    """Every chunk row of a manifest is there, of this edition, and found once in each leg; nothing else is found."""
    document, key = row.document, row.document.key
    wanted = [entry.chunk_id for entry in row.manifest]
    chunks = await index.chunks(document.tenant, wanted, vectors=True)
    if set(chunks) != set(wanted) or len(set(wanted)) != len(wanted):
        return [f"{key}: {len(set(wanted) - set(chunks))} chunk rows of its manifest are missing"]
    first = chunks[wanted[0]]
    faults = [f"{key}: a chunk row of another edition" for chunk in chunks.values() if chunk.title != row.title]
    found = await reader.retrieve(_question(row, first))
    for leg, hits in (("vectors", found.vector), ("words", found.lexical)):
        counted = Counter(hit.chunk_id for hit in hits)
        faults += [
            f"{key}: {chunk_id} is found {count} times by {leg}" for chunk_id, count in counted.items() if count > 1
        ]
        missing = {chunk_id for chunk_id in wanted if chunk_id not in counted}
        if leg == "vectors":
            missing = {chunk_id for chunk_id in missing if not excused(chunks[chunk_id])}
        if missing or not set(counted) <= set(wanted):
            faults.append(f"{key}: {leg} find {len(counted)} chunks, of {len(wanted)} they miss {len(missing)}")
    return faults


def _question(row: DocumentRow, chunk: ChunkRow) -> Question:
    """Asks for all chunks of one document: their title's words are in each, and a vector's neighbours are all."""
    assert chunk.vector is not None
    return Question(
        tenant=row.document.tenant,
        text=f"{row.title} {chunk.text}",
        vector=chunk.vector,
        principals=frozenset(row.acl),
        filters=Filters(documents=(row.document,)),
        leg_size=LEG,
    )
