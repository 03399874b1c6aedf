"""Decides whether a stage is at work: ready to be counted on, merely waiting, or stuck so that only a restart helps.

Pure: fed with observations, it answers with values. A livelock is otherwise only logged (stack: Faust).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observation:
    """A stage at one moment."""

    at: float
    """Seconds on a monotonic clock."""
    assigned: frozenset[int]
    """Partitions this process has."""
    lag: Mapping[int, int]
    """Partition -> records not acknowledged, where known."""
    acknowledged: int
    """Records acknowledged since the process started."""
    steps: int
    """Anything done for a record since the process started: parsed, embedded, committed."""
    waiting: bool
    """It waits for a part that is away: that is not being stuck."""
    is_member: bool = True
    """Its group knows it, and no rebalance is under way."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long nothing may move, in seconds, while there is something to do."""

    without_step: float = 120.0
    without_acknowledgement: float = 900.0
    without_group: float = 300.0
    settled: float = 5.0
    """Lag that is older than this without an acknowledgement is no progress."""


_DEFAULT_LIMITS = Limits()
_NO_GROUP = "no member of its consumer group"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an observation means."""

    not_ready: tuple[str, ...] = ()
    stuck: str | None = None
    """Why only a restart helps."""


class Progress:
    """Remembers when things last moved."""

    def __init__(self, started: float, limits: Limits = _DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._acknowledged = 0
        self._steps = 0
        self._acknowledged_at = started
        self._step_at = started
        self._member_at = started

    def observe(self, now: Observation) -> Verdict:
        """Take an observation in. Call it every second or so."""
        lag = sum(now.lag.values())
        self._note(now, lag)
        if now.is_member:
            self._member_at = now.at
        elif now.at - self._member_at > self._limits.without_group:
            return Verdict((_NO_GROUP,), f"{_NO_GROUP} for {now.at - self._member_at:.0f} s")
        if not now.assigned:
            return Verdict(("no partitions assigned",))
        if now.waiting:
            return Verdict(("waiting for a part that does not answer",))
        stuck = self._stuck(now, lag)
        behind = now.at - self._acknowledged_at > self._limits.settled and lag > 0
        known = set(now.lag) >= now.assigned
        reasons = ("records wait and none is acknowledged",) if behind else () if known else ("lag not known yet",)
        return Verdict(reasons, stuck)

    def _note(self, now: Observation, lag: int) -> None:
        if now.acknowledged != self._acknowledged or lag == 0 or now.waiting:
            self._acknowledged, self._acknowledged_at = now.acknowledged, now.at
        if now.steps != self._steps or self._acknowledged_at == now.at:
            self._steps, self._step_at = now.steps, now.at

    def _stuck(self, now: Observation, lag: int) -> str | None:
        idle, behind = now.at - self._step_at, now.at - self._acknowledged_at
        if behind > self._limits.without_acknowledgement:
            return f"{lag} records wait and none was acknowledged for {behind:.0f} s"
        if idle > self._limits.without_step:
            return f"{lag} records wait and nothing was done for {idle:.0f} s"
        return None
