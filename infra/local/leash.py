"""Ties a child process to its launcher: run as a script, forks a watcher, then becomes the child.

The launcher holds the other end of a pipe. When it goes away, by whatever death, the pipe closes and the watcher ends
the child's process group: the stop signal first, SIGKILL after the grace. When the child itself ends, the watcher ends
what is left of the group. PR_SET_PDEATHSIG would not do: it fires when the parent's *thread* ends; setuid clears it.

Standard library only and no imports of ours: it runs with `python -I -S`, in about 15 ms.
"""

import os
import pwd
import select
import signal
import sys
import time


def _wait(pipe: int, child: int) -> bool:
    """Until the pipe closes (True) or the child ends (False)."""
    if hasattr(os, "pidfd_open"):
        ended = os.pidfd_open(child)
        readable, _, _ = select.select([pipe, ended], [], [])
        return ended not in readable
    while True:
        readable, _, _ = select.select([pipe], [], [], 0.2)
        if readable:
            return True
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return False


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def watch(pipe: int, child: int, stop_signal: int, grace: float) -> None:
    """End the group led by `child` when the pipe's other end closes; end its remains when the child ends."""
    launcher_gone = _wait(pipe, child)
    if launcher_gone:
        try:
            os.kill(child, stop_signal)
        except ProcessLookupError:
            grace = 0
        deadline = time.monotonic() + grace
        while _group_exists(child) and time.monotonic() < deadline:
            time.sleep(0.05)
    deadline = time.monotonic() + 5.0
    while _group_exists(child) and time.monotonic() < deadline:
        os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)


def _fork_watcher(pipe: int, stop_signal: int, grace: float) -> None:
    """Fork twice, so that the watcher is nobody's child and lives in a session of its own."""
    child = os.getpid()
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.chdir("/")
    try:
        watch(pipe, child, stop_signal, grace)
    finally:
        os._exit(0)


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def main(arguments: list[str]) -> None:
    """Arguments: descriptors, stop signal's number, grace in seconds, user or "", program, its arguments.

    The descriptors (comma-separated): the pipe, and what the watcher alone keeps open until the group is gone.
    """
    descriptors, stop_signal, grace, user, *command = arguments
    pipe, *held = (int(descriptor) for descriptor in descriptors.split(","))
    _fork_watcher(pipe, int(stop_signal), float(grace))
    for descriptor in (pipe, *held):
        os.close(descriptor)
    if user:
        _become(user)
    os.execvp(command[0], command)  # noqa: S606 - the launcher's own command, never a shell


if __name__ == "__main__":
    main(sys.argv[1:])
