"""Read at a position: two legs, then the document rows of the hits, then - for the survivors alone - their text
(design §5).

A hit counts only if the manifest of the document row in force at the position lists it and today's permissions
allow it. The legs' own filters are hints that keep them full of what will survive; the document row decides.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from index.filters import NO_FILTERS, Filters
from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, Moment, Published, Seq, Vector
from index.moments import AsOf, Moments
from index.newest_position import NewestPosition
from index.port import Hit, VersionedIndex
from index.states import NewestStates, history_before, states_at
from index.times import is_within, within_times
from index.undisturbed import Undisturbed
from runtime.clock import Clock
from schemas.errors import TransientError
from schemas.identity import Document, Source, Tenant
from schemas.versions import Rank, Version

READ_SECONDS = 10.0
"""L of the design: a read older than this since its head read starts over, and nothing younger than 2 L is swept."""

_WIDENINGS = (4, 16, 64)
_MOST_HITS = 10_000
"""What the store answers at most."""
_TEXT_PAUSES = (0.02, 0.08)
_POLL_SECONDS = (0.002, 0.002, 0.003, 0.005, 0.01, 0.02)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the index.

    `vector`: shape (dimension,), float32, unit length; or a future of it, so that reading the heads and the lexical leg
    need not wait for the model.
    """

    tenant: Tenant
    text: str
    vector: Vector | asyncio.Future[Vector]
    principals: frozenset[str]
    """Groups, user:<sub> and public; never empty."""
    filters: Filters = NO_FILTERS
    as_of: AsOf | None = None
    history: bool = False
    """Whether the principal may read, as of then, documents deleted since."""
    leg_size: int = 32


@dataclass(frozen=True, slots=True)
class Found:
    """A survivor of one leg. `score` is the leg's own: raw cosine, or BM25."""

    chunk_id: ChunkId
    document: Document
    score: float


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Both legs at one position, best first, and the state of every document in them."""

    at: Moment
    vector: tuple[Found, ...]
    lexical: tuple[Found, ...]
    rows: Mapping[Document, DocumentRow]
    widened: Mapping[str, int]
    """How often each leg (`vector`, `lexical`) was starved by dropped hits and asked again: for operators alone, it
    tells that something was dropped.
    """


@dataclass(slots=True)
class _View:
    """States read so far at one position, and today's, of the documents that hits named."""

    published: Published
    at: Seq
    then: dict[Document, DocumentRow] = field(default_factory=dict)
    today: dict[Document, DocumentRow] = field(default_factory=dict)
    asked: set[Document] = field(default_factory=set)


class Reader:
    """Reads one incarnation; safe for concurrent calls."""

    def __init__(self, index: VersionedIndex, clock: Clock, *, read_seconds: float = READ_SECONDS) -> None:
        self._index = index
        self._position = NewestPosition(index)
        self._newest = NewestStates(index)
        self._moments = Moments(index, clock)
        self._undisturbed = Undisturbed(self.position, clock)
        self._clock = clock
        self._read_seconds = read_seconds

    async def position(self, tenant: Tenant) -> Published:
        """What is published now. Raises UnknownTenantError, TransientError, BrokenIndexError (no head: stop and
        alert).
        """
        return await self._position.read(tenant)

    async def retrieve(self, question: Question, published: Published | None = None) -> Retrieved:
        """Both legs at the newest position, or as of an earlier one. `published`: the newest position, where it has
        just been read; a read that has to start over reads it anew.

        Raises FuturePositionError, HistoryUnavailableError, UnknownTenantError, TransientError.
        """
        return await self._in_time(lambda known: self._retrieve(question, known), published)

    async def _in_time(
        self, read: Callable[[Published | None], Awaitable[Retrieved]], published: Published | None
    ) -> Retrieved:
        """A read that took longer than L starts over, once: rows it relied on may have been swept."""
        for known in (published, None):
            started = self._clock.monotonic()
            result = await read(known)
            if self._clock.monotonic() - started <= self._read_seconds:
                return result
        raise TransientError(f"a read took longer than {self._read_seconds:g} s twice")

    async def _retrieve(self, question: Question, published: Published | None) -> Retrieved:
        if question.as_of is None:
            return await self._retrieve_on(published or await self.position(question.tenant), question)
        return await self._undisturbed.read(
            question.tenant, lambda before: self._retrieve_on(before, question), published
        )

    async def _retrieve_on(self, published: Published, question: Question) -> Retrieved:
        at = await self._moments.at(published, question.as_of)
        view = _View(published, at.seq)
        where = question.filters.leg(at.seq, question.principals)
        tenant, size = question.tenant, question.leg_size

        async def vector_leg(limit: int) -> tuple[Hit, ...]:
            vector = await _vector(question)
            return await within_times(
                lambda where, limit: self._index.vector_leg(tenant, vector, where, limit), where, limit, _MOST_HITS
            )

        async def lexical_leg(limit: int) -> tuple[Hit, ...]:
            return await within_times(
                lambda where, limit: self._index.lexical_leg(tenant, question.text, where, limit),
                where,
                limit,
                _MOST_HITS,
            )

        first_vector, first_lexical = await asyncio.gather(vector_leg(size), lexical_leg(size))
        await self._look_up(view, question, (*first_vector, *first_lexical))
        vector, vector_rounds = await self._fill(view, question, first_vector, vector_leg)
        lexical, lexical_rounds = await self._fill(view, question, first_lexical, lexical_leg)
        named = {found.document for found in (*vector, *lexical)}
        rows = {document: row for document, row in view.then.items() if document in named}
        return Retrieved(at, vector, lexical, rows, {"vector": vector_rounds, "lexical": lexical_rounds})

    async def _fill(
        self, view: _View, question: Question, hits: tuple[Hit, ...], leg: Callable[[int], Awaitable[tuple[Hit, ...]]]
    ) -> tuple[tuple[Found, ...], int]:
        """Drop what does not count; where drops starve the leg, widen it and ask again, bounded.

        A leg shorter than asked is no proof of its end (rows being removed are skipped); only a widening that brings
        nothing new is.
        """
        hits = _timely(view, question, hits)
        survivors = _survivors(view, question, hits)
        for rounds, factor in enumerate(_WIDENINGS):
            if len(survivors) >= question.leg_size or len(survivors) == len(hits):
                return survivors[: question.leg_size], rounds
            asked = await leg(min(question.leg_size * factor, _MOST_HITS))
            await self._look_up(view, question, asked)
            wider = _timely(view, question, asked)
            if {hit.chunk_id for hit in wider} <= {hit.chunk_id for hit in hits}:
                return survivors, rounds + 1
            hits, survivors = wider, _survivors(view, question, wider)
        return survivors[: question.leg_size], len(_WIDENINGS)

    async def _look_up(self, view: _View, question: Question, hits: Collection[Hit]) -> None:
        """Read the states of documents not read yet: at the position, and today's."""
        new = {hit.document for hit in hits} - view.asked
        if not new:
            return
        view.asked |= new
        today = await self._newest.read(view.published, new)
        view.today |= today
        if view.at == view.published.seq:
            view.then |= today
        else:
            view.then |= await states_at(self._index, view.published, question.tenant, new, view.at)

    async def texts(
        self, tenant: Tenant, ids: Collection[ChunkId], *, vectors: bool = False
    ) -> Mapping[ChunkId, ChunkRow]:
        """Text of survivors. A row that was removed meanwhile is missing; one that is being closed may be, for moments:
        what is missing is asked for again.
        """
        found: dict[ChunkId, ChunkRow] = {}
        for pause in (0.0, *_TEXT_PAUSES):
            missing = set(ids) - found.keys()
            if missing:
                await asyncio.sleep(pause)
                found |= await self._index.chunks(tenant, missing, vectors=vectors)
        return found

    async def document(
        self, document: Document, principals: frozenset[str], *, as_of: AsOf | None = None, history: bool = False
    ) -> tuple[Moment, DocumentRow | None]:
        """One document's state and the position it was read at; no state whether it is absent, deleted or forbidden:
        today, or to all of today's groups then.
        """

        async def read(published: Published) -> tuple[Moment, DocumentRow | None]:
            return await self._document_on(published, document, principals, as_of=as_of, history=history)

        if as_of is None:
            return await read(await self.position(document.tenant))
        return await self._undisturbed.read(document.tenant, read)

    async def _document_on(
        self,
        published: Published,
        document: Document,
        principals: frozenset[str],
        *,
        as_of: AsOf | None,
        history: bool,
    ) -> tuple[Moment, DocumentRow | None]:
        at = await self._moments.at(published, as_of)
        today = (await states_at(self._index, published, document.tenant, [document], published.seq)).get(document)
        if today is None or not _may_read(today, principals, history=history):
            return at, None
        if at.seq == published.seq:
            return at, today if today.is_present else None
        then = (await states_at(self._index, published, document.tenant, [document], at.seq)).get(document)
        readable = then is not None and then.is_present and _was_written_for(then, principals)
        return at, then if readable else None

    async def versions(
        self,
        document: Document,
        principals: frozenset[str],
        *,
        limit: int,
        below: Seq | None = None,
        history: bool = False,
    ) -> tuple[Moment, tuple[DocumentRow, ...]]:
        """The document's audit trail, newest first: up to `limit` rows, fewer only at its end. Empty whether it is
        absent or forbidden; rows written for none of `principals` are left out.
        """

        async def read(published: Published) -> tuple[Moment, tuple[DocumentRow, ...]]:
            today = (await states_at(self._index, published, document.tenant, [document], published.seq)).get(document)
            if today is None or not _may_read(today, principals, history=history):
                return published.newest, ()
            ceiling = published.seq + 1 if below is None else min(below, published.seq + 1)

            def counts(row: DocumentRow) -> bool:
                return published.is_valid(row) and _was_written_for(row, principals)

            return published.newest, await history_before(self._index, document, ceiling, limit=limit, counts=counts)

        return await self._undisturbed.read(document.tenant, read)

    async def wait_for(
        self,
        document: Document,
        register: str,
        version: Version,
        *,
        until: float,
        readers: frozenset[str] | None = None,
    ) -> bool:
        """Wait until a published row has `register` (content or acl) at `version` or higher; `until` is monotonic time.

        A hide satisfies a delete's token, never an upsert's. With `readers`, what was never theirs to read is waited
        for like what does not exist.
        """
        seen: Seq = -1
        for attempt in range(1_000_000_000):
            published = await self.position(document.tenant)
            if published.seq != seen:
                seen = published.seq
                row = (await states_at(self._index, published, document.tenant, [document], seen)).get(document)
                if row is not None and _reached(row, register, version) and _concerns(row, readers):
                    return True
            pause = _POLL_SECONDS[min(attempt, len(_POLL_SECONDS) - 1)]
            if self._clock.monotonic() + pause > until:
                return False
            await asyncio.sleep(pause)
        return False

    async def reached(self, tenant: Tenant, wanted: Mapping[Document, tuple[str, Version]]) -> frozenset[Document]:
        """Those of `wanted` (document -> register, version) that a published row has at that version or higher."""
        published = await self.position(tenant)
        rows = await states_at(self._index, published, tenant, wanted, published.seq)
        return frozenset(document for document, row in rows.items() if _reached(row, *wanted[document]))

    async def source_documents(self, tenant: Tenant, source: Source) -> dict[Document, DocumentRow]:
        """Newest state of every document of a source, present or not."""
        published = await self.position(tenant)
        newest: dict[Document, DocumentRow] = {}
        async for row in self._index.source_rows(tenant, source):
            known = newest.get(row.document)
            state = published.state_at((row,) if known is None else (known, row), published.seq)
            if state is not None:
                newest[row.document] = state
        return newest


async def _vector(question: Question) -> Vector:
    given = question.vector
    return await given if isinstance(given, asyncio.Future) else given


def _timely(view: _View, question: Question, hits: tuple[Hit, ...]) -> tuple[Hit, ...]:
    """The hits whose document is of the time asked for; one without a state is left to `_survivors`."""
    filters = question.filters

    def is_timely(row: DocumentRow | None) -> bool:
        return row is None or is_within(row.event_time, filters.after, filters.before)

    return tuple(hit for hit in hits if is_timely(view.then.get(hit.document)))


def _survivors(view: _View, question: Question, hits: Collection[Hit]) -> tuple[Found, ...]:
    """Hits that the manifest in force lists and that today's permissions allow."""
    listed: dict[Document, frozenset[ChunkId]] = {}
    survivors = []
    for hit in hits:
        if hit.document not in listed:
            listed[hit.document] = _listed(view, question, hit.document)
        if hit.chunk_id in listed[hit.document]:
            survivors.append(Found(hit.chunk_id, hit.document, hit.score))
    return tuple(survivors)


def _listed(view: _View, question: Question, document: Document) -> frozenset[ChunkId]:
    then, today = view.then.get(document), view.today.get(document)
    if then is None or today is None or not then.is_present:
        return frozenset()
    if not _may_read(today, question.principals, history=question.history and view.at != view.published.seq):
        return frozenset()
    return then.chunk_ids(question.filters.parts_of(document))


def _may_read(today: DocumentRow, principals: frozenset[str], *, history: bool) -> bool:
    """Today's permissions; a document deleted since needs the history scope."""
    return today.permits(principals) and (today.is_present or history)


def _was_written_for(then: DocumentRow, principals: frozenset[str]) -> bool:
    """The hints of then: what was written for a group stays unreadable to those who have only other ones since."""
    return any(principal in principals for principal in then.hint)


def _concerns(row: DocumentRow, readers: frozenset[str] | None) -> bool:
    """Whether it is or was theirs to read: the hint keeps those that a revocation took it from."""
    return readers is None or not readers.isdisjoint((*row.acl, *row.hint))


def _reached(row: DocumentRow, register: str, version: Version) -> bool:
    if register == "acl":
        return row.acl_version is not None and row.acl_version >= version
    if row.content_version is not None and row.content_version >= version:
        return True
    return version.rank >= Rank.DELETE and row.hide_deleted is not None and row.hide_deleted >= version
