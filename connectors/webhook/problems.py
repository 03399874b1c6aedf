"""Answers that are not a 202, as RFC 9457 problem+json: a stable type, a title, what to do."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from connectors.webhook.events import Fault

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal. `kind` is stable and becomes `urn:millstream:problem:<kind>`."""

    status: int
    kind: str
    title: str
    detail: str
    faults: Sequence[Fault] = field(default=())
    retry_after: int | None = None

    def response(self, request_id: str) -> web.Response:
        """The HTTP answer."""
        content: dict[str, object] = {
            "type": f"urn:millstream:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": request_id,
        }
        if self.faults:
            content["errors"] = [
                {"event": fault.event, "field": fault.field, "detail": fault.detail} for fault in self.faults
            ]
        response = web.Response(body=orjson.dumps(content), status=self.status, content_type=CONTENT_TYPE)
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


def unauthorized() -> Problem:
    """One answer for an unknown source, a bad signature and a stale timestamp: nothing to learn from."""
    return Problem(
        401,
        "unauthorized",
        "Not signed by a declared source",
        "Check the source in the path, its secret, the three webhook-* headers and the sender's clock (5 minutes).",
    )


def too_large(limit: int) -> Problem:
    """The request as a whole."""
    return Problem(
        413, "too-large", "Request too large", f"A request has at most {limit} bytes; send fewer events in one."
    )


def encoded() -> Problem:
    """A compressed body: its size is unknown until it is unpacked, and the signature is over what is sent."""
    return Problem(
        415, "content-encoding", "Body is encoded", "Send the body as it was signed, without Content-Encoding."
    )


def not_utf8() -> Problem:
    """JSON is UTF-8, and only then can the signature be checked."""
    return Problem(400, "malformed-json", "Body is not UTF-8", "The body must be JSON in UTF-8.")


def slow_body(seconds: float) -> Problem:
    """The body did not arrive."""
    return Problem(408, "timeout", "Body too slow", f"The body must arrive within {seconds:.0f} s.")


def busy() -> Problem:
    """More is under way than this process holds."""
    return Problem(
        429, "busy", "Too much under way", "Wait as long as Retry-After says and send the same again.", retry_after=1
    )


def log_unavailable() -> Problem:
    """The broker did not acknowledge."""
    return Problem(
        503,
        "log-unavailable",
        "Not acknowledged",
        "Kafka did not acknowledge in time; some events may be in the log. Sending the same again is safe.",
        retry_after=2,
    )


def id_reused() -> Problem:
    """A webhook-id names one message for ever."""
    return Problem(
        409,
        "webhook-id-reused",
        "webhook-id belongs to another body",
        "This webhook-id was accepted with another body; a new message needs a new id.",
    )


def invalid(status: int, reason: str, faults: Sequence[Fault], detail: str) -> Problem:
    """Events that break rules."""
    return Problem(status, reason.replace("_", "-"), "Events refused, none was taken", detail, faults)


def broken() -> Problem:
    """A fault of ours."""
    return Problem(500, "internal", "Internal error", "Nothing was acknowledged; sending the same again is safe.")
