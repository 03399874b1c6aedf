"""The HTTP side of the webhook receiver: reads a request within limits, answers, leaves one line without its body."""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable

import orjson
import structlog
from aiohttp import web

from connectors.webhook import problems
from connectors.webhook.problems import Problem
from connectors.webhook.receiver import Receiver, Taken
from runtime.health import NotReady, add_health
from runtime.metrics import INGEST_REQUESTS, INGEST_SECONDS, Metrics

PATH = "/v1/sources/{source}/events"
REQUEST_ID_HEADER = "X-Request-Id"
BODY_SECONDS = 30.0

REQUEST_ID = web.RequestKey("request_id", str)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger("millstream.webhook")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(receiver: Receiver, metrics: Metrics, not_ready: NotReady) -> web.Application:
    """The receiver's routes with health and metrics."""
    app = web.Application(client_max_size=receiver.limits.request_bytes, middlewares=[_named_requests])
    add_health(app, metrics, not_ready)

    async def post_events(request: web.Request) -> web.StreamResponse:
        return await _post(request, receiver, metrics)

    app.router.add_post(PATH, post_events)
    return app


@web.middleware
async def _named_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every request has an id, every answer carries it, aiohttp's own refusals are problems too."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    request[REQUEST_ID] = request_id
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        problem = Problem(
            refusal.status, f"http-{refusal.status}", refusal.reason, f"{request.method} is answered at {PATH} by POST."
        )
        response = problem.response(request_id)
        if "Allow" in refusal.headers:
            response.headers["Allow"] = refusal.headers["Allow"]
    except Exception:  # the one of this process: a fault of ours is answered, and logged without text
        log.exception("request failed", request_id=request_id)
        response = problems.broken().response(request_id)
    response.headers[REQUEST_ID_HEADER] = request_id
    return response


async def _post(request: web.Request, receiver: Receiver, metrics: Metrics) -> web.StreamResponse:
    begun = time.monotonic()
    name = request.match_info["source"]
    outcome, size = await _take(request, receiver, name)
    # What is not declared could be anything, and as many as one likes: it is no label and no log field.
    shown = name if receiver.source(name) is not None else "unknown"
    if isinstance(outcome, Taken):
        content = {"accepted": len(outcome.tokens), "tokens": outcome.tokens}
        response = web.Response(body=orjson.dumps(content), status=202, content_type="application/json")
    else:
        response = outcome.response(request[REQUEST_ID])
    seconds = time.monotonic() - begun
    metrics.count(INGEST_REQUESTS, source=shown, status=str(response.status))
    metrics.observe(INGEST_SECONDS, seconds, source=shown)
    log.info(
        "request",
        request_id=request[REQUEST_ID],
        source=shown,
        status=response.status,
        problem=outcome.kind if isinstance(outcome, Problem) else None,
        bytes=size,
        events=len(outcome.tokens) if isinstance(outcome, Taken) else 0,
        repeated=isinstance(outcome, Taken) and outcome.repeated,
        ms=round(seconds * 1000, 2),
    )
    return response


async def _take(request: web.Request, receiver: Receiver, name: str) -> tuple[Taken | Problem, int]:
    """The outcome and how many bytes the body had."""
    limit = receiver.limits.request_bytes
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        return problems.encoded(), 0
    stated = request.content_length
    if stated is not None and stated > limit:
        return problems.too_large(limit), 0
    room = limit if stated is None else stated
    if not receiver.gate.enter(room):
        return problems.busy(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return problems.too_large(limit), 0
    except TimeoutError:
        return problems.slow_body(BODY_SECONDS), 0
    else:
        headers = {key.lower(): value for key, value in request.headers.items()}
        return await receiver.receive(name, headers, body), len(body)
    finally:
        receiver.gate.leave(room)
