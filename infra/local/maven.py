"""Downloads from Maven repositories, through jgo: the one module that imports it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext

from schemas.errors import ConfigError, TransientError


def maven_context(repository: Path) -> MavenContext:
    """jgo's downloader with `repository` as its store and the repositories that the user configured for jgo."""
    configured = GlobalSettings.load().repositories
    return MavenContext(repo_cache=repository, remote_repos={"central": MAVEN_CENTRAL_URL, **configured}, timeout=30)


def download(context: MavenContext, coordinate: str, digest: str, target: Path) -> None:
    """Put the jar `group:artifact:version` into `target`, checked against its SHA-256 in hex.

    Raises TransientError when it cannot be had, ConfigError when it is another one.
    """
    group, artifact, version = coordinate.split(":")
    try:
        jar = Path(context.project(group, artifact).at_version(version).artifact().resolve())
    except (RuntimeError, OSError) as error:  # requests' errors are OSErrors
        raise TransientError(f"cannot download {coordinate} ({type(error).__name__}): check the network") from error
    found = hashlib.sha256(jar.read_bytes()).hexdigest()
    if found != digest:
        raise ConfigError(f"{coordinate} is not the jar that jars.toml lists: the repository has SHA-256 {found}")
    jar.rename(target / jar.name)


def resolve(context: MavenContext, root: str) -> Iterator[tuple[str, str]]:
    """What the jar `group:artifact:version` needs to run, itself included: coordinate and SHA-256 in hex of each."""
    inputs, transitive = context.resolver.resolve([context.create_dependency(root)])
    for dependency in (*inputs, *transitive):
        if dependency.scope in (None, "compile", "runtime"):  # a root has none
            jar = Path(dependency.artifact.resolve())
            coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.artifact.version}"
            yield coordinate, hashlib.sha256(jar.read_bytes()).hexdigest()
