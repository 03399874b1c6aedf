"""The aiohttp application: request ids, problems, one access line a request, health. No CORS, bodies up to 1 MiB."""

import re
import uuid
from http import HTTPStatus

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runtime.clock import Clock
from runtime.health import NotReady, add_health
from runtime.metrics import ALERTS, QUERIES_UNDER_WAY, QUERY_REQUESTS, QUERY_SECONDS, Metrics
from schemas.errors import BrokenIndexError, TransientError
from serving.problems import Problem, ProblemError, unavailable
from serving.turn import Noted
from serving.views import NOTED, REQUEST_ID, Views

MAX_BODY_BYTES = 1_048_576

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_UNLOGGED = frozenset({"/healthz", "/readyz", "/metrics"})
_DETAILS = {
    400: "The request is not valid HTTP.",
    404: "There is nothing at this address. A doc_id is one percent-encoded segment: a/b is a%2Fb.",
    405: "This address has other methods.",
    413: f"The body is larger than {MAX_BODY_BYTES:,} bytes.",
}

log = structlog.get_logger("serving")


def build_app(views: Views, metrics: Metrics, clock: Clock, not_ready: NotReady) -> web.Application:
    """The application, ready to be served or tested."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_around(metrics, clock), _problems(metrics)])
    views.add_to(app)
    add_health(app, metrics, not_ready)
    return app


def _around(metrics: Metrics, clock: Clock) -> Middleware:
    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give the request its id, count and time it, leave one line."""
        started = clock.monotonic()
        given = request.headers.get("X-Request-Id", "")
        request[REQUEST_ID] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        noted = request[NOTED] = Noted()
        metrics.add(QUERIES_UNDER_WAY, 1)
        try:
            response = await handler(request)
        finally:
            metrics.add(QUERIES_UNDER_WAY, -1)
        response.headers["X-Request-Id"] = request[REQUEST_ID]
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        seconds = clock.monotonic() - started
        endpoint = _endpoint(request)
        metrics.count(QUERY_REQUESTS, endpoint=endpoint, status=str(response.status))
        if isinstance(response, web.Response):  # a stream lasts for as long as its client likes
            metrics.observe(QUERY_SECONDS, seconds, endpoint=endpoint)
        if request.path not in _UNLOGGED:
            _leave_line(request, response.status, endpoint, seconds, noted)
        return response

    return around


def _endpoint(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "unknown" if resource is None else resource.canonical


def _leave_line(request: web.Request, status: int, endpoint: str, seconds: float, noted: Noted) -> None:
    log.info(
        "request",
        request_id=request[REQUEST_ID],
        method=request.method,
        endpoint=endpoint,
        status=status,
        ms=round(seconds * 1000, 1),
        tenant=noted.tenant,
        subject=noted.subject_hash,
        route=noted.route,
        refusal=noted.refusal,
        seq=noted.seq,
        hits=noted.hits,
        cached=noted.cached,
    )


def _problems(metrics: Metrics) -> Middleware:
    @web.middleware
    async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn every error into problem details."""
        try:
            return await handler(request)
        except ProblemError as error:
            return _response(request, error.problem)
        except web.HTTPException as error:
            return _response(request, _of_http(error))
        except TransientError as error:
            log.warning("store away", request_id=request[REQUEST_ID], exc_info=error)
            return _response(request, unavailable().problem)
        except BrokenIndexError as error:
            metrics.count(ALERTS, alert="broken_index")
            log.critical("broken index", request_id=request[REQUEST_ID], exc_info=error)
            return _response(request, Problem(500, "broken_index", "The index breaks its own rules; operators know."))
        except Exception as error:
            log.error("unexpected error", request_id=request[REQUEST_ID], exc_info=error)
            return _response(request, Problem(500, "internal", "Something is wrong here. The log has this id."))

    return problems


def _of_http(error: web.HTTPException) -> Problem:
    status = HTTPStatus(error.status)
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    reason = status.phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(error.status, reason, _DETAILS.get(error.status, f"{status.phrase}."), headers=headers)


def _response(request: web.Request, problem: Problem) -> web.Response:
    return web.Response(
        status=problem.status,
        body=orjson.dumps(problem.body(request[REQUEST_ID])),
        content_type="application/problem+json",
        headers=dict(problem.headers),
    )
