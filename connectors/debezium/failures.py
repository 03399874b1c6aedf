"""What a failed task's trace means: whether to wait or to do something, and what. Pure.

A trace may hold values of a row, so nothing of it is passed on but the names of its exceptions.
"""

import re
from dataclasses import dataclass

_EXCEPTION = re.compile(r"(?:^|Caused by: )((?:[a-z_][\w]*\.)+[A-Z]\w*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed. `transient`: starting it again may help; `stuck`: only another place to begin does."""

    what: str
    transient: bool
    remedy: str
    stuck: bool = False


_AGAIN = "it is started again by itself"
_APPLY = "`millstream source apply` reads the table again"

_KNOWN: tuple[tuple[str, Failure], ...] = (
    (
        r"RecordTooLargeException",
        Failure(
            "a row is larger than a record of the log may be (16 MiB)",
            False,
            "shorten the row, then `millstream source apply` reads the table again",
            stuck=True,
        ),
    ),
    (
        r"publication .* does not exist|publication .*autocreation is disabled",
        Failure("its publication is gone", False, f"{_APPLY} and makes the publication"),
    ),
    (
        r"no longer available on the server|slot .* (ahead|mismatch)|can no longer (get|access)|invalidated",
        Failure("the replication slot has lost the position", False, _APPLY, stuck=True),
    ),
    (
        r"password authentication failed|no pg_hba\.conf entry|role .* does not exist",
        Failure("Postgres refuses the login", False, "correct the DSN, then `millstream source apply`"),
    ),
    (
        r"could not (read|find).*(file|director)|ConfigException",
        Failure(
            "Connect refuses the connector's configuration",
            False,
            "`millstream source apply`; where Connect is not ours, see MILLSTREAM_CONNECT_PASSWORD",
        ),
    ),
    (
        r"permission denied",
        Failure("the role may not read the table or replicate", False, "grant it, then `millstream source apply`"),
    ),
    (
        r"connection refused|connection .*(closed|reset)|I/O error|SocketException|SocketTimeout|EOFException"
        r"|terminating connection|starting up|shutting down|TimeoutException|is active for PID|UnknownHost"
        r"|Disconnect|RetriableException",
        Failure("the database or Kafka did not answer", True, _AGAIN),
    ),
)


def explain(trace: str) -> Failure:
    """The failure that a trace of Kafka Connect tells of."""
    for pattern, failure in _KNOWN:
        if re.search(pattern, trace, re.IGNORECASE):
            return failure
    names = _EXCEPTION.findall(trace)
    kind = names[-1].rpartition(".")[2] if names else "an unknown error"
    return Failure(f"its task ended with {kind}", True, f"{_AGAIN}; see Connect's log")
