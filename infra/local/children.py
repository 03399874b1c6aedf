"""Child processes: an own session each, output to a log file, ended by process group, never orphaned (see leash).

`Child` is one run of one `Command`; starting again makes a new one.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.local import leash

KEEP_LOG_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `environment` is complete: nothing is inherited. `user` only when the launcher is root."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    log_file: Path
    stop_signal: int = signal.SIGTERM
    grace_seconds: float = 10.0
    user: str = ""


class Leash:
    """The launcher's end of the pipe: while it is open, what runs under `prefix` lives. See the module leash.

    `held` is a descriptor that the watcher keeps open until the process group is gone: a lock that tells others so.
    """

    def __init__(self, stop_signal: int = signal.SIGTERM, grace: float = 5.0, user: str = "", held: int | None = None):
        reading, self._writing = os.pipe()
        self._reading = reading
        self.descriptors = (reading,) if held is None else (reading, held)
        listed = ",".join(str(descriptor) for descriptor in self.descriptors)
        options = (listed, str(int(stop_signal)), str(grace), user)
        self.prefix = (sys.executable, "-I", "-S", leash.__file__, *options)

    def started(self) -> None:
        """Call after the start: the reading end belongs to the watcher now."""
        os.close(self._reading)

    def drop(self) -> None:
        """Let go: what still runs is ended. Harmless when done before."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1


def log_tail(log_file: Path, lines: int = 8) -> str:
    """The last lines of a log, or an empty string where there is none."""
    try:
        with log_file.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 16_384))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _open_log(log_file: Path) -> int:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > KEEP_LOG_BYTES:
        log_file.replace(log_file.with_suffix(log_file.suffix + ".1"))
    return os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


class Child:
    """A started process. Its `pid` is the program's own, and the id of its process group."""

    def __init__(self, command: Command, held: int | None = None) -> None:
        """Start it. Raises OSError when the interpreter cannot be started; a missing program shows as exit code 1.

        `held`: see Leash.
        """
        self.command = command
        self._leash = Leash(command.stop_signal, command.grace_seconds, command.user, held)
        log = _open_log(command.log_file)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - runs what a part declares
                [*self._leash.prefix, *command.argv],
                env=dict(command.environment),
                cwd=command.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self._leash.descriptors,
                start_new_session=True,
            )
        except BaseException:
            self._leash.drop()
            raise
        finally:
            self._leash.started()
            os.close(log)

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; None when it still runs afterwards."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: int) -> None:
        """Send a signal to the program itself; nothing happens when it has ended."""
        self._process.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL to everything it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def ask_to_stop(self) -> None:
        """Send the stop signal and return at once."""
        self.signal(self.command.stop_signal)

    def stop(self) -> None:
        """Ask, wait for the grace, then kill; returns when the whole group is gone. Harmless when it has ended."""
        self.ask_to_stop()
        if self.wait(self.command.grace_seconds) is None:
            self.kill_group()
            self._process.wait()
        self.reap()

    def reap(self) -> None:
        """After the program's end: wait until nothing of its group is left (the watcher sees to it), drop the leash."""
        self._process.wait()
        deadline = time.monotonic() + 5.0
        while group_exists(self.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._leash.drop()


def group_exists(group: int) -> bool:
    """Whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
