"""What a part is: where it answers, what it needs, how it is made ready and started. Each has a module and a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.local.children import Command
from infra.local.progress import ProgressSink

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where one part keeps its files."""

    data: Path
    log_file: Path

    @classmethod
    def under(cls, state_dir: Path, name: str) -> "Place":
        return cls(state_dir / "data" / name, state_dir / "logs" / f"{name}.log")
