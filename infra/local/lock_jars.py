"""Writes jars.toml: resolves the Java parts' dependencies once and records every jar with its SHA-256.

Run `python -m infra.local.lock_jars` after changing a version here. Each root is resolved alone (see jars).
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.local.jars import LOCK_FILE
from infra.local.maven import maven_context, resolve

KAFKA = "4.3.1"
DEBEZIUM = "3.7.0.Final"
LOG4J = "2.25.4"
_LOGGING = tuple(f"org.apache.logging.log4j:{name}:{LOG4J}" for name in ("log4j-api", "log4j-core", "log4j-slf4j-impl"))
# Connect gives these to its plugins; a second copy of Kafka's classes in a plugin breaks it.
_PROVIDED = (
    *("org.apache.kafka:", "org.slf4j:", "jakarta.ws.rs:"),
    *("com.github.luben:", "at.yawk.lz4:", "org.xerial.snappy:"),
)


@dataclass(frozen=True, slots=True)
class Roots:
    name: str
    version: str
    coordinates: tuple[str, ...]
    without: tuple[str, ...] = ()


ROOTS = (
    Roots("kafka", KAFKA, (f"org.apache.kafka:kafka_2.13:{KAFKA}", *_LOGGING)),
    Roots(
        "connect",
        KAFKA,
        (*(f"org.apache.kafka:connect-{name}:{KAFKA}" for name in ("runtime", "json", "transforms")), *_LOGGING),
    ),
    Roots("debezium", DEBEZIUM, (f"io.debezium:debezium-connector-postgres:{DEBEZIUM}",), _PROVIDED),
)


def lock(roots: Roots, repository: Path) -> str:
    """The TOML section of one set. Raises ValueError when two roots want different versions of one artifact."""
    context = maven_context(repository)
    jars: dict[str, str] = {}
    versions: dict[str, str] = {}
    for root in roots.coordinates:
        for coordinate, digest in resolve(context, root):
            artifact, _, version = coordinate.rpartition(":")
            if coordinate.startswith(roots.without):
                continue
            if versions.setdefault(artifact, version) != version:
                raise ValueError(f"{roots.name}: {artifact} in versions {versions[artifact]} and {version}")
            jars[coordinate] = digest
    lines = [f"[{roots.name}]", f'version = "{roots.version}"', "", f"[{roots.name}.jars]"]
    lines += [f'"{coordinate}" = "{digest}"' for coordinate, digest in sorted(jars.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as repository:
        sections = [lock(roots, Path(repository)) for roots in ROOTS]
    LOCK_FILE.write_text(
        "# Written by `python -m infra.local.lock_jars`: every jar of the Java parts.\n\n" + "\n".join(sections)
    )
    sys.stdout.write(f"{LOCK_FILE.name}: {sum(section.count(' = ') - 1 for section in sections)} jars\n")


if __name__ == "__main__":
    main()
