"""Reads a request's body into what is asked: every mistake becomes a 400 that names the member and what is allowed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from index.filters import Filters
from index.model import IndexIdentity
from index.moments import AsOf
from schemas.errors import InvalidNameError, PermanentError
from schemas.identity import Document, Tenant, source_name
from schemas.versions import Version
from serving.caller import Caller
from serving.core.guards import checked_question
from serving.core.parts import meant
from serving.core.refusal import Reason, Refusal, refusal
from serving.models import FiltersIn, PositionIn, QueryRequest, SearchRequest
from serving.problems import ProblemError, bad_request

Model = TypeVar("Model", bound=BaseModel)


class Opened(Protocol):
    """What a freshness token says."""

    @property
    def document(self) -> Document: ...

    @property
    def register(self) -> str: ...

    @property
    def version(self) -> Version: ...

    @property
    def stated(self) -> bool: ...


OpenToken = Callable[[str, Tenant], Opened]
"""Opens a sealed freshness token of a tenant; raises PermanentError for any other."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that passed the door."""

    question: str
    top_k: int
    filters: Filters
    as_of: AsOf | None
    other_build: bool
    """The as-of position is of another generation or incarnation: there is no history to read."""
    at_least: tuple[Opened, ...]
    wait_seconds: float
    debug: bool
    use_cache: bool = False


_EITHER_OR = {
    "as_of": 'a seq from 0 up, a position such as {"seq": 17}, or a time such as 2026-11-21T12:00:00Z',
    "key": "the row's key columns, each with a text or a whole number",
    "lsn": "an LSN such as 16/B374D848, or its number",
}
"""Members of several types, each with one sentence instead of pydantic's one a type."""


def parse(model: type[Model], body: bytes) -> Model:
    """Decode and validate a JSON body. Raises ProblemError (400)."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _bad_body(model, error) from None


def _bad_body(model: type[BaseModel], error: ValidationError) -> ProblemError:
    first = error.errors(include_input=False, include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    if place and place[0] in _EITHER_OR and first["type"] != "value_error":
        return bad_request(f"{place[0]}: {_EITHER_OR[place[0]]}.", place[0])
    where = ".".join(place)
    if first["type"] == "json_invalid":
        return bad_request("The body is not JSON in UTF-8.", reason="invalid_json")
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(_known(model, place[:-1])))
        return bad_request(f"{where} is unknown; known are {known}.", where)
    message = first["msg"].removeprefix("Value error, ")
    return bad_request(f"{where or 'body'}: {message}", where or None)


def _known(model: type[BaseModel], place: list[str]) -> list[str]:
    fields = (FiltersIn if place == ["filters"] else model).model_fields
    return [field.alias or name for name, field in fields.items()]


def read_search(body: bytes, caller: Caller, identity: IndexIdentity, open_token: OpenToken) -> Ask:
    """A body of /v1/search. Raises ProblemError (400)."""
    return _ask(parse(SearchRequest, body), caller, identity, open_token)


def read_query(body: bytes, caller: Caller, identity: IndexIdentity, open_token: OpenToken) -> Ask:
    """A body of /v1/query. Raises ProblemError (400)."""
    request = parse(QueryRequest, body)
    if request.stream:
        raise bad_request("stream: answers are not streamed yet; leave it out or send false.", "stream")
    return replace(_ask(request, caller, identity, open_token), use_cache=request.cache == "use")


def _ask(request: SearchRequest, caller: Caller, identity: IndexIdentity, open_token: OpenToken) -> Ask:
    try:
        question = checked_question(request.question)
    except PermanentError as error:
        raise bad_request(f"{error}.", "question", reason=error.reason) from None
    position = request.as_of
    stated = position if isinstance(position, PositionIn) else None
    return Ask(
        question=question,
        top_k=request.top_k,
        filters=_filters(request.filters, caller.tenant),
        as_of=position.seq if isinstance(position, PositionIn) else position,
        other_build=stated is not None and not _is_of(stated, identity),
        at_least=tuple(_opened(token, caller.tenant, open_token) for token in request.at_least),
        wait_seconds=request.wait_ms / 1000,
        debug=request.debug,
    )


def _is_of(position: PositionIn, identity: IndexIdentity) -> bool:
    return (position.generation or identity.generation, position.incarnation or identity.incarnation) == (
        identity.generation,
        identity.incarnation,
    )


def _filters(filters: FiltersIn, tenant: Tenant) -> Filters:
    field = "filters.source"
    try:
        sources = tuple(source_name(name) for name in filters.source)
        field = "filters.doc_id"
        wanted = {one: None for source in sources for name in filters.doc_id for one in meant(tenant, source, name)}
    except InvalidNameError as error:
        raise bad_request(f"{field}: {error}.", field) from None
    if filters.doc_id and not sources:
        raise bad_request(
            "filters.doc_id needs filters.source: a doc_id is unique within its source.", "filters.doc_id"
        )
    if filters.after is not None and filters.before is not None and filters.after >= filters.before:
        raise bad_request("filters.after must be earlier than filters.before.", "filters.after")
    return Filters(
        sources=sources,
        kinds=filters.kind,
        languages=filters.language,
        labels=tuple(sorted(f"{key}={value}" for key, value in filters.labels.items())),
        documents=tuple(dict.fromkeys(document for document, _ in wanted)),
        parts=tuple((document, part) for document, part in wanted if (document, 0) not in wanted),
        after=filters.after,
        before=filters.before,
    )


def _opened(token: str, tenant: Tenant, open_token: OpenToken) -> Opened:
    try:
        return open_token(token, tenant)
    except PermanentError as error:
        raise bad_request(f"at_least: {error}", "at_least", reason="invalid_freshness_token") from None


def stale_position(ask: Ask) -> Refusal | None:
    """The refusal for a position of another build; None otherwise."""
    if ask.other_build:
        return refusal(Reason.HISTORY_UNAVAILABLE, "The position belongs to another build of the index.")
    return None
