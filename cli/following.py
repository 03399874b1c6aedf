"""Prints a process's log: its structured lines where it writes them, what it printed otherwise."""

import time
from collections import deque
from pathlib import Path

from cli.session import state_dir
from infra.local.status import read_status
from schemas.errors import ConfigError

_POLL_SECONDS = 0.2

_WRITES_TO = {"ingest": "webhook", "api": "serving"}
"""Our own processes name their structured logs after the program, and the launcher after what it is for; a stage's
begins with `streams-`.
"""


def print_log(name: str, lines: int, *, follow: bool) -> None:
    """Raises ConfigError for a process that there is no log of."""
    file = _log_file(name)
    with file.open("r", encoding="utf-8", errors="replace") as log:
        for line in deque(log, maxlen=lines):
            print(line, end="")
        while follow:
            line = log.readline()
            if line:
                print(line, end="", flush=True)
            else:
                time.sleep(_POLL_SECONDS)


def _log_file(name: str) -> Path:
    status = read_status(state_dir())
    logs, unit = Path(status.state_dir) / "logs", status.unit(name)
    structured = [logs / f"{program}.log" for program in (_WRITES_TO.get(name, f"streams-{name}"), name)]
    candidates = [*structured, *([Path(unit.log)] if unit is not None else [])]
    for file in candidates:
        if file.exists() and file.stat().st_size:
            return file
    known = ", ".join(unit.name for unit in status.units) or "nothing has run yet"
    raise ConfigError(f"no log of {name!r}: there are {known}")
