"""Named points at which a process of a development profile can be made to die or to pause: how tests show that a crash
at any step loses nothing.

Nothing is armed unless MILLSTREAM_FAULTS_DIR names a folder: then reaching a point looks there for a file
`<process>@<point>` that says what shall happen, and when. Whoever carries it out takes the file away first, so that it
happens once, to one process, and not to the one started in its place.
"""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from schemas.errors import ConfigError

_PROFILE = "profile.json"
_DONE = "done"


class Point(StrEnum):
    """A step that is just done, numbered as in the design; the first of each group is before all of them."""

    TAKE_OVER_1 = "take_over.1"
    """The heads are read, nothing is written."""
    TAKE_OVER_2 = "take_over.2"
    """The take-over record is in the log."""
    TAKE_OVER_3 = "take_over.3"
    """The claim is in the store."""
    TAKE_OVER_4 = "take_over.4"
    """The head is shown to readers."""
    TAKE_OVER_5 = "take_over.5"
    """The head is settled."""
    TAKE_OVER_6 = "take_over.6"
    """The earlier heads are removed."""
    COMMIT_1 = "commit.1"
    """A batch begins."""
    COMMIT_2 = "commit.2"
    """It is planned."""
    COMMIT_3 = "commit.3"
    """Some of the added chunk rows are in."""
    COMMIT_4 = "commit.4"
    """The document rows are in."""
    COMMIT_5 = "commit.5"
    """The head is published."""
    COMMIT_6 = "commit.6"
    """The commits are told."""
    COMMIT_7 = "commit.7"
    """The offset is acknowledged, and the store knows it."""
    SWEEP_1 = "sweep.1"
    """The heads were looked at: the epoch is still the highest."""
    SWEEP_2 = "sweep.2"
    """The end of history has moved."""
    SWEEP_3 = "sweep.3"
    """The head says that a run is under way."""
    SWEEP_4 = "sweep.4"
    """Some superseded rows are closed or removed."""
    SWEEP_5 = "sweep.5"
    """The head says how far the run came."""
    SWEEP_6 = "sweep.6"
    """Rows that history has ended for are removed."""
    SWEEP_7 = "sweep.7"
    """Rows of dead writers are removed."""
    DOOR_1 = "door.1"
    """A change is about to be appended to documents.changes."""
    DOOR_2 = "door.2"
    """The change is in the log, its acl's own copy is not."""
    DOOR_3 = "door.3"
    """All of it is in the log, nobody was told."""
    PREPARE_1 = "prepare.1"
    """A mutation is ready."""
    PREPARE_2 = "prepare.2"
    """It is in the log; the change is not acknowledged."""
    HIDE_1 = "hide.1"
    """A hide is decided on."""
    HIDE_2 = "hide.2"
    """It is in the log; the change is not acknowledged."""


class Action(StrEnum):
    """What happens at a point."""

    KILL = "kill"
    STOP = "stop"
    """SIGSTOP: somebody else has to send SIGCONT."""
    TELL = "tell"
    """Nothing but that it is told to have been reached."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What was carried out: by which process, at what time of the wall clock."""

    process: str
    point: Point
    action: Action
    pid: int
    at: float


@dataclass(slots=True)
class Faults:
    """A folder of faults as its processes and those who order them see it."""

    folder: Path

    def order(self, process: str, point: Point, action: Action, times: int = 1) -> None:
        """Have it happen when `process` reaches the point for the `times`-th time from now on."""
        done = self.folder / _DONE
        done.mkdir(parents=True, exist_ok=True)
        draft = done / f".{process}@{point}"
        draft.write_text(f"{action} {times}")
        draft.rename(self._file(process, point))

    def withdraw(self, process: str, point: Point) -> bool:
        """Whether it was still to happen, and now will not."""
        try:
            self._file(process, point).unlink()
        except FileNotFoundError:
            return False
        return True

    def reached(self) -> tuple[Reached, ...]:
        """All that happened, in order of time."""
        return tuple(sorted(map(_read, (self.folder / _DONE).glob("[!.]*")), key=lambda each: each.at))

    def read(self, process: str, point: Point) -> tuple[Action, int] | None:
        """What is ordered."""
        try:
            action, times = self._file(process, point).read_text().split()
        except FileNotFoundError:
            return None
        return Action(action), int(times)

    def take(self, process: str, point: Point, action: Action) -> bool:
        """Whether it falls to this process to carry it out."""
        name = f"{process}@{point}@{action}@{os.getpid()}@{time.time()!r}"
        try:
            self._file(process, point).rename(self.folder / _DONE / name)
        except FileNotFoundError:
            return False
        return True

    def _file(self, process: str, point: Point) -> Path:
        return self.folder / f"{process}@{point}"


def _read(file: Path) -> Reached:
    process, point, action, pid, at = file.name.split("@")
    return Reached(process, Point(point), Action(action), int(pid), float(at))


@dataclass(slots=True)
class _Armed:
    process: str
    faults: Faults
    counts: Counter[Point] = field(default_factory=Counter)

    def reach(self, point: Point) -> None:
        ordered = self.faults.read(self.process, point)
        if ordered is None:
            self.counts.pop(point, None)
            return
        action, times = ordered
        self.counts[point] += 1
        if self.counts[point] >= times and self.faults.take(self.process, point, action):
            del self.counts[point]
            _carry_out(action)


def _carry_out(action: Action) -> None:
    if action is Action.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    elif action is Action.STOP:
        os.kill(os.getpid(), signal.SIGSTOP)


class _Points:
    """Of this process. Nothing is armed until its __main__ says so."""

    armed: _Armed | None = None


def arm(folder: Path | None, process: str, state_dir: Path) -> None:
    """Call once, at the start of a process. Without a folder nothing is armed.

    Raises ConfigError outside a development profile.
    """
    if folder is None:
        return
    if not (state_dir / _PROFILE).exists():
        raise ConfigError("MILLSTREAM_FAULTS_DIR is for development profiles alone: unset it")
    _Points.armed = _Armed(process, Faults(folder))


def disarm() -> None:
    """Nothing is armed any more."""
    _Points.armed = None


def reach(point: Point) -> None:
    """This process is at `point`. Costs nothing where nothing is armed."""
    if _Points.armed is not None:
        _Points.armed.reach(point)
