"""Requests and responses of the query API; OpenAPI is generated from these. Frozen, unknown members forbidden."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from serving.core.refusal import Reason

MAX_SEQ = 2**53 - 2
MAX_WAIT_MS = 10_000
MAX_TOP_K = 50


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def point_in_time(text: str) -> datetime:
    """A time as RFC 3339 writes it, with its zone. Raises ValueError, which says how."""
    if _RFC_3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError:
            pass
    raise ValueError("a time is RFC 3339 with a zone, such as 2026-11-21T12:00:00Z")


def _time_of_text(value: object) -> object:
    return point_in_time(value) if isinstance(value, str) else value


Names = Annotated[
    tuple[Annotated[StrictStr, Field(min_length=1, max_length=1024)], ...],
    BeforeValidator(_one_or_more, json_schema_input_type=str | list[str]),
    Field(max_length=64),
]
"""One value or a list of them; any may match."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FiltersIn(_Model):
    """Narrow the search; all that are given must hold."""

    source: Names = ()
    kind: Names = ()
    language: Names = ()
    labels: dict[StrictStr, StrictStr] = Field(default={}, max_length=16)
    doc_id: Names = Field(default=(), description="needs `source`")
    after: AwareDatetime | None = Field(None, description="event time at or after this")
    before: AwareDatetime | None = Field(None, description="event time before this")


_NO_FILTERS = FiltersIn()
"""Frozen, so one for all: a default would be copied for every request."""


class PositionIn(_Model):
    """A position as a response gave it; generation and incarnation, where given, must be the live ones."""

    seq: Annotated[StrictInt, Field(ge=0, le=MAX_SEQ)]
    generation: StrictStr | None = None
    incarnation: StrictStr | None = None
    committed_at: datetime | None = Field(None, description="ignored: a response's position can be sent back as it is")


AsOf = Annotated[
    Annotated[StrictInt, Field(ge=0, le=MAX_SEQ)] | PositionIn | Annotated[AwareDatetime, Field(strict=True)] | None,
    BeforeValidator(_time_of_text, json_schema_input_type=int | PositionIn | AwareDatetime | None),
]


class SearchRequest(_Model):
    """A question to retrieve for."""

    question: StrictStr = Field(description="1 to 4,000 characters after trimming")
    top_k: Annotated[StrictInt, Field(ge=1, le=MAX_TOP_K)] = 8
    filters: FiltersIn = Field(default_factory=lambda: _NO_FILTERS)
    as_of: AsOf = Field(
        None, description="answer as of a seq, of an earlier response's position, or of a time (RFC 3339 with a zone)"
    )
    at_least: Annotated[
        tuple[Annotated[StrictStr, Field(min_length=1, max_length=4096)], ...],
        BeforeValidator(_one_or_more, json_schema_input_type=str | list[str]),
        Field(max_length=64),
    ] = Field(default=(), description="freshness tokens of the webhook's 202: wait until these changes are answerable")
    wait_ms: Annotated[StrictInt, Field(ge=0, le=MAX_WAIT_MS)] = 1000
    debug: StrictBool = False


class QueryRequest(SearchRequest):
    """A question to answer."""

    cache: Literal["use", "bypass"] = "use"
    stream: StrictBool = False


class TokenRequest(_Model):
    """A change to wait for with `at_least`: of which document, and from which version on.

    For a row, take pg_current_wal_insert_lsn() in its transaction before the write: its change is at it or beyond.
    """

    source: StrictStr
    doc_id: StrictStr | None = None
    key: Annotated[dict[StrictStr, StrictStr | StrictInt], Field(min_length=1, max_length=16)] | None = Field(
        None, description="instead of doc_id: the row's key columns and their values"
    )
    version: StrictInt | None = Field(
        None, description="the source's own number; of a source versioned by the log, an offset"
    )
    lsn: StrictStr | StrictInt | None = Field(
        None, description="instead of version, for a row: 16/B374D848, or the number"
    )
    op: Literal["upsert", "delete"] = Field(
        "upsert", description="delete: content gone is enough, even ahead of the queue"
    )
    register_: Literal["content", "acl"] = Field("content", alias="register", description="what has to have changed")


class TokenResponse(_Model):
    """A freshness token for `at_least`."""

    token: str
    request_id: str


class Position(_Model):
    """The place in the tenant's log that a response was given at."""

    generation: str
    incarnation: str
    seq: int
    committed_at: datetime | None
    """When the position was published; null for position 0 once there are others."""


class Origin(_Model):
    """Where a quote comes from: the record in the log, how it came in, and the place in the document: the page on which
    it begins, and the span of its chunk.
    """

    topic: str
    partition: int
    offset: int
    connector: str
    reference: str
    page: int | None
    start: int
    end: int


class Citation(_Model):
    """What a sentence of the answer stands on."""

    n: int
    chunk_id: str
    source: str
    doc_id: str
    part_of: str | None
    """Of an attachment the doc_id of its message, which url, version and the record in the log are of."""
    title: str
    kind: str
    url: str | None
    version: str | None
    quote: str
    origin: Origin


class RefusalOut(_Model):
    """Why there is no answer."""

    reason: Reason
    detail: str


class PassageDiagnostics(_Model):
    """What the deciders saw of one passage; never its text."""

    chunk_id: str
    source: str
    doc_id: str
    cosine: float
    support: float
    is_source: bool
    in_context: bool


class Diagnostics(_Model):
    """How the answer came about."""

    vector_hits: int
    lexical_hits: int
    thresholds: dict[str, float]
    passages: tuple[PassageDiagnostics, ...]


class Response(_Model):
    """What every answer and search has."""

    refusal: RefusalOut | None
    position: Position | None
    timings_ms: dict[str, float]
    diagnostics: Diagnostics | None = None
    request_id: str


class QueryResponse(Response):
    """An answer with its sources, or a refusal."""

    answer: str | None
    citations: tuple[Citation, ...]
    cached: Literal[False, "exact", "semantic"] = False
    degraded: bool = False
    route: str


class CopyOut(_Model):
    """A chunk that says the same, under the same title and headings."""

    chunk_id: str
    source: str
    doc_id: str
    part_of: str | None
    url: str | None


class SearchResult(_Model):
    """One passage, best first."""

    rank: int
    chunk_id: str
    source: str
    doc_id: str
    part_of: str | None
    """Of an attachment the doc_id of its message."""
    title: str
    heading_path: tuple[str, ...]
    url: str | None
    version: str | None
    kind: str
    language: str | None
    labels: tuple[str, ...]
    event_time: datetime | None
    text: str
    cosine: float
    support: float
    is_source: bool
    """Whether it is good enough to answer from."""
    before: str | None
    after: str | None
    """The chunks before and after it; `GET /v1/documents/{source}/{doc_id}?text=true` has their text."""
    also_in: tuple[CopyOut, ...]
    """Where else the very same stands; copies take no place of their own."""
    origin: Origin


class SearchResponse(Response):
    """Passages, or a refusal."""

    results: tuple[SearchResult, ...]


class ChunkOut(_Model):
    """One chunk of a document, in order."""

    chunk_id: str
    ordinal: int
    page: int | None
    start: int
    end: int
    heading_path: tuple[str, ...]
    text: str


class RecordOut(_Model):
    """A record in the log."""

    topic: str
    partition: int
    offset: int


class VersionOut(_Model):
    """One state of a document: what happened, when, and because of which record."""

    seq: int
    op: str
    version: str | None
    acl_version: str | None
    present: bool
    title: str
    content_hash: str
    chunks: int
    event_id: str
    actor: str | None
    event_time: datetime | None
    received_at: datetime
    committed_at: datetime
    change: RecordOut
    mutation: RecordOut
    connector: str
    reference: str


class AttachmentOut(_Model):
    """A document within a document: read it under this doc_id."""

    doc_id: str
    title: str
    kind: str


class DocumentResponse(_Model):
    """A document, or an attachment of one, as it is at a position; with ?text=true also its chunks.

    Of an attachment, doc_id, title, kind and chunks are its own; all else, `state` included, is its message's.
    """

    source: str
    doc_id: str
    part_of: str | None
    """Of an attachment the doc_id of its message."""
    attachments: tuple[AttachmentOut, ...]
    """Those that were read; their chunks are not among the message's."""
    title: str
    url: str | None
    kind: str
    language: str | None
    labels: tuple[str, ...]
    pipeline: str
    state: VersionOut
    chunks: tuple[ChunkOut, ...] | None = None
    position: Position
    request_id: str


class VersionsResponse(_Model):
    """A document's states, newest first, of an attachment its message's; `next` is the `below` of the next page."""

    source: str
    doc_id: str
    part_of: str | None
    versions: tuple[VersionOut, ...]
    next: int | None
    position: Position
    request_id: str


class ChangeOut(_Model):
    """One commit that the caller may know of; of a document that is gone for the caller, not how."""

    seq: int
    position: Position
    """The position that it became visible with."""
    source: str
    doc_id: str
    op: str
    """upsert, acl, or `gone`: deleted, or no longer the caller's to read."""
    present: bool
    title: str | None
    version: str | None
    committed_at: datetime
    change: RecordOut


class ProblemOut(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str | None = None
