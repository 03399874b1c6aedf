"""Ends the process of `apply` when hides wait and none is applied: they are read beside Faust, where the stage's own
watch does not look. It asks the broker, so that whatever keeps them from being read is seen.
"""

import asyncio
from collections.abc import Callable, Mapping

from runtime.clock import Clock
from schemas.errors import ConfigError, TransientError
from streams.background import Background
from streams.core.progress import Limits, Observation, Progress
from streams.process import Activity, StuckError
from streams.window import Crash

_LOOK_SECONDS = 10.0
_LIMITS = Limits()


class HideWatch(Background):
    """`waiting` tells how many hides of each partition are not acknowledged; it blocks and raises TransientError."""

    def __init__(
        self,
        waiting: Callable[[], Mapping[int, int]],
        applied: Callable[[], int],
        assigned: Callable[[], frozenset[int]],
        activity: Activity,
        clock: Clock,
        crash: Crash,
        *,
        look_seconds: float = _LOOK_SECONDS,
        limits: Limits = _LIMITS,
    ) -> None:
        super().__init__(crash)
        self._waiting = waiting
        self._applied = applied
        self._assigned = assigned
        self._activity = activity
        self._clock = clock
        self._look_seconds = look_seconds
        self._limits = limits

    async def _run(self) -> None:
        """Raises StuckError."""
        progress, assigned = Progress(self._clock.monotonic(), self._limits), frozenset[int]()
        while True:
            await asyncio.sleep(self._look_seconds)
            before, assigned = assigned, self._assigned()
            if before != assigned:
                progress = Progress(self._clock.monotonic(), self._limits)
            try:
                waiting = await asyncio.to_thread(self._waiting)
            except (TransientError, ConfigError):
                continue  # others tell of a Kafka that is away
            stuck = progress.observe(self._observed(assigned, waiting)).stuck
            if stuck is not None:
                raise StuckError(f"index.hides: {stuck}")

    def _observed(self, assigned: frozenset[int], waiting: Mapping[int, int]) -> Observation:
        applied = self._applied()
        return Observation(
            at=self._clock.monotonic(),
            assigned=assigned,
            lag={partition: waiting[partition] for partition in assigned if partition in waiting},
            acknowledged=applied,
            steps=applied,
            waiting=self._activity.waits > 0,
        )
