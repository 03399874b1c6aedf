"""Who asks: the tenant, the principals that permissions are matched against, and the scopes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from schemas.errors import InvalidNameError
from schemas.identity import PUBLIC, USER_PREFIX, Tenant, principal, tenant_name

QUERY = "query"
HISTORY = "history"
SCOPES = frozenset({QUERY, HISTORY, "feedback"})


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal of one tenant."""

    tenant: Tenant
    subject: str
    principals: frozenset[str]
    """The groups, `user:<sub>` and `public`; never empty."""
    scopes: frozenset[str]
    via: Literal["jwt", "api_key"]
    expires: datetime | None = None
    """When the credential ends; None: never."""

    @property
    def subject_hash(self) -> str:
        """12 hex digits that tell callers apart in logs without naming them."""
        return hashlib.sha256(f"{self.tenant}/{self.subject}".encode()).hexdigest()[:12]


def caller(
    tenant: str,
    subject: str,
    groups: Iterable[str],
    scopes: Iterable[str],
    via: Literal["jwt", "api_key"],
    expires: datetime | None = None,
) -> Caller:
    """Check the names of a credential. Raises InvalidNameError; also for a group that is not a group's to claim."""
    user = principal(USER_PREFIX + subject)
    named = [principal(group) for group in groups]
    if any(group == PUBLIC or group.startswith(USER_PREFIX) for group in named):
        raise InvalidNameError("groups must not list public nor user:<sub>; both are added by the server")
    if subject != subject.strip():
        raise InvalidNameError("sub must not begin or end with white space")
    principals = frozenset({*named, user, PUBLIC})
    return Caller(tenant_name(tenant), subject, principals, frozenset(scopes) & SCOPES, via, expires)
