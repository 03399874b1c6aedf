"""When a unit that died is started again, and when it is given up: a decision over times, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Delays double from `first_seconds` to `most_seconds`; more than `limit` deaths a window are too many."""

    first_seconds: float = 0.2
    most_seconds: float = 10.0
    limit: int = 7
    window_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class StartAgain:
    after_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    reason: str


def decide(policy: RestartPolicy, deaths: Sequence[float], now: float) -> StartAgain | GiveUp:
    """`deaths`: when it died, the last one included, in seconds on the clock of `now`."""
    recent = sum(1 for death in deaths if now - death <= policy.window_seconds)
    if recent > policy.limit:
        return GiveUp(f"died {recent} times within {policy.window_seconds:.0f} s")
    return StartAgain(min(policy.most_seconds, policy.first_seconds * 2.0 ** max(0, recent - 1)))


def refused(exit_code: int | None, was_ready: bool) -> bool:
    """Exit code 1 before it was ever ready: its start-up refuses (settings), so starting again would not help."""
    return exit_code == 1 and not was_ready
