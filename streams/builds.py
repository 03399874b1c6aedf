"""Keeps up the builds of the index that the settings do not name: one process of `apply` for each that has covered its
log, and one of `prepare` for each other generation. index.generations says which; nobody has to be told.

So a build goes on after `millstream replay` has covered it, what was live stays true until it is retired, and a switch
back finds nothing old.
"""

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from index.catalogue import Catalogue
from index.model import IndexIdentity
from runtime.clock import is_set_within
from runtime.health import serving_health
from runtime.metrics import Metrics
from runtime.new_records import NewRecords
from runtime.settings import Settings
from schemas.errors import ConfigError, TransientError
from schemas.topics import GENERATIONS
from streams.recipe_file import kept_recipe
from streams.supervisor import Kept, keep

_LOOK_SECONDS = 1.0

log = structlog.get_logger("millstream.streams")


@dataclass(frozen=True, slots=True, order=True)
class Upkeep:
    """A process that a build needs."""

    stage: str
    generation: str
    incarnation: str

    def kept(self, state_dir: Path) -> Kept:
        """How it is run: the settings of this process, but for the build's name and its generation's recipe."""
        name = f"streams-{self.stage}-{self.generation}-{self.incarnation}"
        return Kept(
            self.stage,
            (sys.executable, "-m", "streams", "--stage", self.stage, "--leashed", "--log-name", name),
            environment={
                **kept_recipe(state_dir, self.generation),
                "MILLSTREAM_GENERATION": self.generation,
                "MILLSTREAM_INCARNATION": self.incarnation,
            },
        )


def upkeep(catalogue: Catalogue, own: IndexIdentity) -> frozenset[Upkeep]:
    """What has to run for builds beside `own`, which has its processes already. Pure."""
    standing = sorted(
        (build.identity for build in catalogue.builds.values() if build.is_covered and build.identity != own), key=str
    )
    applying = {Upkeep("apply", one.generation, one.incarnation) for one in standing}
    first = {one.generation: one for one in reversed(standing) if one.generation != own.generation}
    return frozenset(applying | {Upkeep("prepare", one.generation, one.incarnation) for one in first.values()})


class Keeper:
    """Runs what `upkeep` says, and stops what it says no more."""

    def __init__(self, start: Callable[[Upkeep, asyncio.Event], "asyncio.Task[None]"]) -> None:
        self._start = start
        self._running: dict[Upkeep, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    def bring_to(self, wanted: frozenset[Upkeep]) -> None:
        """Start and stop processes; returns at once. A stopped one is done when its task is."""
        for one in [one for one in self._running.keys() & wanted if self._running[one][1].done()]:
            _stop, ended = self._running.pop(one)
            log.error("build is not kept up any more: beginning again", stage=one.stage, exc_info=ended.exception())
        for one in wanted - self._running.keys():
            stop = asyncio.Event()
            log.info("build is kept up", stage=one.stage, generation=one.generation, incarnation=one.incarnation)
            self._running[one] = stop, self._start(one, stop)
        for one in self._running.keys() - wanted:
            self._running[one][0].set()
        self._running = {one: run for one, run in self._running.items() if one in wanted or not run[1].done()}

    async def stop(self) -> None:
        """Returns when no process is left."""
        self.bring_to(frozenset())
        await asyncio.gather(*(task for _, task in self._running.values()))


async def keep_builds(settings: Settings, metrics: Metrics) -> int:
    """Until a signal; the exit code. Raises ConfigError."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    reasons = ["starting"]

    async def not_ready() -> list[str]:
        return reasons

    keeper = Keeper(lambda one, ending: asyncio.create_task(keep(one.kept(settings.state_dir), ending)))
    own = IndexIdentity(settings.generation, settings.incarnation)
    news, catalogue = NewRecords(settings, GENERATIONS), Catalogue()
    async with serving_health(metrics, not_ready, settings.metrics_port):
        while not stop.is_set():
            try:
                catalogue = catalogue.extended(await asyncio.to_thread(news.read))
                reasons.clear()
            except (TransientError, ConfigError) as error:
                reasons[:] = [str(error)]
            keeper.bring_to(upkeep(catalogue, own))
            await is_set_within(stop, _LOOK_SECONDS)
        await keeper.stop()
    return 0
