"""What a part is: where it answers, what it needs, how it is made ready and started. Each has a module and a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from infra.local.children import Command
from infra.local.progress import ProgressSink
from schemas.errors import ConfigError

# The only variables of the caller that a part sees.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


class Part(Protocol):
    """A real outside system run as one child process."""

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> Sequence[str]:
        """Names of what must be ready before this starts."""
        ...

    @property
    def address(self) -> str:
        """Where clients reach it."""
        ...

    @property
    def log_file(self) -> Path: ...

    @property
    def ready_seconds(self) -> float:
        """How long it may take from start to ready on a slow machine."""
        ...

    def prepare(self, report: ProgressSink) -> None:
        """Fetch it and write its files; harmless when done before. Raises TransientError or ConfigError."""
        ...

    def command(self) -> Command:
        """How to start it; only after prepare."""
        ...

    def is_ready(self) -> bool:
        """Whether it answers clients now; at most about a second."""
        ...


class Needing(Protocol):
    """Whatever is named and needs others."""

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> Sequence[str]: ...


N = TypeVar("N", bound=Needing)


def waves(things: Sequence[N]) -> list[list[N]]:
    """Things in the order of starting: each wave needs only earlier ones. Needs that are not among them count as met.

    Raises ConfigError where things need each other in a circle.
    """
    left, ordered = list(things), list[list[N]]()
    while left:
        names = {thing.name for thing in left}
        wave = [thing for thing in left if not names.intersection(thing.needs)]
        if not wave:
            raise ConfigError(f"these need each other: {', '.join(sorted(names))}")
        ordered.append(wave)
        left = [thing for thing in left if thing not in wave]
    return ordered


def own_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter. Parts write files that others could read (Kafka's segments hold
    documents), and the folders above stop nobody once Postgres' user may pass through them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one part keeps its files."""

    data: Path
    log_file: Path

    @classmethod
    def under(cls, state_dir: Path, name: str) -> "Place":
        return cls(state_dir / "data" / name, state_dir / "logs" / f"{name}.log")
