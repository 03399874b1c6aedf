"""Reads the two files that declare an installation: topics.yaml and sources.yaml."""

from pathlib import Path

from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.sources import Sources, parse_sources
from schemas.topics import Topics, parse_topics


def load_topics(settings: Settings) -> Topics:
    """topics.yaml, as stated by MILLSTREAM_TOPICS_FILE. Raises ConfigError with one line."""
    return parse_topics(_read(settings.topics_file, "MILLSTREAM_TOPICS_FILE"))


def load_sources(settings: Settings) -> Sources:
    """sources.yaml, as applied. Raises ConfigError with one line."""
    return parse_sources(_read(settings.sources_file, "MILLSTREAM_SOURCES_FILE"))


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: run `millstream up`, or set {setting}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}") from None
