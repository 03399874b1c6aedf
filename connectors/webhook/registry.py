"""The declared webhook sources and their secrets as this process knows them now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from connectors.webhook.signatures import Secrets, load_secrets
from runtime.declarations import load_sources
from runtime.metrics import Metrics
from runtime.settings import Settings
from runtime.watched_files import WatchedFiles
from schemas.sources import SourceConfig


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


class Registry(WatchedFiles[Senders]):
    """Holds the current senders. Construction reads the files and raises ConfigError when they are broken."""

    def __init__(self, settings: Settings, load: Callable[[], Senders], metrics: Metrics) -> None:
        super().__init__([settings.sources_file, settings.webhook_secrets_file], load, metrics)

    @property
    def senders(self) -> Senders:
        """Who may send now."""
        return self.current
