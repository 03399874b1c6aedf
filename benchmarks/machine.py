"""What a figure was measured on: the machine, the revision of the code, the memory of the processes."""

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.results import Machine, Setup

_ROOT = Path(__file__).parent.parent
_CPUINFO = Path("/proc/cpuinfo")
_MB = 1024 * 1024


def setup(pids: Mapping[str, int], load_before: float) -> Setup:
    """This run's surroundings as they are now, with the memory of the processes of those ids."""
    return Setup(machine(), revision(), datetime.now(UTC), rss_mb(pids), load_before)


def load_average() -> float:
    """Running and waiting processes on average over the last minute."""
    return round(psutil.getloadavg()[0], 2)


def machine() -> Machine:
    """This machine; `cores` are those this process may use."""
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_mb=psutil.virtual_memory().total // _MB,
        cpu=_cpu(),
        python=platform.python_version(),
    )


def _cpu() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def revision(root: Path = _ROOT) -> str:
    """The short git revision of `root`, with -dirty where tracked files differ; 'unknown' outside a repository."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip()


def rss_mb(pids: Mapping[str, int]) -> dict[str, float]:
    """Resident memory of each process, and under NAME.children that of all it started, added up.

    Pages that several share count for each. A process that is gone is left out.
    """
    found: dict[str, float] = {}
    for name, pid in pids.items():
        try:
            process = psutil.Process(pid)
            found[name] = _resident(process)
            children = process.children(recursive=True)
            if children:
                found[f"{name}.children"] = round(sum(_resident(child) for child in children), 1)
        except psutil.Error:
            continue
    return found


def cpu_seconds() -> float:
    """What this process and all it started, and that is still there, have used of the cores so far."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def _resident(process: psutil.Process) -> float:
    return round(process.memory_info().rss / _MB, 1)
