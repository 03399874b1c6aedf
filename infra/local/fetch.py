"""Fetches what the parts need into the cache, side by side, each thing once."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from infra.local.cache import Cache
from infra.local.progress import Progress, ProgressSink


class Fetchable(Protocol):
    """Something with a fixed content: `key` names it, `build` puts it into an empty folder."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...

    def build(self, target: Path, report: ProgressSink) -> None: ...


def fetch(wanted: Fetchable, cache: Cache, report: ProgressSink) -> Path:
    """Its folder in the cache, filled first where it is missing. Raises what its `build` raises."""
    if cache.has(wanted.key):
        return cache.path(wanted.key)

    def waiting() -> None:
        report(Progress(wanted.name, "wait", "another process is fetching it"))

    report(Progress(wanted.name, "fetch", wanted.key, 0.0))
    folder = cache.fill(wanted.key, lambda target: wanted.build(target, report), waiting)
    report(Progress(wanted.name, "fetched", wanted.key, 1.0))
    return folder


def fetch_all(wanted: Iterable[Fetchable], cache: Cache, report: ProgressSink) -> dict[str, Path]:
    """Their folders by name. All are tried; the first error is raised afterwards."""
    things = list(wanted)
    with ThreadPoolExecutor(max(1, len(things)), thread_name_prefix="fetch") as pool:
        folders = pool.map(lambda thing: fetch(thing, cache, report), things)
        return {thing.name: folder for thing, folder in zip(things, folders, strict=True)}
