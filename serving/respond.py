"""The responses of /v1/query and /v1/search, from what the flow gathered."""

from collections.abc import Collection, Sequence
from dataclasses import asdict

from index.model import Moment, Published
from serving.core.compose import Written
from serving.evidence import Evidence, citation, origin
from serving.models import (
    CopyOut,
    Diagnostics,
    PassageDiagnostics,
    Position,
    QueryResponse,
    RefusalOut,
    SearchResponse,
    SearchResult,
)
from serving.turn import Gathered, Refused, Turn


def answered(turn: Turn, gathered: Gathered, context: Sequence[Evidence], written: Written) -> QueryResponse:
    """An answer with its citations."""
    with turn.steps.step("respond"):
        citations = tuple(
            citation(number, context[passage], quotes)
            for number, (passage, quotes) in enumerate(written.cited, start=1)
        )
        return QueryResponse(
            answer=written.answer,
            refusal=None,
            citations=citations,
            position=position(turn, gathered.found.at),
            route=turn.route.value,
            diagnostics=_diagnostics(turn, gathered, {one.passage.chunk_id for one in context}),
            timings_ms=turn.steps.timings_ms(),
            request_id=turn.incoming.request_id,
        )


def refused_query(turn: Turn, refused: Refused) -> QueryResponse:
    """A refusal of /v1/query."""
    gathered = refused.gathered
    return QueryResponse(
        answer=None,
        refusal=_refusal(refused),
        citations=(),
        position=_position_of(turn, refused),
        route=turn.route.value,
        diagnostics=None if gathered is None else _diagnostics(turn, gathered, ()),
        timings_ms=turn.steps.timings_ms(),
        request_id=turn.incoming.request_id,
    )


def recalled(turn: Turn, known: QueryResponse, published: Published) -> QueryResponse:
    """An answer or refusal given before, at the position just read."""
    now = {
        "position": position(turn, published.newest),
        "cached": "exact",
        "timings_ms": turn.steps.timings_ms(),
        "request_id": turn.incoming.request_id,
    }
    return known.model_copy(update=now)


def refused_search(turn: Turn, refused: Refused) -> SearchResponse:
    """A refusal of /v1/search."""
    return SearchResponse(
        results=(),
        refusal=_refusal(refused),
        position=_position_of(turn, refused),
        timings_ms=turn.steps.timings_ms(),
        request_id=turn.incoming.request_id,
    )


def searched(turn: Turn, gathered: Gathered) -> SearchResponse:
    """The best passages, good sources or not: each says which."""
    with turn.steps.step("respond"):
        good = {one.passage.chunk_id for one in gathered.sources}
        results = tuple(
            _result(rank, one, is_source=one.passage.chunk_id in good)
            for rank, one in enumerate(gathered.evidence[: turn.ask.top_k], start=1)
        )
        return SearchResponse(
            results=results,
            refusal=None,
            position=position(turn, gathered.found.at),
            diagnostics=_diagnostics(turn, gathered, ()),
            timings_ms=turn.steps.timings_ms(),
            request_id=turn.incoming.request_id,
        )


def position(turn: Turn, at: Moment) -> Position:
    """Where a response was given at."""
    return Position(
        generation=turn.identity.generation,
        incarnation=turn.identity.incarnation,
        seq=at.seq,
        committed_at=at.committed_at,
    )


def _position_of(turn: Turn, refused: Refused) -> Position | None:
    if refused.gathered is not None:
        return position(turn, refused.gathered.found.at)
    return None


def _refusal(refused: Refused) -> RefusalOut:
    return RefusalOut(reason=refused.refusal.reason, detail=refused.refusal.detail)


def _result(rank: int, evidence: Evidence, *, is_source: bool) -> SearchResult:
    row, passage = evidence.row, evidence.passage
    before, after = evidence.neighbours
    return SearchResult(
        rank=rank,
        chunk_id=passage.chunk_id,
        source=row.document.source,
        doc_id=evidence.doc_id,
        part_of=evidence.part_of,
        title=evidence.whole.title,
        heading_path=passage.heading_path,
        url=row.url,
        version=None if row.content_version is None else str(row.content_version),
        kind=evidence.whole.kind,
        language=row.language,
        labels=row.labels,
        event_time=row.event_time,
        text=passage.text,
        cosine=round(passage.cosine, 4),
        support=round(passage.support, 4),
        is_source=is_source,
        before=before,
        after=after,
        also_in=tuple(_copy(one) for one in evidence.copies),
        origin=origin(evidence),
    )


def _copy(evidence: Evidence) -> CopyOut:
    return CopyOut(
        chunk_id=evidence.passage.chunk_id,
        source=evidence.row.document.source,
        doc_id=evidence.doc_id,
        part_of=evidence.part_of,
        url=evidence.row.url,
    )


def _diagnostics(turn: Turn, gathered: Gathered, in_context: Collection[str]) -> Diagnostics | None:
    if not turn.ask.debug:
        return None
    good = {one.passage.chunk_id for one in gathered.sources}
    return Diagnostics(
        vector_hits=len(gathered.found.vector),
        lexical_hits=len(gathered.found.lexical),
        thresholds=asdict(turn.thresholds),
        passages=tuple(
            PassageDiagnostics(
                chunk_id=one.passage.chunk_id,
                source=one.row.document.source,
                doc_id=one.doc_id,
                cosine=round(one.passage.cosine, 4),
                support=round(one.passage.support, 4),
                is_source=one.passage.chunk_id in good,
                in_context=one.passage.chunk_id in in_context,
            )
            for one in gathered.evidence
        ),
    )
