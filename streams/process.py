"""The life of one stage process: start, watch, stop. Exit code 0 after a signal, 1 after anything else.

Nothing is stopped half-way: at a signal the window takes nothing new and running work finishes, at most some seconds
long; what was not acknowledged comes again to whoever has its partition next.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from runtime.clock import Clock
from runtime.health import serving_health
from runtime.metrics import LAG, Metrics
from streams.app import StageApp
from streams.core.progress import Limits, Observation, Progress, Verdict

_WATCH_SECONDS = 1.0
_LET_GO_SECONDS = 10.0
_STOP_SECONDS = 6.0
# Together below the 20 s after which a launcher kills.

log = structlog.get_logger("millstream.streams")


class StuckError(Exception):
    """Nothing moves although records wait: only a restart helps."""


@dataclass(slots=True)
class Activity:
    """What a stage tells the watch about itself."""

    steps: int = 0
    waits: int = 0
    """How many tenants wait for a part that is away."""

    def stepped(self, steps: int = 1) -> None:
        """Something was done for a record."""
        self.steps += steps

    def waits_changed(self, begins: bool) -> None:
        """A tenant begins or ends to wait."""
        self.waits += 1 if begins else -1


Hook = Callable[[], Awaitable[None]]


class Runs(Protocol):
    """A process of a stage, built and checked."""

    async def run(self) -> int:
        """Live until a signal or a crash. Returns the exit code."""
        ...


@dataclass(slots=True)
class StageProcess:
    """One stage with everything that lives as long as it does."""

    stage: str
    app: StageApp
    topic: str
    """Its input, with the installation's prefix."""
    metrics: Metrics
    metrics_port: int
    clock: Clock
    activity: Activity = field(default_factory=Activity)
    starts: Sequence[Hook] = ()
    stops: Sequence[Hook] = ()
    """In the order in which they are called."""
    verdict: Verdict = field(default_factory=lambda: Verdict(("starting",)))
    limits: Limits = field(default_factory=Limits)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it, or send SIGTERM or SIGINT, and the process stops."""

    async def run(self) -> int:
        """Live until a signal or a crash. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        async with serving_health(self.metrics, self._not_ready, self.metrics_port):
            return 1 if await self.live() else 0

    async def live(self) -> bool:
        """From start to stop, without signals and health, which are its caller's; whether it was a crash."""
        for start in self.starts:
            await start()
        await self.app.start()
        log.info("stage started", stage=self.stage)
        crashed = await self._watch()
        await self._stop(crashed)
        log.info("stage stopped", stage=self.stage, crashed=crashed)
        return crashed

    @property
    def crash_reason(self) -> BaseException | None:
        """Why it crashed, if it did."""
        return self.app.crash_reason

    async def _watch(self) -> bool:
        """Until `stop` is set or a crash; whether it was a crash."""
        progress = Progress(self.clock.monotonic(), self.limits)
        ends = [asyncio.ensure_future(wait) for wait in (self.stop.wait(), self.app.wait_until_stopped())]
        try:
            return await self._watch_until(ends, progress)
        finally:
            for end in ends:
                end.cancel()

    async def _watch_until(self, ends: Sequence["asyncio.Future[Any]"], progress: Progress) -> bool:
        while not self.stop.is_set():
            if self.app.should_stop:
                log.error("stage crashed", stage=self.stage, exc_info=self.app.crash_reason)
                return True
            self.verdict = progress.observe(self._observe())
            if self.verdict.stuck is not None:
                await self.app.crash(StuckError(self.verdict.stuck))
                log.error("stage stuck", stage=self.stage, detail=self.verdict.stuck)
                return True
            # One wait for all looks: each that is cancelled leaves two tasks behind in mode.
            await asyncio.wait(ends, timeout=_WATCH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return False

    def _observe(self) -> Observation:
        lag = self.app.lag(self.topic)
        self.metrics.set(LAG, sum(lag.values()), stage=self.stage)
        return Observation(
            at=self.clock.monotonic(),
            assigned=self.app.assigned(),
            lag=lag,
            acknowledged=self.app.window.acknowledged,
            steps=self.activity.steps,
            waiting=self.activity.waits > 0,
            is_member=self.app.is_member,
        )

    async def _not_ready(self) -> Sequence[str]:
        return self.verdict.not_ready

    async def _stop(self, crashed: bool) -> None:
        self.verdict = Verdict(("stopping",))
        if not crashed:
            await self.app.let_go(_LET_GO_SECONDS)
        # In a task of its own: mode takes a cancellation of its `stop` for that of what it stops, and goes on.
        stopping = asyncio.create_task(self._stop_all())
        await asyncio.wait([stopping], timeout=_STOP_SECONDS)
        if stopping.done():
            stopping.result()
        else:
            log.warning("stage did not stop in time", stage=self.stage)
            stopping.cancel()

    async def _stop_all(self) -> None:
        await self.app.stop()
        for stop in self.stops:
            await stop()
