"""The flow of a question, top to bottom, each step with its time in the response:

authenticate -> guard input -> route -> wait for changes -> position -> cache -> limit -> embed -> retrieve -> fuse ->
fetch -> rerank -> threshold -> context -> generate -> guard output -> cache -> respond. /v1/search has no cache, and
leaves behind the threshold.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from index.manifest import ChunkId
from index.model import ChunkRow, IndexIdentity, Published, Vector
from index.moments import FuturePositionError, HistoryUnavailableError
from index.reader import Question, Reader, Retrieved
from runtime.clock import Clock
from runtime.metrics import QUERY_REFUSALS, QUERY_WIDENINGS, Metrics
from schemas.errors import UnknownTenantError
from serving.auth import Authenticator, require
from serving.caller import HISTORY, QUERY, Caller
from serving.copies import collapsed, said
from serving.core.compose import write
from serving.core.context import choose
from serving.core.extract import extract
from serving.core.fuse import fuse
from serving.core.guards import input_refusal, supported
from serving.core.refusal import Reason, refusal
from serving.core.rerank import rerank
from serving.core.route import Route, route
from serving.core.threshold import Thresholds
from serving.evidence import Evidence, gather
from serving.incoming import Ask, OpenToken, read_query, read_search, stale_position
from serving.limit import Gate
from serving.models import QueryResponse, SearchResponse
from serving.problems import Problem, ProblemError, unavailable
from serving.questions import Questions
from serving.recall import Recall
from serving.respond import answered, refused_query, refused_search, searched
from serving.steps import Steps
from serving.turn import Gathered, Incoming, Refused, Turn

LEG_SIZE = 24
FETCHED = 12
"""Fused candidates whose text is fetched; as many as top_k, if that is more. Copies of another count once."""
_WIDER = 4
"""Where copies of a few passages fill the legs, they are asked once more, this much longer."""

ReadBody = Callable[[bytes, Caller, IndexIdentity, OpenToken], Ask]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the flow is built of."""

    reader: Reader
    recall: Recall
    identity: IndexIdentity
    questions: Questions
    authenticator: Authenticator
    open_token: OpenToken
    gate: Gate
    clock: Clock
    metrics: Metrics
    thresholds: Thresholds


class Answering:
    """Answers questions from one incarnation; safe for concurrent calls."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def answer(self, incoming: Incoming) -> QueryResponse:
        """One answer or refusal. Raises ProblemError, TransientError, BrokenIndexError."""
        turn = self._enter(incoming, read_query)
        refused = self._guard_input(turn) or await self._wait(turn)
        if refused is not None:
            return refused_query(turn, self._count(turn, refused))
        asked = await self._parts.recall.ask(turn)
        if isinstance(asked, QueryResponse):
            return self._again(turn, asked)
        answer = self._answer_from(turn, await self._gather(turn, None if asked is None else asked.published))
        if asked is not None:
            self._parts.recall.keep(asked, answer)
        return answer

    def _again(self, turn: Turn, answer: QueryResponse) -> QueryResponse:
        """An answer out of the cache."""
        noted = turn.incoming.noted
        noted.cached = True
        noted.seq = answer.position.seq if answer.position is not None else None
        if answer.refusal is not None:
            self._count_refusal(turn, answer.refusal.reason)
        return answer

    def _answer_from(self, turn: Turn, gathered: Gathered | Refused) -> QueryResponse:
        """Generate from what was gathered, and guard it."""
        if isinstance(gathered, Refused):
            return refused_query(turn, self._count(turn, gathered))
        context = self._choose_context(turn, gathered)
        with turn.steps.step("generate"):
            passages = [evidence.passage for evidence in context]
            picks = extract(turn.ask.question, passages, comparing=turn.route is Route.COMPARISON)
        with turn.steps.step("guard_output"):
            picks = supported(picks, [passage.text for passage in passages])
        if not picks:
            refused = Refused(refusal(Reason.NO_SOURCE), gathered)
            return refused_query(turn, self._count(turn, refused))
        return answered(turn, gathered, context, write(picks))

    async def search(self, incoming: Incoming) -> SearchResponse:
        """Passages or a refusal. Raises ProblemError, TransientError, BrokenIndexError."""
        turn = self._enter(incoming, read_search)
        gathered = await self._wait(turn) or await self._gather(turn)
        if isinstance(gathered, Refused):
            return refused_search(turn, self._count(turn, gathered))
        return searched(turn, gathered)

    def _enter(self, incoming: Incoming, read: ReadBody) -> Turn:
        """Authenticate, read the body, route."""
        parts = self._parts
        steps = Steps(parts.clock, parts.metrics)
        with steps.step("authenticate"):
            caller = parts.authenticator.caller(incoming.headers)
            incoming.noted.tenant, incoming.noted.subject_hash = caller.tenant, caller.subject_hash
            require(caller, QUERY)
        with steps.step("guard_input"):
            ask = read(incoming.body, caller, parts.identity, parts.open_token)
        with steps.step("route"):
            way = route(ask.question)
        incoming.noted.route = way.value
        return Turn(caller, ask, way, steps, incoming, parts.identity, parts.thresholds)

    def _guard_input(self, turn: Turn) -> Refused | None:
        with turn.steps.step("guard_input"):
            refused = input_refusal(turn.ask.question)
        return None if refused is None else Refused(refused)

    async def _wait(self, turn: Turn) -> Refused | None:
        """Wait for the changes that at_least names, without a place to run."""
        stale = stale_position(turn.ask)
        if stale is not None:
            return Refused(stale)
        if not turn.ask.at_least:
            return None
        until = self._parts.clock.monotonic() + turn.ask.wait_seconds
        try:
            with turn.steps.step("wait_for_changes"), self._parts.gate.waiting():
                for change in turn.ask.at_least:
                    readers = turn.caller.principals if change.stated else None
                    if not await self._parts.reader.wait_for(
                        change.document, change.register, change.version, until=until, readers=readers
                    ):
                        return Refused(refusal(Reason.NOT_YET_INDEXED))
        except UnknownTenantError:
            return Refused(refusal(Reason.NO_SOURCE))
        return None

    async def _gather(self, turn: Turn, published: Published | None = None) -> Gathered | Refused:
        """From the position to the threshold; every refusal that the index or its history is the reason for."""
        try:
            return await self._gather_in_place(turn, published)
        except UnknownTenantError:
            return Refused(refusal(Reason.NO_SOURCE))
        except HistoryUnavailableError as error:
            return Refused(refusal(Reason.HISTORY_UNAVAILABLE, f"{str(error).capitalize()}."))
        except FuturePositionError as error:
            detail = f"as_of is in the future: the newest position is {error.newest}."
            raise ProblemError(Problem(400, error.reason, detail, "as_of", {"newest": error.newest})) from None

    async def _gather_in_place(self, turn: Turn, published: Published | None) -> Gathered | Refused:
        gate = self._parts.gate
        async with gate.place(turn.steps):
            try:
                async with asyncio.timeout(gate.limits.request_seconds):
                    async with self._embedding(turn) as vector:
                        found, evidence = await self._find(turn, vector, published, max(LEG_SIZE, turn.ask.top_k))
            except TimeoutError:
                raise unavailable() from None
        return self._judge(turn, found, evidence)

    @asynccontextmanager
    async def _embedding(self, turn: Turn) -> AsyncIterator[asyncio.Future[Vector]]:
        """Embed the question beside what retrieval can do without its vector."""
        embedding = asyncio.ensure_future(self._embed(turn))
        try:
            yield embedding
        finally:
            embedding.cancel()

    async def _embed(self, turn: Turn) -> Vector:
        with turn.steps.step("embed"):
            return await self._parts.questions.vector(turn.ask.question)

    async def _find(
        self, turn: Turn, vector: asyncio.Future[Vector], published: Published | None, leg_size: int
    ) -> tuple[Retrieved, tuple[Evidence, ...]]:
        """Retrieve and fetch; once more where copies leave too little of what there may be."""
        found = await self._retrieve(turn, vector, published, leg_size)
        evidence = await self._fetch(turn, await vector, found)
        is_full = leg_size in (len(found.vector), len(found.lexical))
        if is_full and len(evidence) < turn.ask.top_k:
            found = await self._retrieve(turn, vector, published, leg_size * _WIDER)
            evidence = await self._fetch(turn, await vector, found)
        return found, evidence

    async def _retrieve(
        self, turn: Turn, vector: asyncio.Future[Vector], published: Published | None, leg_size: int
    ) -> Retrieved:
        """Both legs at a position, permissions and filters inside the query."""
        question = Question(
            tenant=turn.caller.tenant,
            text=turn.ask.question,
            vector=vector,
            principals=turn.caller.principals,
            filters=turn.ask.filters,
            as_of=turn.ask.as_of,
            history=HISTORY in turn.caller.scopes,
            leg_size=leg_size,
        )
        with turn.steps.step("retrieve"):
            found = await self._parts.reader.retrieve(question, published)
        noted = turn.incoming.noted
        noted.seq, noted.hits = found.at.seq, len({hit.chunk_id for hit in (*found.vector, *found.lexical)})
        for leg, times in found.widened.items():
            if times:
                self._parts.metrics.count(QUERY_WIDENINGS, times, leg=leg)
        return found

    async def _fetch(self, turn: Turn, vector: Vector, found: Retrieved) -> tuple[Evidence, ...]:
        """Fuse the legs and fetch the text of the best, best first; copies of one passage count once."""
        with turn.steps.step("fuse"):
            ranked = fuse([hit.chunk_id for hit in found.vector], [hit.chunk_id for hit in found.lexical])
        with turn.steps.step("fetch"):
            wanted = max(FETCHED, turn.ask.top_k)
            chunks: dict[ChunkId, ChunkRow] = {}
            looked = 0
            while said(chunks) < wanted and looked < len(ranked):
                # As many again as there were, so that a thousand copies take a few rounds.
                chunks |= await self._texts(turn, found, ranked[looked : max(wanted, 2 * looked)])
                looked = max(wanted, 2 * looked)
        with turn.steps.step("rerank"):
            evidence = collapsed(gather(turn.ask.question, vector, ranked[:looked], found, chunks))[:wanted]
            order = rerank([one.passage for one in evidence])
        return tuple(evidence[place] for place in order)

    async def _texts(self, turn: Turn, found: Retrieved, ids: Sequence[ChunkId]) -> Mapping[ChunkId, ChunkRow]:
        by_words_alone = {*ids} - {hit.chunk_id for hit in found.vector}
        return await self._parts.reader.texts(turn.caller.tenant, ids, vectors=bool(by_words_alone))

    def _judge(self, turn: Turn, found: Retrieved, evidence: tuple[Evidence, ...]) -> Gathered:
        with turn.steps.step("threshold"):
            sources = tuple(one for one in evidence if turn.thresholds.accepts(one.passage))
        return Gathered(found, evidence, sources)

    def _choose_context(self, turn: Turn, gathered: Gathered) -> tuple[Evidence, ...]:
        with turn.steps.step("context"):
            chosen = choose(turn.ask.question, [one.passage for one in gathered.sources], turn.ask.top_k)
            by_id = {one.passage.chunk_id: one for one in gathered.sources}
        return tuple(by_id[passage.chunk_id] for passage in chosen)

    def _count(self, turn: Turn, refused: Refused) -> Refused:
        self._count_refusal(turn, refused.refusal.reason)
        return refused

    def _count_refusal(self, turn: Turn, reason: Reason) -> None:
        turn.incoming.noted.refusal = reason.value
        self._parts.metrics.count(QUERY_REFUSALS, reason=reason.value)
