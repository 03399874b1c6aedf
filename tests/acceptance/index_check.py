"""The whole index against documents.changes, by the serial reference, and against what sources had acknowledged:
states, versions, acls, manifests, chunk rows, both legs, seqs, commits.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from index.filters import Filters
from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, Published
from index.port import VersionedIndex
from index.reader import Question, Reader
from index.weaviate import open_index
from runtime.clock import SystemClock
from runtime.declarations import load_sources
from runtime.kafka import read_topic
from runtime.settings import Settings
from schemas.codec import decode, decode_any
from schemas.identity import Document, Source, Tenant
from schemas.records import Commit, DeadLetter
from schemas.topics import CHANGES, COMMITS, DLQ
from streams.auditing import RECENT
from tests.acceptance.ledger import Expected
from tests.reference import Expected as Promised
from tests.reference import differences, logged, reference

LEG = 200
"""More than any document has chunks."""
AT_ONCE = 8
JUST = timedelta(seconds=10)
_REPAIRED = timedelta(minutes=5)
EDITION = "Edition "


class Kind(StrEnum):
    """What is wrong."""

    STATE = "state"
    """A document is not what the log, or its source, says."""
    SEQ = "seq"
    """A seq without a document row, or with several; a change made visible twice."""
    COMMIT = "commit"
    """index.commits tells something else."""
    CHUNK = "chunk"
    """A chunk row is missing, of another text, or found where it should not be."""
    HOLE = "hole"
    """A chunk row does not find itself in a leg."""
    DUPLICATE = "duplicate"
    """A chunk row is found twice by one leg."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class StoreKills:
    """When Weaviate was killed. It may lose vector entries of rows it had just acknowledged; finding and writing them
    anew is the auditor's work. Nothing else, and nothing written at another time, may be missing.
    """

    at: list[datetime] = field(default_factory=list)

    def explain(self, written: datetime | None) -> bool:
        """Whether a row written then may be missing from vector search."""
        return written is not None and any(abs(kill - written) <= JUST for kill in self.at)

    def explain_read(self, written: datetime | None, asked: datetime) -> bool:
        """Whether a row written then may be missing from a vector search asked then: the auditor looks at what was
        written shortly before a kill, finds it within a minute, and its repair waits behind what waits already.
        """
        return written is not None and any(
            kill - RECENT <= written <= kill + JUST and kill <= asked <= kill + _REPAIRED for kill in self.at
        )


@dataclass(slots=True)
class Checked:
    """What was compared, and what is wrong with it."""

    documents: int = 0
    rows: int = 0
    chunks: int = 0
    faults: list[Fault] = field(default_factory=list)
    excused: list[Fault] = field(default_factory=list)
    """Vector entries that a killed store lost."""


async def check_index(
    settings: Settings,
    tenant: Tenant,
    written: Iterable[tuple[Document, Expected]],
    kills: StoreKills,
    *,
    is_rebuilt: bool = False,
) -> list[Fault]:
    """Everything that is wrong with a tenant's index; empty is equal. What a rebuilt one passed through before its
    history began was told nobody.
    """
    return (await checked_index(settings, tenant, written, kills, is_rebuilt=is_rebuilt)).faults


async def checked_index(
    settings: Settings,
    tenant: Tenant,
    written: Iterable[tuple[Document, Expected]],
    kills: StoreKills,
    *,
    is_rebuilt: bool = False,
) -> Checked:
    """The same, with what it was compared by."""
    promised = promised_documents(settings, tenant)
    index = open_index(settings)
    try:
        reader = Reader(index, SystemClock())
        published = await reader.position(tenant)
        sources = [Source(source.name) for source in load_sources(settings).sources if source.tenant == tenant]
        rows = [row for source in sources async for row in index.source_rows(tenant, source)]
        valid = [row for row in rows if published.is_valid(row)]
        newest = newest_rows(published, rows)
        untold = published.head.history_from if is_rebuilt else 0
        found = Checked(len(promised), len(valid))
        found.faults += [Fault(Kind.STATE, text) for text in differences(promised, newest)]
        found.faults += [Fault(Kind.SEQ, text) for text in seq_faults(published, valid)]
        found.faults += [Fault(Kind.COMMIT, text) for text in commit_faults(settings, published, valid, untold)]
        for document, expected in written:
            found.faults += [Fault(Kind.STATE, text) for text in state_faults(newest.get(document), document, expected)]
        times = {row.from_seq: row.committed_at for row in valid}
        check = _Chunks(index, reader, promised, lambda chunk: kills.explain(times.get(chunk.from_seq)), found)
        await asyncio.gather(*(check.of(row) for row in newest.values() if row.is_present))
        return found
    finally:
        await index.close()


def promised_documents(settings: Settings, tenant: Tenant) -> dict[Document, Promised]:
    """What documents.changes says of a tenant; what is a dead letter says nothing."""
    letters = [decode(record.value or b"", DeadLetter) for record in read_topic(settings, DLQ)]
    dead = {str(letter.origin) for letter in letters}
    changes = logged(record for record in read_topic(settings, CHANGES) if str(record.coordinates) not in dead)
    return reference(one for one in changes if one.change.tenant == tenant)


def newest_rows(published: Published, rows: Sequence[DocumentRow]) -> Mapping[Document, DocumentRow]:
    """The state of each document at the head."""
    of_document: dict[Document, list[DocumentRow]] = defaultdict(list)
    for row in rows:
        of_document[row.document].append(row)
    states = {document: published.state_at(found, published.seq) for document, found in of_document.items()}
    return {document: row for document, row in states.items() if row is not None}


def seq_faults(published: Published, valid: Sequence[DocumentRow]) -> list[str]:
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
    if not expected.edition:
        return [f"{document.key} is there, and was deleted"] if row is not None and row.is_present else []
    if row is None:
        return [f"{document.key} is not in the index"]
    faults = []
    if not row.is_present or row.title != EDITION + expected.edition or len(row.manifest) != expected.parts:
        faults.append(f"{document.key} holds {row.title!r} ({len(row.manifest)} chunks), acknowledged was {expected}")
    if row.acl != expected.acl:
        faults.append(f"{document.key} may be read by {row.acl}, acknowledged was {expected}")
    return faults


def texts_of(promised: Promised) -> list[str] | None:
    """The texts that a document of the tests' own writers has, sorted; None for another's."""
    if promised.body is None or not (promised.title or "").startswith(EDITION):
        return None
    return sorted(line for line in promised.body.decode().splitlines() if line.startswith("In edition"))


@dataclass(slots=True)
class _Chunks:
    """Every chunk row of a manifest is there, of this edition, and found once in each leg; nothing else is found."""

    index: VersionedIndex
    reader: Reader
    promised: Mapping[Document, Promised]
    excused: Callable[[ChunkRow], bool]
    found: Checked
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def of(self, row: DocumentRow) -> None:
        """Check those of one document."""
        async with self.places:
            key, wanted = row.document.key, [entry.chunk_id for entry in row.manifest]
            chunks = await self.index.chunks(row.document.tenant, wanted, vectors=True)
            self.found.chunks += len(chunks)
            if set(chunks) != set(wanted) or len(set(wanted)) != len(wanted):
                self._fault(
                    Kind.CHUNK, f"{key}: {len(set(wanted) - set(chunks))} chunk rows of its manifest are missing"
                )
                return
            self._check_texts(row, chunks)
            retrieved = await self.reader.retrieve(_question(row, chunks[wanted[0]]))
            for leg, hits in (("vectors", retrieved.vector), ("words", retrieved.lexical)):
                self._check_leg(key, leg, [hit.chunk_id for hit in hits], chunks)

    def _check_texts(self, row: DocumentRow, chunks: Mapping[ChunkId, ChunkRow]) -> None:
        promised = self.promised.get(row.document)
        texts = None if promised is None else texts_of(promised)
        if texts is not None and sorted(chunk.text for chunk in chunks.values()) != texts:
            self._fault(Kind.CHUNK, f"{row.document.key}: chunk rows of another text")
        if any(chunk.title != row.title for chunk in chunks.values()):
            self._fault(Kind.CHUNK, f"{row.document.key}: a chunk row of another edition")

    def _check_leg(self, key: str, leg: str, hits: Sequence[ChunkId], chunks: Mapping[ChunkId, ChunkRow]) -> None:
        counted = Counter(hits)
        for chunk_id, count in counted.items():
            if count > 1:
                self._fault(Kind.DUPLICATE, f"{key}: {chunk_id} is found {count} times by {leg}")
            if chunk_id not in chunks:
                self._fault(Kind.CHUNK, f"{key}: {leg} find {chunk_id}, which its manifest does not list")
        for chunk_id in chunks.keys() - counted.keys():
            fault = Fault(Kind.HOLE, f"{key}: {chunk_id} is not found by {leg}")
            excused = leg == "vectors" and self.excused(chunks[chunk_id])
            (self.found.excused if excused else self.found.faults).append(fault)

    def _fault(self, kind: Kind, text: str) -> None:
        self.found.faults.append(Fault(kind, text))


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
