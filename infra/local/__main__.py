"""The launcher: `python -m infra.local --state-dir DIR` runs the stack of one project until SIGTERM or SIGINT.

`millstream up` starts it detached; it can as well run in the foreground under any supervisor. One a state directory.
"""

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.local import profile as profiles
from infra.local.cache import Cache, cache_dir_of, file_lock
from infra.local.services import BOOTSTRAP, application
from infra.local.stack import PART_NAMES, build_parts, given_addresses
from infra.local.status import LAUNCHER_LOCK, PROCESSES_LOCK, Board
from infra.local.supervisor import Supervisor
from schemas.errors import ConfigError

ALREADY_RUNNING = 3


@contextlib.contextmanager
def sole_launcher(state_dir: Path) -> Iterator[int]:
    """The right to run this state directory's processes; yields the descriptor that their watchers hold.

    Waits for the processes of a launcher that died. Raises BlockingIOError when another one runs.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(state_dir / LAUNCHER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock_soon(handle)
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        with file_lock(state_dir / PROCESSES_LOCK) as held:
            yield held
    finally:
        os.close(handle)


def _lock_soon(handle: int) -> None:
    """Take the lock; whoever only looks whether it is held holds it for a moment, so one failure proves nothing."""
    for _ in range(20):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.05)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def build(state_dir: Path, environ: Mapping[str, str], only: list[str], with_services: bool, held: int) -> Supervisor:
    """Profile, parts and services of one project. Raises ConfigError."""
    profile = profiles.load_or_create(state_dir, environ)
    environment = profile.environment(environ)
    given = {name: address for name, address in given_addresses(profile, environ).items() if name in only}
    own = [name for name in only if name not in given]
    parts = build_parts(profile, own, Cache(cache_dir_of(environ)), environment["MILLSTREAM_KAFKA_BOOTSTRAP"])
    services = application(environment, profile.ports, profile.state_dir) if with_services else []
    board = Board(profile.state_dir)
    return Supervisor(board, parts, services, tasks=(BOOTSTRAP,), external=tuple(given.items()), held=held)


def stop_signals() -> int:
    """A descriptor that can be read once SIGTERM or SIGINT has come.

    The interpreter's C handler writes to it, so a signal that comes just before the read begins is not slept through,
    as it would be in an Event's wait (seen once: a launcher that outlived Ctrl-C).
    """
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return readable


def run(arguments: argparse.Namespace) -> int:
    """Until a signal. Exit codes: 0 stopped, 1 refused, 3 another launcher runs."""
    asked_to_stop = stop_signals()
    state_dir = Path(arguments.state_dir).absolute()
    only = arguments.only.split(",") if arguments.only else list(PART_NAMES)
    try:
        with sole_launcher(state_dir) as held:
            supervisor = build(state_dir, os.environ, only, not arguments.no_services, held)
            supervisor.start()
            os.read(asked_to_stop, 1)
            supervisor.stop()
    except BlockingIOError:
        sys.stderr.write(f"another launcher runs {state_dir}\n")
        return ALREADY_RUNNING
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.add_argument("--state-dir", required=True, help="the project's .millstream folder")
    parser.add_argument("--only", default="", help=f"parts to start, comma-separated, of {', '.join(PART_NAMES)}")
    parser.add_argument("--no-services", action="store_true", help="the parts alone, without Millstream's processes")
    code = run(parser.parse_args())
    sys.stderr.flush()
    os._exit(code)  # threads that still fetch are not waited for; what they started is on a leash


if __name__ == "__main__":
    main()
