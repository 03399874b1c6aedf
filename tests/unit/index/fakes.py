"""What the tests of writer and reader share: mutations in few words, an index with a tenant, taps that fail, pause or
lose calls, and a reference that is obviously right.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from index.manifest import ChunkId
from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import (
    ChunkSubject,
    ContentState,
    DocumentRow,
    IndexIdentity,
    Published,
    Vector,
    chunk_hash,
    content_hash,
    first_head,
)
from index.port import CommitLog, IndexRecord, VersionedIndex
from index.reader import Question, Reader
from index.rows import PositionedHide, PositionedMutation
from index.writer import TenantWriter
from runtime.clock import Clock, ManualClock
from schemas.errors import AmbiguousWriteError
from schemas.identity import DocId, Document, Source, Tenant
from schemas.records import Chunk, Content, Coordinates, Hide, Mutation, Origin
from schemas.versions import RANKS, Op, Version

TENANT = Tenant("acme")
SOURCE = Source("web")
IDENTITY = IndexIdentity("g1", "i1")
START = datetime(2026, 1, 1, tzinfo=UTC)
DIMENSION = 8


def doc(name: str, tenant: Tenant = TENANT) -> Document:
    """A document of the tests' source."""
    return Document(tenant, SOURCE, DocId(name))


def vector(text: str) -> Vector:
    """A unit vector that texts sharing letters share directions of."""
    sums = np.full(DIMENSION, 0.01, dtype=np.float32)
    for char in text:
        sums[ord(char) % DIMENSION] += 1.0
    return sums / np.float32(np.linalg.norm(sums))


def chunk(document: Document, ordinal: int, text: str, title: str) -> Chunk:
    """A chunk as `prepare` makes it."""
    return Chunk(
        ordinal=ordinal,
        text=text,
        heading_path=(),
        hash=chunk_hash(ChunkSubject(document, text, title, (), "text", "en", ())),
        embedded_hash=text,
        start=10 * ordinal,
        end=10 * ordinal + len(text),
        vector=vector(text).astype("<f4").tobytes(),
    )


def content(document: Document, texts: Iterable[str], title: str = "Title") -> Content:
    """Content of these chunks."""
    chunks = tuple(chunk(document, ordinal, text, title) for ordinal, text in enumerate(texts))
    return Content(
        chunks=chunks,
        content_hash=content_hash(one.hash for one in chunks),
        title=title,
        kind="text",
        language="en",
        pipeline="p1",
    )


def at(offset: int) -> Coordinates:
    """A place in index.mutations."""
    return Coordinates(topic="index.mutations.g1", partition=0, offset=offset)


def mutation(
    offset: int,
    name: str,
    *texts: str,
    op: Op = Op.UPSERT,
    version: int | None = None,
    acl: Iterable[str] | None = None,
    default_acl: Iterable[str] = ("public",),
    title: str = "Title",
    tenant: Tenant = TENANT,
    event_time: datetime | None = None,
) -> PositionedMutation:
    """An upsert of chunks `texts`, a delete or an acl change; `version` is its sequence, the offset by default."""
    document = doc(name, tenant)
    register = content(document, texts, title) if op is Op.UPSERT else None
    return PositionedMutation(
        Mutation(
            tenant=document.tenant,
            source=document.source,
            doc_id=document.doc_id,
            op=op,
            version=Version(1, offset if version is None else version, RANKS[op]),
            content=Content(deleted=True) if op in (Op.DELETE, Op.ERASE) else register,
            acl=None if acl is None else tuple(acl),
            default_acl=tuple(default_acl),
            change=Coordinates(topic="documents.changes", partition=0, offset=offset),
            origin=Origin(connector="webhook", reference=f"m{offset}"),
            event_id=f"e{offset}",
            event_time=event_time,
            received_at=START,
            prepared_at=START,
        ),
        at(offset),
    )


def hide(
    offset: int,
    name: str,
    *,
    version: int,
    op: Op = Op.DELETE,
    acl: Iterable[str] | None = None,
    tenant: Tenant = TENANT,
) -> PositionedHide:
    """What runs ahead of a change with this operation and acl; `version` is its sequence."""
    document = doc(name, tenant)
    return PositionedHide(
        Hide(
            tenant=document.tenant,
            source=document.source,
            doc_id=document.doc_id,
            version=Version(1, version, RANKS[op]),
            deleted=op in (Op.DELETE, Op.ERASE),
            acl=None if acl is None else tuple(acl),
            change=Coordinates(topic="documents.changes", partition=0, offset=version),
            origin=Origin(connector="webhook", reference=f"m{version}"),
            event_id=f"e{version}",
            received_at=START,
            prepared_at=START,
        ),
        Coordinates(topic="index.hides", partition=0, offset=offset),
    )


def hides_of(mutations: Iterable[PositionedMutation]) -> list[PositionedHide]:
    """What runs ahead of these mutations."""
    found: list[PositionedHide] = []
    for item in mutations:
        one = item.mutation
        if one.op in (Op.DELETE, Op.ERASE) or one.acl is not None:
            sequence = one.version.sequence
            found.append(hide(len(found), one.doc_id, version=sequence, op=one.op, acl=one.acl, tenant=one.tenant))
    return found


async def new_index() -> MemoryIndex:
    """An empty index with the tests' tenant."""
    index = MemoryIndex(IDENTITY)
    await index.create(IndexRecord(IDENTITY, {}, {}, DIMENSION, START))
    await index.create_tenant(first_head(TENANT, START))
    return index


def writer_on(
    index: VersionedIndex,
    log: CommitLog,
    name: str = "w",
    clock: Clock | None = None,
    tenant: Tenant = TENANT,
    rows_at_once: int = 100,
) -> TenantWriter:
    """A writer of a tenant, the tests' by default."""
    return TenantWriter(index, log, tenant, clock or ManualClock(), name=name, rows_at_once=rows_at_once)


def question(text: str, *principals: str, tenant: Tenant = TENANT, **fields: Any) -> Question:
    """A question of these principals (public by default)."""
    return Question(tenant, text, vector(text), frozenset(principals or ("public",)), **fields)


Around = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
WRITES = frozenset({"put_head", "drop_heads", "insert_chunks", "insert_documents", "take_over", "emit"})


class Tapped:
    """An index or a log whose calls go through `around(name, call)`: it may fail, pause, or keep a call for later."""

    def __init__(self, target: Any, around: Around) -> None:
        self._target = target
        self._around = around

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def tapped(*args: Any, **kwargs: Any) -> Any:
            return await self._around(name, lambda: found(*args, **kwargs))

        return tapped


@dataclass
class FailAt:
    """Fails call number `number` (from 0), before or after it is applied; counts calls."""

    number: int
    applied: bool
    calls: int = 0

    async def __call__(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Carry the call out, or fail."""
        mine, self.calls = self.calls, self.calls + 1
        if mine == self.number and not self.applied:
            raise AmbiguousWriteError("cut off before")
        result = await call()
        if mine == self.number:
            raise AmbiguousWriteError("cut off after")
        return result


@dataclass
class CutOff:
    """Loses the answer of one call of this name: of the first, or a later one."""

    name: str
    number: int = 1

    async def __call__(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Carry the call out, and fail afterwards where it is the one."""
        result = await call()
        self.number -= name == self.name
        if name == self.name and self.number == 0:
            raise AmbiguousWriteError("cut off")
        return result


@dataclass(frozen=True)
class State:
    """What a document row says, without what an attempt differs in."""

    content: ContentState
    content_version: Version | None
    texts: tuple[str, ...]
    acl: frozenset[str]
    acl_version: Version | None


def reference(mutations: Iterable[PositionedMutation]) -> dict[Document, State]:
    """Registers by version, the first of equal ones: what any order, duplicate or crash must come to."""
    states: dict[Document, State] = {}
    for item in mutations:
        one = item.mutation
        old = states.get(one.document, State(ContentState.ABSENT, None, (), frozenset(), None))
        new = old
        if one.content is not None and (old.content_version is None or one.version > old.content_version):
            new = State(
                ContentState.DELETED if one.content.deleted else ContentState.PRESENT,
                one.version,
                tuple(part.text for part in one.content.chunks),
                old.acl if old.acl_version else frozenset(one.default_acl),
                old.acl_version,
            )
        if one.acl is not None and (old.acl_version is None or one.version > old.acl_version):
            new = State(new.content, new.content_version, new.texts, frozenset(one.acl), one.version)
        if new != old:
            states[one.document] = new
    return states


async def state_of(index: VersionedIndex, row: DocumentRow) -> State:
    """What a row says, its chunk rows read; a missing one is a KeyError."""
    rows = await index.chunks(row.document.tenant, [entry.chunk_id for entry in row.manifest])
    texts = tuple(rows[ChunkId(entry.chunk_id)].text for entry in row.manifest)
    for entry in row.manifest:
        assert set(row.acl) <= set(row.hint) <= set(rows[entry.chunk_id].acl), "a hint narrower than the acl loses hits"
        assert rows[entry.chunk_id].hash == entry.hash
        assert rows[entry.chunk_id].from_seq <= row.from_seq
    return State(row.content, row.content_version, texts, frozenset(row.acl), row.acl_version)


async def states(index: VersionedIndex, published: Published, at_seq: int | None = None) -> dict[Document, State]:
    """State of every document of the tests' source and the head's tenant at a position, read the long way round."""
    position = published.seq if at_seq is None else at_seq
    by_document: dict[Document, list[DocumentRow]] = {}
    async for row in index.source_rows(published.head.tenant, SOURCE):
        by_document.setdefault(row.document, []).append(row)
    found: dict[Document, State] = {}
    for document, rows in by_document.items():
        row_in_force = published.state_at(rows, position)
        if row_in_force is not None:
            found[document] = await state_of(index, row_in_force)
    return found


async def check_whole(
    index: VersionedIndex, log: MemoryCommitLog, wanted: Mapping[Document, State], tenant: Tenant = TENANT
) -> None:
    """The newest state is `wanted`; every seq up to the head is one valid row, with a commit that tells of it."""
    published = await Reader(index, ManualClock()).position(tenant)
    assert await states(index, published) == wanted
    told = {(commit.epoch, commit.seq): commit for commit in log.commits(tenant)}
    for seq in range(1, published.seq + 1):
        valid = [row for row in await index.rows_at(tenant, seq) if published.is_valid(row)]
        assert len(valid) == 1, f"{len(valid)} valid rows at {seq}"
        assert (valid[0].epoch, seq) in told, f"no commit tells of {seq}"
        assert told[valid[0].epoch, seq].mutation == valid[0].mutation
