"""The routes: decode, call the flow, encode. A doc_id is one percent-encoded path segment, slashes included."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from aiohttp import web
from pydantic import BaseModel

from index.model import Seq
from index.moments import AsOf
from schemas.errors import InvalidNameError
from schemas.identity import Source, source_name
from serving.answer import Answering
from serving.auth import Authenticator, require
from serving.caller import QUERY, Caller
from serving.changes import SLOW_SECONDS, Changes, Wanted
from serving.documents import MAX_VERSIONS, Documents
from serving.event_stream import send_events
from serving.incoming import parse
from serving.models import MAX_SEQ, TokenRequest, point_in_time
from serving.openapi import openapi
from serving.problems import Problem, ProblemError, bad_request, unavailable
from serving.tokens import Tokens
from serving.turn import Incoming, Noted

NOTED = web.RequestKey("noted", Noted)
REQUEST_ID = web.RequestKey("request_id", str)
_DOCUMENT_SECONDS = 6.0
"""Longest that reading a document or its versions may take; questions have a limit of their own."""


@dataclass(frozen=True, slots=True)
class Served:
    """What answers from one build of the index."""

    answering: Answering
    documents: Documents
    changes: Changes
    end: Callable[[], None] = lambda: None
    """End its streams and forget its answers: another build answers from now on, or none."""


class Views:
    """Handlers over the flow. `served`: what answers now, asked once a request; it may wait, and raise ProblemError."""

    def __init__(self, served: Callable[[], Awaitable[Served]], tokens: Tokens, authenticator: Authenticator) -> None:
        self._served = served
        self._tokens = tokens
        self._authenticator = authenticator
        self._openapi = orjson.dumps(openapi())

    def add_to(self, app: web.Application) -> None:
        """Add the routes of /v1."""
        app.router.add_post("/v1/query", self.query)
        app.router.add_post("/v1/search", self.search)
        app.router.add_get("/v1/documents/{source}/{doc_id}", self.document)
        app.router.add_get("/v1/documents/{source}/{doc_id}/versions", self.versions)
        app.router.add_post("/v1/tokens", self.token)
        app.router.add_get("/v1/changes", self.changes)
        app.router.add_get("/v1/openapi.json", self.description)

    async def query(self, request: web.Request) -> web.Response:
        incoming = await _incoming(request)
        return _json(await (await self._served()).answering.answer(incoming))

    async def search(self, request: web.Request) -> web.Response:
        incoming = await _incoming(request)
        return _json(await (await self._served()).answering.search(incoming))

    async def document(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        _only(request, "as_of", "text")
        text = _flag(request, "text", default=False)
        source, doc_id = _place(request)
        async with _in_time():
            found = await (await self._served()).documents.document(
                caller,
                source,
                doc_id,
                as_of=_as_of(request),
                text=text,
                request_id=request[REQUEST_ID],
            )
        return _json(found)

    async def versions(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        _only(request, "limit", "below")
        source, doc_id = _place(request)
        async with _in_time():
            found = await (await self._served()).documents.versions(
                caller,
                source,
                doc_id,
                limit=_number(request, "limit", 1, MAX_VERSIONS) or 50,
                below=_number(request, "below", 1, MAX_SEQ),
                request_id=request[REQUEST_ID],
            )
        return _json(found)

    async def token(self, request: web.Request) -> web.Response:
        caller = self._caller(request)
        incoming = await _incoming(request)
        return _json(self._tokens.token(caller, parse(TokenRequest, incoming.body), incoming.request_id))

    async def changes(self, request: web.Request) -> web.StreamResponse:
        caller = self._caller(request)
        _only(request, "after", "source", "follow")
        follow = _flag(request, "follow", default=True)

        def is_over() -> bool:
            return request.transport is None or not self._authenticator.holds(request.headers, caller)

        changes = (await self._served()).changes
        wanted = Wanted(_resumed(request, changes), _sources(request), follow, is_over)
        after = await changes.begin(caller, wanted)
        events = changes.stream(caller, wanted, after)
        return await send_events(request, events, request[REQUEST_ID], SLOW_SECONDS)

    async def description(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._openapi, content_type="application/json")

    def _caller(self, request: web.Request) -> Caller:
        caller = self._authenticator.caller(request.headers)
        noted = request[NOTED]
        noted.tenant, noted.subject_hash = caller.tenant, caller.subject_hash
        require(caller, QUERY)
        return caller


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """A few reads of a slow store, each in its own time, add up: then it is 503 as well."""
    try:
        async with asyncio.timeout(_DOCUMENT_SECONDS):
            yield
    except TimeoutError:
        raise unavailable() from None


def _resumed(request: web.Request, changes: Changes) -> Seq | None:
    """A client that comes back has the address it began with, and the last id it got: that one counts."""
    given = request.headers.get("Last-Event-ID", "")
    return changes.resumed_from(given) if given else _number(request, "after", 0, MAX_SEQ)


async def _incoming(request: web.Request) -> Incoming:
    """Headers and body. Raises ProblemError (415); aiohttp raises 413 itself."""
    if request.content_type != "application/json":
        raise ProblemError(Problem(415, "unsupported_media_type", "Send application/json."))
    return Incoming(request.headers, await request.read(), request[REQUEST_ID], request[NOTED])


def _place(request: web.Request) -> tuple[str, str]:
    return request.match_info["source"], request.match_info["doc_id"]


def _only(request: web.Request, *known: str) -> None:
    for name in request.query:
        if name not in known:
            raise bad_request(f"{name} is unknown; known are {', '.join(known)}.", name)


_DIGITS = len(str(MAX_SEQ))


def _number(request: web.Request, name: str, least: int, most: int) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS or not least <= int(text) <= most:
        raise bad_request(f"{name} is a whole number from {least} to {most}.", name)
    return int(text)


def _flag(request: web.Request, name: str, *, default: bool) -> bool:
    text = request.query.get(name, str(default).lower())
    if text not in {"true", "false"}:
        raise bad_request(f"{name} is true or false.", name)
    return text == "true"


def _sources(request: web.Request) -> frozenset[Source]:
    try:
        return frozenset(source_name(name) for name in request.query.getall("source", []))
    except InvalidNameError as error:
        raise bad_request(f"source: {error}.", "source") from None


def _as_of(request: web.Request) -> AsOf | None:
    text = request.query.get("as_of", "")
    if not text or text.isdigit():
        return _number(request, "as_of", 0, MAX_SEQ)
    try:
        return point_in_time(text)
    except ValueError as error:
        raise bad_request(f"as_of is a seq from 0 up, or a time: {error}. In an address, + is %2B.", "as_of") from None


def _json(body: BaseModel) -> web.Response:
    return web.Response(body=body.model_dump_json().encode(), content_type="application/json")
