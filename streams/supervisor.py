"""Keeps one process of each stage running: what ends by itself is started again, a little later each time.

The processes hang on a pipe: when the supervisor goes away, by whatever death, they stop. A signal stops them and
then it.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from runtime.clock import is_set_within

STAGES = ("prepare", "apply", "hide", "capture")
"""Every stage there is; each is a process of its own."""

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 15.0
_SETTLED_SECONDS = 60.0
_STOP_SECONDS = 20.0

log = structlog.get_logger("millstream.streams")


@dataclass(frozen=True, slots=True)
class Kept:
    """A process that is kept running."""

    stage: str
    command: Sequence[str]
    metrics_port: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it has otherwise than this process."""


def wait_after(attempt: int) -> float:
    """Seconds before the `attempt`-th restart in a row, from 1."""
    return min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * (1 << min(attempt - 1, 16)))


def stage_command(stage: str) -> tuple[str, ...]:
    """How a stage is started."""
    return (sys.executable, "-m", "streams", "--stage", stage, "--leashed")


def end_with_standard_input() -> None:
    """End this process when its standard input does: cleanly if it can, by force if it does not."""
    threading.Thread(target=_end_with_standard_input, name="leash", daemon=True).start()


def _end_with_standard_input() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_SECONDS)
    os._exit(1)


def end_at_last(code: int) -> None:
    """End this process with `code` even if what it has stopped does not end: a client that waits for a part that is
    away, a thread.
    """

    def end() -> None:
        time.sleep(_STOP_SECONDS)
        os._exit(code)

    threading.Thread(target=end, name="end", daemon=True).start()


async def supervise(
    stages: Sequence[str], command: Callable[[str], Sequence[str]] = stage_command, *, metrics_port: int = 0
) -> int:
    """Run one process of each stage until a signal. Returns the exit code.

    `command` gives a process that ends when its standard input does, and at SIGTERM. The first stage has its metrics at
    `metrics_port`, the next one port higher; 0 is none.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as keepers:
        for place, stage in enumerate(stages):
            port = metrics_port + place if metrics_port else 0
            keepers.create_task(keep(Kept(stage, command(stage), port), stop))
    return 0


async def keep(kept: Kept, stop: asyncio.Event) -> None:
    """Run one process of a stage again and again until `stop`."""
    attempt = 0
    while not stop.is_set():
        started = time.monotonic()
        try:
            code = await _run_once(kept, stop)
        except OSError as error:  # no memory or no descriptors for another process, at the moment
            code = error.errno or 1
        if stop.is_set():
            return
        attempt = 1 if time.monotonic() - started > _SETTLED_SECONDS else attempt + 1
        log.error("stage ended, starting it again", stage=kept.stage, code=code, seconds=wait_after(attempt))
        await is_set_within(stop, wait_after(attempt))


async def _run_once(kept: Kept, stop: asyncio.Event) -> int:
    """Run a process of the stage until it ends, or until `stop`: then tell it to, and wait."""
    environment = {**os.environ, **kept.environment, "MILLSTREAM_METRICS_PORT": str(kept.metrics_port)}
    process = await asyncio.create_subprocess_exec(*kept.command, stdin=PIPE, start_new_session=True, env=environment)
    ended = asyncio.create_task(process.wait())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not ended.done():
        process.send_signal(signal.SIGTERM)
        _, late = await asyncio.wait([ended], timeout=_STOP_SECONDS)
        if late:
            log.error("stage does not stop, killing it", stage=kept.stage)
            process.kill()
    return await ended
