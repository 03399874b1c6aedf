"""What follows a failed commit, as a table."""

import pytest

from schemas.errors import (
    AmbiguousWriteError,
    BrokenIndexError,
    PermanentError,
    TransientError,
    UnknownTenantError,
)
from streams.core.retry import CommitSingly, Crash, DeadLetter, Decision, Failures, RetrySame, Wait, decide


@pytest.mark.parametrize(
    ("size", "failures", "error", "decision"),
    [
        (5, Failures(permanent=1), PermanentError("row refused"), RetrySame()),
        (5, Failures(permanent=2), PermanentError("row refused"), CommitSingly()),
        (1, Failures(permanent=1), PermanentError("row refused"), RetrySame()),
        (1, Failures(permanent=2), PermanentError("row refused", reason="too_large"), DeadLetter("too_large")),
        (5, Failures(permanent=1), UnknownTenantError("no shard"), DeadLetter("no_source")),
        (5, Failures(transient=1), TransientError("away"), Wait(0.05)),
        (5, Failures(transient=2), AmbiguousWriteError("cut off"), Wait(0.1)),
        (1, Failures(transient=10_000), TransientError("away"), Wait(5.0)),
        (1, Failures(transient=1), BrokenIndexError("no head"), Crash()),
        (1, Failures(transient=1), RuntimeError("unplanned"), Crash()),
    ],
)
def test_each_failure_has_its_consequence(size: int, failures: Failures, error: Exception, decision: Decision) -> None:
    assert decide(size, failures, error) == decision


def test_a_store_that_is_away_never_makes_a_dead_letter() -> None:
    failures = Failures()
    for _ in range(1000):
        failures = failures.and_then(TransientError("away"))
        assert isinstance(decide(1, failures, TransientError("away")), Wait)


def test_failures_are_counted_by_kind() -> None:
    failures = Failures().and_then(TransientError("a")).and_then(PermanentError("b"))
    assert failures == Failures(transient=1, permanent=1)
    assert failures.attempts == 2
