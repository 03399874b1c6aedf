"""`up`, `down` and `status` for the command line: starts the launcher detached, follows it, and ends it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.local.children import log_tail
from infra.local.status import (
    LAUNCHER_LOCK,
    PROCESSES_LOCK,
    Status,
    UnitStatus,
    lock_is_held,
    lock_owner,
    needed_failed,
    read_status,
)
from schemas.errors import ConfigError, TransientError

__all__ = ["down", "read_status", "up"]

FOLLOW_SECONDS = 0.1
STOP_SECONDS = 60.0
StatusSink = Callable[[Status], None]


def ignore(status: Status) -> None:
    """Drops every status."""
    del status


def up(
    state_dir: Path,
    progress: StatusSink = ignore,
    *,
    only: Sequence[str] = (),
    services: bool = True,
    environ: Mapping[str, str] | None = None,
) -> Status:
    """Start everything of the project and return once all is ready; at once when it is already.

    `progress` gets every new status. `only`: some parts instead of all. Raises TransientError with the unit's message
    when one fails, ConfigError when the launcher refuses. What this call started is down again when it raises, Ctrl-C
    included.
    """
    state_dir = state_dir.absolute()
    launcher = None
    if not lock_is_held(state_dir / LAUNCHER_LOCK):
        launcher = _start_launcher(state_dir, only, services, os.environ if environ is None else environ)
    try:
        return _follow(state_dir, launcher, progress)
    except BaseException:
        if launcher is not None:
            launcher.terminate()  # it may not hold its lock yet
            launcher.wait(STOP_SECONDS)
            down(state_dir)
        raise


def _start_launcher(
    state_dir: Path, only: Sequence[str], services: bool, environ: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    logs = state_dir / "logs"
    for folder in (state_dir, logs):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "infra.local", "--state-dir", str(state_dir), "--only", ",".join(only)]
    with (logs / "launcher.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - ourselves
            command if services else [*command, "--no-services"],
            env=dict(environ),
            cwd=state_dir.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _follow(state_dir: Path, launcher: "subprocess.Popen[bytes] | None", progress: StatusSink) -> Status:
    shown: Status | None = None
    while True:
        ended = launcher is not None and launcher.poll() is not None
        status = read_status(state_dir)
        if status != shown:
            progress(status)
            shown = status
        if status.ready:
            return status
        if status.running and status.failed:
            raise TransientError("\n".join(f"{unit.name}: {unit.message}" for unit in causes(status.failed)))
        if not status.running and (launcher is None or ended):
            last = log_tail(state_dir / "logs" / "launcher.log", 1)
            raise ConfigError(last or "the launcher ended: see logs/launcher.log")
        time.sleep(FOLLOW_SECONDS)


def causes(failed: Sequence[UnitStatus]) -> list[UnitStatus]:
    """The units that failed of themselves, without those that only needed one of them."""
    names = {unit.name for unit in failed}
    return [unit for unit in failed if unit.message not in {needed_failed(name) for name in names}]


def down(state_dir: Path, purge: bool = False) -> bool:
    """Stop everything; the data stays unless `purge`. Returns whether anything ran. No process is left afterwards.

    Raises TransientError when something cannot be stopped within a minute, ConfigError when `purge` meets a folder that
    is not ours.
    """
    state_dir = state_dir.absolute()
    held = state_dir / PROCESSES_LOCK
    ran = lock_is_held(state_dir / LAUNCHER_LOCK) or lock_is_held(held)
    if lock_is_held(state_dir / LAUNCHER_LOCK):
        _signal_launcher(state_dir, signal.SIGTERM)
        if not _wait_free(held, STOP_SECONDS):
            _signal_launcher(state_dir, signal.SIGKILL)  # the watchers end its children
    if not _wait_free(held, STOP_SECONDS):
        raise TransientError(f"processes of {state_dir} are still there: see its logs/launcher.log")
    if purge and state_dir.exists():
        if not (state_dir / "profile.json").exists():
            raise ConfigError(f"{state_dir} has no profile.json, so it is not ours to remove")
        shutil.rmtree(state_dir)
    return ran


def _signal_launcher(state_dir: Path, number: int) -> None:
    try:
        owner = lock_owner(state_dir / LAUNCHER_LOCK)
        if owner is not None:
            os.kill(owner, number)
    except ProcessLookupError:
        return


def _wait_free(lock: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while lock_is_held(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
