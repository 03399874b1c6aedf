"""Brings units up in the order of their needs, starts again what dies, and takes all down in reverse.

One thread a unit: prepare, wait for its needs, start, wait until ready, watch. What to do after a death is decided by
restarts.
"""

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from infra.local.children import log_tail
from infra.local.parts import Part, waves
from infra.local.progress import Progress
from infra.local.restarts import GiveUp, RestartPolicy, decide, refused
from infra.local.running import POLL_SECONDS, Running
from infra.local.status import Board, Kind, State, UnitStatus, needed_failed
from schemas.errors import ConfigError, MillstreamError

WATCH_SECONDS = 0.1
LONG_PHASES = frozenset({"fetch", "build", "wait"})


class _StopAskedError(Exception):
    """Leaves a unit's thread."""


class Unit:
    """One part, task or service under supervision."""

    def __init__(self, part: Part, kind: Kind, board: Board, policy: RestartPolicy, held: int | None) -> None:
        self.part = part
        self.name = part.name
        self.needs = part.needs
        self._kind = kind
        self._board = board
        self._policy = policy
        self._running = Running(part, held)
        self._stop = threading.Event()
        self._deaths: list[float] = []
        self._was_ready = False
        self._phase = ""
        self._thread = threading.Thread(target=self._run, name=part.name, daemon=True)
        self._show(State.BUILDING)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stop.set()

    def join(self) -> None:
        """Until its process is gone. A unit that is still being fetched is left behind: its thread ends with us."""
        while self._thread.is_alive() and self._phase not in LONG_PHASES:
            self._thread.join(WATCH_SECONDS)
        self._show(State.STOPPED)

    def _run(self) -> None:
        try:
            while True:
                try:
                    self._live()
                except ConfigError as error:
                    self._fail(str(error))
                except MillstreamError as error:
                    self._died(str(error))
        except _StopAskedError:
            self._running.stop()
            self._show(State.STOPPED)
        except BaseException as error:  # a bug of ours: shown like any failure, and the others go on
            self._running.stop()
            self._show(State.FAILED, f"{type(error).__name__} in the launcher: see launcher.log")
            raise

    def _live(self) -> None:
        """One life of the unit. Raises ConfigError when another would not help, TransientError when it died."""
        self._running.prepare(self._report)
        self._phase = ""
        self._await_needs()
        self._check_stop()
        self._running.start()
        self._show(State.STARTING)
        if self._kind is Kind.TASK:
            self._finish_task()
        else:
            self._await_ready()
            self._watch()

    def _await_needs(self) -> None:
        waiting = list(self.needs)
        while waiting:
            self._check_stop()
            need = self._board.get(waiting[0])
            if need is None or need.state is State.READY:
                waiting.pop(0)
            elif need.state is State.FAILED:
                raise ConfigError(needed_failed(need.name))
            else:
                self._show(State.STARTING, f"waits for {need.name}")
                self._board.wait(WATCH_SECONDS)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self.part.ready_seconds
        while not self._running.is_ready():
            self._check_stop()
            self._check_alive()
            if time.monotonic() > deadline:
                self._running.stop()
                raise self._running.too_slow()
            time.sleep(POLL_SECONDS)
        self._was_ready = True
        self._show(State.READY)

    def _finish_task(self) -> None:
        """Ready once it has ended with 0; anything else is final."""
        while (code := self._running.exit_code()) is None:
            self._check_stop()
            time.sleep(POLL_SECONDS)
        self._running.stop()
        if code:
            raise ConfigError(f"ended with exit code {code}: {log_tail(self.part.log_file)}")
        self._show(State.READY, "done")
        self._stop.wait()
        raise _StopAskedError

    def _watch(self) -> None:
        while True:
            self._check_stop()
            self._check_alive()
            self._board.catch_up()
            self._stop.wait(WATCH_SECONDS)

    def _check_alive(self) -> None:
        code = self._running.exit_code()
        if code is None:
            return
        self._running.stop()
        if refused(code, self._was_ready):
            raise ConfigError(log_tail(self.part.log_file) or "ended with exit code 1")
        raise self._running.ended(code)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _StopAskedError

    def _died(self, message: str) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        decision = decide(self._policy, self._deaths, now)
        if isinstance(decision, GiveUp):
            self._fail(f"{decision.reason}; last: {message}")
        else:
            self._show(State.STARTING, message)
            if self._stop.wait(decision.after_seconds):
                raise _StopAskedError

    def _fail(self, message: str) -> None:
        self._show(State.FAILED, message)
        self._stop.wait()
        raise _StopAskedError

    def _report(self, progress: Progress) -> None:
        self._phase = progress.phase
        state = State.BUILDING if not self._was_ready else State.STARTING
        self._show(state, f"{progress.phase}: {progress.message}", progress.fraction)

    def _show(self, state: State, message: str = "", progress: float | None = None) -> None:
        before = self._board.get(self.name)
        if before is not None and before.state is State.FAILED and state is State.STOPPED:
            return
        if before is None or before.state is not state:
            with suppress(OSError):  # a full disk
                sys.stderr.write(
                    f"{time.strftime('%H:%M:%S')} {self.name}: {state}{': ' + message if message else ''}\n"
                )
        shown = UnitStatus(self.name, self._kind, state, self.part.address, str(self.part.log_file), since="")
        pid = self._running.pid if state in (State.STARTING, State.READY) else None
        changed = replace(shown, pid=pid, restarts=len(self._deaths), message=message, progress=progress)
        self._board.put(replace(changed, since=before.since) if before is not None else changed)


class Supervisor:
    """All units of one stack. `external`: names and addresses of parts that others run; they count as ready."""

    def __init__(
        self,
        board: Board,
        parts: Sequence[Part],
        services: Sequence[Part],
        *,
        tasks: Sequence[str] = (),
        external: Sequence[tuple[str, str]] = (),
        policy: RestartPolicy | None = None,
        held: int | None = None,
    ) -> None:
        for name, address in external:
            board.put(UnitStatus(name, Kind.PART, State.READY, address, "", "", message="from settings", external=True))
        kinds = {part.name: Kind.PART for part in parts}
        kinds |= {service.name: Kind.TASK if service.name in tasks else Kind.SERVICE for service in services}
        units = [Unit(part, kinds[part.name], board, policy or RestartPolicy(), held) for part in (*parts, *services)]
        self._waves = waves(units)
        board.publish()

    def start(self) -> None:
        """Returns at once; the board tells how far they are."""
        for wave in self._waves:
            for unit in wave:
                unit.start()

    def stop(self) -> None:
        """Returns when no process is left."""
        for wave in reversed(self._waves):
            for unit in wave:
                unit.ask_to_stop()
            for unit in wave:
                unit.join()
