"""What a request is told when it gets no response: RFC 9457 problem details, as values and as an exception.

`type` is urn:millstream:problem:<reason>; reasons are stable words. A detail says what to do and never carries document
text, a token, or whether something forbidden exists.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import PermanentError

PROBLEM_TYPE = "urn:millstream:problem:"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `field` names the request's offending member; `members` are extension members."""

    status: int
    reason: str
    detail: str
    field: str | None = None
    members: Mapping[str, object] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def body(self, request_id: str) -> dict[str, object]:
        """The JSON object to send."""
        body: dict[str, object] = {
            "type": PROBLEM_TYPE + self.reason,
            "title": self.reason.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.field is not None:
            body["field"] = self.field
        return body | dict(self.members)


class ProblemError(PermanentError):
    """Carries a problem up to the one place that turns it into a response."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, reason=problem.reason)
        self.problem = problem


def bad_request(detail: str, field: str | None = None, reason: str = "invalid_request") -> ProblemError:
    """400: the request itself is at fault."""
    return ProblemError(Problem(400, reason, detail, field))


def unauthenticated(detail: str, *, challenge: str = 'Bearer error="invalid_token"') -> ProblemError:
    """401: no credentials, or none that hold."""
    return ProblemError(Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": challenge}))


def forbidden(detail: str) -> ProblemError:
    """403: credentials that hold, without the scope that is needed."""
    return ProblemError(Problem(403, "missing_scope", detail))


def not_found() -> ProblemError:
    """404: absent, deleted or forbidden alike."""
    return ProblemError(Problem(404, "not_found", "There is no such document that you may read."))


def overloaded(detail: str, retry_after_seconds: int) -> ProblemError:
    """429: shed, with the refusal a client of /v1/query also understands."""
    refusal = {"reason": "overloaded", "detail": detail}
    headers = {"Retry-After": str(retry_after_seconds)}
    return ProblemError(Problem(429, "overloaded", detail, members={"refusal": refusal}, headers=headers))


def unavailable(detail: str = "The index does not answer. Nothing is lost; try again.") -> ProblemError:
    """503: a part is away."""
    return ProblemError(Problem(503, "unavailable", detail, headers={"Retry-After": "1"}))
