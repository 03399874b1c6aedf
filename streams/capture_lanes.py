"""The stage `capture` as a process: a lane for each captured source, an app of its own, so that none waits for another.

The declarations are read again when they change: lanes begin, end, and begin anew under the new one. A lane whose
records mostly end as dead letters stops, and the others go on; any other crash ends the process.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from runtime.clock import is_set_within
from runtime.health import serving_health
from runtime.metrics import ALERTS, Metrics
from runtime.watched_files import WatchedFiles
from schemas.errors import ConfigError, PermanentError, TransientError
from schemas.sources import SourceConfig, Sources
from schemas.versions import Op
from streams.capture import Captured, Capturer, SourceChangedError
from streams.core.letter_limit import TooManyDeadLettersError
from streams.core.progress import Verdict
from streams.dead_letters import DeadLetters
from streams.journal import Journal, Line
from streams.window import Delivery, Lease, LeaseEndedError, Work

CAPTURE = "capture"

_LOOK_SECONDS = 0.5
_AGAIN_SECONDS = 5.0
"""Until a lane is built again that could not be."""

log = structlog.get_logger("millstream.streams")


class Lives(Protocol):
    """What captures one source, until `stop` is set or it crashes."""

    stop: asyncio.Event
    verdict: Verdict

    @property
    def crash_reason(self) -> BaseException | None:
        """Why it crashed, if it did."""
        ...

    async def live(self) -> bool:
        """From start to stop; whether it was a crash."""
        ...


BuildLane = Callable[[SourceConfig], Awaitable[Lives]]
"""Raises ConfigError and TransientError."""
Watch = Callable[[Sources], Awaitable[None]]
"""Looks after the connectors of these sources until it is cancelled."""


def lane_name(source: SourceConfig) -> str:
    """A lane's name in metrics and log lines."""
    return f"{CAPTURE}.{source.name}"


def capture_agent(
    capturer: Capturer, letters: DeadLetters, journal: Journal, metrics: Metrics, changed: Callable[[], None]
) -> Work:
    """cdc.<source> -> documents.changes. `changed` is called when the source is declared differently now."""

    async def work(delivery: Delivery, lease: Lease) -> None:
        with journal.record(delivery) as line:
            try:
                captured = await capturer.capture(delivery, lease)
            except SourceChangedError:
                changed()
                raise LeaseEndedError from None
            except PermanentError as error:
                captured = Captured("undecodable", refused=error)
            if captured.refused is not None:
                await letters.put(delivery, captured.refused, attempts=1)
            if captured.refused is not None and captured.refused.reason == "unavailable_value":
                metrics.count(ALERTS, alert="capture_unavailable_value")
            _describe(line, captured)

    return work


def _describe(line: Line, captured: Captured) -> None:
    line.outcome = "captured" if captured.ops or captured.cleared is not None else captured.kind
    if captured.ops:
        line.op = captured.ops[-1]
        line.fields["ops"] = [op.value for op in captured.ops]
    if captured.cleared is not None:
        line.fields["cleared"] = captured.cleared
    if captured.refused is None:
        return
    line.op = Op.UPSERT
    if captured.withdrawal:
        line.withdrawal_lost(captured.refused.reason)
    else:
        line.dead_lettered(captured.refused.reason)


@dataclass(slots=True)
class _Lane:
    """One source's app and its task. `parked`: it stopped for good, until it is declared anew."""

    source: SourceConfig
    process: Lives
    task: "asyncio.Task[bool]"
    parked: bool = False


@dataclass(slots=True)
class CaptureProcess:
    """All lanes with what lives as long as they do."""

    declared: WatchedFiles[Sources]
    build_lane: BuildLane
    watch: Watch
    metrics: Metrics
    metrics_port: int
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _lanes: dict[str, _Lane] = field(default_factory=dict)
    _waiting: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Source -> when its lane is built again, and why it could not be."""
    _watching: "asyncio.Task[None] | None" = None
    _seen: Sources | None = None

    async def run(self) -> int:
        """Live until a signal or a crash. Returns the exit code."""
        logging.getLogger("asyncio").addFilter(_is_no_leftover)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        crashed = False
        async with serving_health(self.metrics, self.not_ready, self.metrics_port):
            while not self.stop.is_set() and not crashed:
                crashed = await self._look()
                await is_set_within(self.stop, _LOOK_SECONDS)
            await self._end_watch()
            await asyncio.gather(*map(self._end, list(self._lanes)))
        log.info("stage stopped", stage=CAPTURE, crashed=crashed)
        return 1 if crashed else 0

    async def not_ready(self) -> Sequence[str]:
        """Why not every declared source is captured now."""
        reasons = [f"source {name}: {why}" for name, (_, why) in self._waiting.items()]
        for name, lane in self._lanes.items():
            if lane.parked:
                reasons.append(f"source {name}: most of its records became dead letters; mend it, then apply it again")
            else:
                reasons += [f"source {name}: {why}" for why in lane.process.verdict.not_ready]
        if self._seen is None:
            reasons.append("starting")
        return reasons

    async def _look(self) -> bool:
        """Bring the lanes to what is declared; whether one of them crashed."""
        if self._watching is not None and self._watching.done():
            self._watching.result()  # nobody looks after the connectors any more: the process ends with the reason
        self.declared.reload()
        sources = self.declared.current
        if sources is not self._seen:
            await self._declare(sources)
        for name, lane in list(self._lanes.items()):
            if not lane.task.done() or lane.parked:
                continue
            if lane.task.result() and not self._park(lane):
                return True
            if not lane.parked:
                del self._lanes[name]
        for source in sources.captured:
            if source.name not in self._lanes:
                await self._begin(source)
        return False

    async def _declare(self, sources: Sources) -> None:
        """End the lanes of what is declared differently now, and look after the connectors of what is declared."""
        self._seen = sources
        self._waiting.clear()
        known = {source.name: source for source in sources.captured}
        ended = [name for name, lane in self._lanes.items() if lane.parked or known.get(name) != lane.source]
        await asyncio.gather(*map(self._end, ended))
        await self._end_watch()
        self._watching = asyncio.create_task(self._watch(sources))

    async def _watch(self, sources: Sources) -> None:
        await self.watch(sources)

    async def _end_watch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _begin(self, source: SourceConfig) -> None:
        now = asyncio.get_running_loop().time()
        again, _ = self._waiting.get(source.name, (now, ""))
        if now < again:
            return
        try:
            process = await self.build_lane(source)
        except (ConfigError, TransientError) as error:
            if source.name not in self._waiting:
                log.error("source not captured", source=source.name, reason=str(error))
                self.metrics.count(ALERTS, alert="source_not_captured")
            self._waiting[source.name] = (now + _AGAIN_SECONDS, str(error))
            return
        self._waiting.pop(source.name, None)
        self._lanes[source.name] = _Lane(source, process, asyncio.create_task(process.live()))

    def _park(self, lane: _Lane) -> bool:
        """Whether a crashed lane may stay away while the others go on."""
        reason = lane.process.crash_reason
        if not isinstance(reason, TooManyDeadLettersError):
            return False
        lane.parked = True
        self.metrics.count(ALERTS, alert="source_not_captured")
        log.error("source not captured", source=lane.source.name, reason=str(reason))
        return True

    async def _end(self, name: str) -> None:
        lane = self._lanes.pop(name)
        lane.process.stop.set()
        await asyncio.wait([lane.task])


def _is_no_leftover(record: logging.LogRecord) -> bool:
    """An app of Faust that was stopped leaves tasks behind that wait for nothing any more. asyncio calls it an error
    when they are collected; a process that goes on would log dozens with every lane that ends.
    """
    message = record.getMessage()
    return not (message.startswith("Task was destroyed but it is pending") and "mode/utils/locks.py" in message)
