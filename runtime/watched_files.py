"""What files declare, as a process knows it now: read again when one of them changes.

A broken edit changes nothing: the last good state stays, an error line and metrics tell, and `fault` says so.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from runtime.metrics import ALERTS, SOURCES_RELOADS, Metrics
from schemas.errors import ConfigError

POLL_SECONDS = 1.0

T = TypeVar("T")
Stamp = tuple[int, int, int] | None

log = structlog.get_logger("millstream.files")


class WatchedFiles(Generic[T]):
    """Holds what `load` makes of the files; construction reads them and raises ConfigError when they are broken."""

    def __init__(
        self, files: Sequence[Path | None], load: Callable[[], T], metrics: Metrics, *, what: str = "sources"
    ) -> None:
        self._what = what
        self._files = tuple(files)
        self._load = load
        self._metrics = metrics
        self._stamps = self._look()
        self.current = load()
        self.fault: str | None = None

    def reload(self) -> None:
        """Read the files again if one of them changed since they were last read."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self.current = self._load()
        except ConfigError as error:
            self.fault = str(error)
            self._metrics.count(SOURCES_RELOADS, outcome="broken")
            self._metrics.count(ALERTS, alert=f"{self._what}_broken")
            log.error("not reloaded, the last good ones stay", what=self._what, error=str(error))
        else:
            self.fault = None
            self._metrics.count(SOURCES_RELOADS, outcome="reloaded")
            log.info("reloaded", what=self._what)

    async def watch(self) -> None:
        """Reload for ever."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self.reload()

    def _look(self) -> tuple[Stamp, ...]:
        return tuple(_stamp(file) for file in self._files)


def _stamp(file: Path | None) -> Stamp:
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
