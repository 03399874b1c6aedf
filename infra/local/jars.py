"""Java parts from Maven coordinates: jars.toml names every jar of a set and its SHA-256; jgo downloads them.

The list is locked, not resolved at run time: it is faster, the same everywhere, and jgo lets the dependency management
of one root leak into another's (log4j's pins kafka-clients to 3.8.0). `python -m infra.local.lock_jars` writes it anew.
"""

import hashlib
import shutil
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from infra.local.progress import Progress, ProgressSink

LOCK_FILE = Path(__file__).with_name("jars.toml")
DOWNLOADS_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class JarSet:
    """The jars of one part: `group:artifact:version` -> SHA-256 in hex. Its folder in the cache holds them flat."""

    name: str
    version: str
    jars: Mapping[str, str]

    @property
    def key(self) -> str:
        listed = "\n".join(f"{coordinate} {digest}" for coordinate, digest in sorted(self.jars.items()))
        return f"{self.name}-{self.version}-{hashlib.sha256(listed.encode()).hexdigest()[:8]}"

    def build(self, target: Path, report: ProgressSink) -> None:
        """Download every jar into `target` and check it.

        Raises TransientError when a download fails, ConfigError when a jar is not the locked one.
        """
        from infra.local import maven  # jgo takes 0.2 s to import, and is rarely needed

        context = maven.maven_context(target / ".maven")
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE, thread_name_prefix=self.name) as pool:
            waiting = [
                pool.submit(maven.download, context, coordinate, digest, target)
                for coordinate, digest in self.jars.items()
            ]
            try:
                for count, done in enumerate(as_completed(waiting), start=1):
                    done.result()
                    report(Progress(self.name, "fetch", f"{count} of {len(waiting)} jars", count / len(waiting)))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        shutil.rmtree(target / ".maven")


def load_jar_sets() -> dict[str, JarSet]:
    """The locked sets by name: kafka, connect, debezium."""
    locked = tomllib.loads(LOCK_FILE.read_text())
    return {name: JarSet(name, section["version"], section["jars"]) for name, section in locked.items()}
