"""What is left of a stack: every process that names its folder, in arguments, environment or working directory."""

import time
from pathlib import Path

import psutil


def processes_of(folder: Path) -> list[str]:
    """Command lines of living processes (not of this one, nor of those already dead but not yet reaped)."""
    name = str(folder)
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == psutil.Process().pid or process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = " ".join(process.cmdline())
            where = [command, *process.environ().values(), process.cwd()]
        except psutil.Error:
            continue
        if any(name in text for text in where):
            found.append(command[:200])
    return found


def processes_left(folder: Path, seconds: float = 20.0) -> list[str]:
    """Those still there after a while; returns as soon as there are none."""
    deadline = time.monotonic() + seconds
    while (found := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
