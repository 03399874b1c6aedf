"""The declared sources and their secrets as this process knows them now, read again when a file changes.

A broken edit changes nothing: the last good state stays, an error line and a metric tell, and readiness says so.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from connectors.webhook.signatures import Secrets, load_secrets
from runtime.declarations import load_sources
from runtime.metrics import ALERTS, SOURCES_RELOADS, Metrics
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.sources import SourceConfig

POLL_SECONDS = 1.0

log = structlog.get_logger("millstream.webhook")

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Senders:
    """Who may send: webhook sources with their secrets."""

    sources: Mapping[str, SourceConfig]
    secrets: Secrets


def load_senders(settings: Settings, environment: Mapping[str, str]) -> Senders:
    """Read both files. Raises ConfigError with one line."""
    declared = load_sources(settings)
    sources = {source.name: source for source in declared.sources if source.kind == "webhook"}
    return Senders(sources, load_secrets(settings.webhook_secrets_file, environment, sources))


class Registry:
    """Holds the current senders. Construction reads the files and raises ConfigError when they are broken."""

    def __init__(self, settings: Settings, load: Callable[[], Senders], metrics: Metrics) -> None:
        self._files = [settings.sources_file, settings.webhook_secrets_file]
        self._load = load
        self._metrics = metrics
        self._stamps = self._look()
        self.senders = load()
        self.fault: str | None = None

    def reload(self) -> None:
        """Read the files again if one of them changed since they were last read."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self.senders = self._load()
        except ConfigError as error:
            self.fault = str(error)
            self._metrics.count(SOURCES_RELOADS, outcome="broken")
            self._metrics.count(ALERTS, alert="sources_broken")
            log.error("sources not reloaded, the last good ones stay", error=str(error))
        else:
            self.fault = None
            self._metrics.count(SOURCES_RELOADS, outcome="reloaded")
            log.info("sources reloaded", sources=len(self.senders.sources))

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
