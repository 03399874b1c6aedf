"""status.json: what the launcher says about every unit (part, task or service), for people and scripts.

The launcher writes it whole, by rename. While the launcher's lock is free, nothing runs, whatever the file says.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from infra.local.profile import write_private

STATUS_FILE = "status.json"
LAUNCHER_LOCK = "launcher.lock"
# Held by the launcher and by the watchers of its processes: free once every one of them is gone.
PROCESSES_LOCK = "processes.lock"
LEAST_SECONDS_BETWEEN_PROGRESS = 0.2


class State(StrEnum):
    BUILDING = "building"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


class Kind(StrEnum):
    PART = "part"
    TASK = "task"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """One unit. `since`: when it came into its state, ISO 8601 UTC. `progress`: 0..1 while it is built, if known."""

    name: str
    kind: Kind
    state: State
    address: str
    log: str
    since: str
    pid: int | None = None
    restarts: int = 0
    message: str = ""
    progress: float | None = None
    external: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """`running`: a launcher is alive. `profile` and `secrets`: files with the ports and with the keys."""

    running: bool
    launcher: int | None
    state_dir: str
    profile: str
    secrets: str
    units: tuple[UnitStatus, ...] = field(default=())

    @property
    def ready(self) -> bool:
        return self.running and bool(self.units) and all(unit.state is State.READY for unit in self.units)

    @property
    def failed(self) -> tuple[UnitStatus, ...]:
        return tuple(unit for unit in self.units if unit.state is State.FAILED)

    def unit(self, name: str) -> UnitStatus | None:
        return next((unit for unit in self.units if unit.name == name), None)

    def as_json(self) -> str:
        """Indented JSON of all fields, `ready` included."""
        return json.dumps(asdict(self) | {"ready": self.ready}, indent=2)


def lock_is_held(file: Path) -> bool:
    """Whether another process holds the lock."""
    try:
        handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def lock_owner(file: Path) -> int | None:
    """The process that holds or last held the launcher's lock."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def read_status(state_dir: Path) -> Status:
    """What runs now. Where no launcher is alive, the last one's units are stopped (or failed, with their message)."""
    state_dir = state_dir.absolute()
    running = lock_is_held(state_dir / LAUNCHER_LOCK)
    try:
        written = json.loads((state_dir / STATUS_FILE).read_text())
        units = tuple(_unit(unit) for unit in written["units"])
        launcher = int(written["launcher"])
    except (OSError, ValueError, KeyError, TypeError):
        units, launcher = (), 0
    if not running:
        units = tuple(_stopped(unit) for unit in units)
    elif launcher != lock_owner(state_dir / LAUNCHER_LOCK):
        units = ()  # written by the launcher before this one
    return Status(running, launcher if running else None, str(state_dir), *_files(state_dir), units)


def _files(state_dir: Path) -> tuple[str, str]:
    return str(state_dir / "profile.json"), str(state_dir / "secrets.json")


def _unit(written: Mapping[str, object]) -> UnitStatus:
    pid, progress = written["pid"], written["progress"]
    return UnitStatus(
        name=str(written["name"]),
        kind=Kind(str(written["kind"])),
        state=State(str(written["state"])),
        address=str(written["address"]),
        log=str(written["log"]),
        since=str(written["since"]),
        pid=pid if isinstance(pid, int) else None,
        restarts=int(str(written["restarts"])),
        message=str(written["message"]),
        progress=progress if isinstance(progress, float) else None,
        external=written["external"] is True,
    )


def _stopped(unit: UnitStatus) -> UnitStatus:
    if unit.state is State.FAILED:
        return replace(unit, pid=None)
    return replace(unit, state=State.STOPPED, pid=None, progress=None, message="")


def needed_failed(need: str) -> str:
    """The message of a unit that failed only because one that it needs did."""
    return f"needs {need}, which failed"


def now_text() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Board:
    """The launcher's view of its units; every change reaches status.json and whoever waits for one."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._units: dict[str, UnitStatus] = {}
        self._changed = threading.Condition()
        self._written = 0.0
        self._published = False
        self._is_unwritten = False

    def publish(self) -> None:
        """All units are there: from now on every change is written."""
        with self._changed:
            self._published = True
            self._write()

    def put(self, unit: UnitStatus) -> None:
        """Add or replace a unit. Saying the same again wakes nobody: those who wait say so each time they wake."""
        with self._changed:
            before = self._units.get(unit.name)
            if unit == before:
                return
            moved = before is None or before.state is not unit.state
            self._units[unit.name] = replace(unit, since=now_text()) if moved else unit
            due = moved or time.monotonic() - self._written > LEAST_SECONDS_BETWEEN_PROGRESS
            if due and self._published:
                self._write()
            self._changed.notify_all()

    def get(self, name: str) -> UnitStatus | None:
        with self._changed:
            return self._units.get(name)

    def wait(self, seconds: float) -> None:
        """Until something changes."""
        with self._changed:
            self._changed.wait(seconds)

    def catch_up(self) -> None:
        """Write what a full disk did not take."""
        with self._changed:
            if self._is_unwritten:
                self._write()

    def _write(self) -> None:
        """A full disk is no reason to end what runs: it is written as soon as there is room."""
        try:
            self._write_file()
        except OSError:
            self._is_unwritten = True
        else:
            self._is_unwritten = False

    def _write_file(self) -> None:
        status = Status(True, os.getpid(), str(self._state_dir), *_files(self._state_dir), tuple(self._units.values()))
        write_private(self._state_dir / STATUS_FILE, status.as_json() + "\n")
        self._written = time.monotonic()
