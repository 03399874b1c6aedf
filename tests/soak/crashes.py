"""One run of kills: write, kill, watch, settle, compare."""

import asyncio
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.weaviate import open_index
from runtime.settings import Settings
from schemas.identity import Document
from tests.acceptance.ledger import AtWork
from tests.soak import outcome
from tests.soak.kills import Killer, lanes_of, minute_of, within
from tests.soak.scene import Scene, scene
from tests.soak.watch import Seen, Watcher, watch
from tests.soak.writers import RowWriter, WebhookWriter, writers_of

Say = Callable[[str], None]
_SAY_SECONDS = 15.0
_READ_PAUSE = 0.15
_LOOK_SECONDS = 5.0
_MOST_WAITING = 2000
"""Records: writers rest until it is less. What dies every few seconds applies less than they write, and a sweep that is
far behind is killed at its first steps alone.
"""
DIMENSION = 384


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how much."""

    seconds: float
    seed: int
    pause: float = 1.0
    part_seconds: float = 55.0
    points: str = ""
    """Only steps whose names begin so are ordered."""
    gap: float = 0.0
    """Seconds of peace for the writers after each of their deaths."""
    least: int = 0
    """The run goes on, at most twice as long, until every point has killed so often."""
    beside: tuple[str, ...] = ("apply", "apply", "prepare", "hide")
    """Stages that have one more process each, beside the launcher's."""


def run(folder: Path, plan: Plan, say: Say) -> tuple[Mapping[str, object], bool]:
    """The summary, and whether nothing was wrong."""
    started = time.monotonic()
    with scene(folder, beside=plan.beside) as made:
        say("the installation runs")
        writers = writers_of(made, plan.seed, plan.pause)
        lanes = within(lanes_of(made, plan.seed, plan.seconds, plan.gap), plan.points)
        killer = Killer(made, plan.seed, lanes, part_seconds=plan.part_seconds)
        seen = Seen()
        with watching(made, writers, seen, plan.seed):
            with AtWork(writers) as at_work, killer, _resting(made, writers):
                _let_run(made, plan, at_work, killer, writers, say)
            say("no more events: waiting until everything is applied")
            _change_history(made, 24, say)
            say(f"settled in {outcome.settle(made):.0f} s: comparing")
        checked = outcome.compared_twice(made, writers, killer.store_kills, say)
        found = outcome.summary(made, writers, killer, seen, checked, time.monotonic() - started)
    command = f"kills --seconds {plan.seconds:g} --seed {plan.seed} --part-seconds {plan.part_seconds:g}"
    command += f" --pause {plan.pause:g}" + (f" --points {plan.points}" if plan.points else "")
    command += f" --gap {plan.gap:g}" if plan.gap else ""
    return {"command": command + (f" --least {plan.least}" if plan.least else ""), **found}, outcome.is_clean(found)


def _let_run(
    made: Scene,
    plan: Plan,
    at_work: AtWork,
    killer: Killer,
    writers: Sequence[WebhookWriter | RowWriter],
    say: Say,
) -> None:
    end, told, minute = time.monotonic() + plan.seconds, 0.0, minute_of(time.monotonic())
    latest = end + plan.seconds

    def goes_on(now: float) -> bool:
        return now < end or (now < latest and not plan.points and outcome.least(killer.kills) < plan.least)

    while goes_on(now := time.monotonic()):
        at_work.goes_on()
        if now > told + _SAY_SECONDS:
            told = now
            events = sum(writer.acknowledged for writer in writers)
            say(
                f"{events} events, {len(killer.kills)} kills, {len(killer.stops)} stops,"
                f" beside ended {made.workers.ended[-3:]}"
            )
            for text in made.failed():
                say(f"given up: {text}")
        if minute_of(now) != minute:
            minute = minute_of(now)
            _change_history(made, 24 * (minute % 2), say)
        time.sleep(0.5)


@contextmanager
def _resting(made: Scene, writers: Sequence[WebhookWriter | RowWriter]) -> Iterator[None]:
    """Let writers rest while too much waits, until the end of `with`."""
    end, waiting = threading.Event(), outcome.waiting_in(made)

    def look() -> None:
        while not end.wait(_LOOK_SECONDS):
            if (found := waiting()) is None:
                continue
            for writer in writers:
                (writer.rests.set if found > _MOST_WAITING else writer.rests.clear)()

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield
        finally:
            end.set()
        looking.result(timeout=60)


def _change_history(made: Scene, hours: int, say: Say) -> None:
    try:
        made.put_in_force(kept_hours=hours)
    except AssertionError as error:  # a part is away at the moment: next time
        say(f"history stays as it is: {str(error).splitlines()[0][:100]}")


@contextmanager
def watching(
    made: Scene, writers: Sequence[WebhookWriter | RowWriter], seen: Seen, seed: int, readers: int = 2
) -> Iterator[None]:
    """Readers at work until the end of `with`, in a process of their own: gRPC knows one event loop a process."""
    documents = [
        document for writer in writers if isinstance(writer, WebhookWriter) for document in writer.all_documents()
    ]
    end = made.installation.folder / "stop-reading"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        reading = pool.submit(read_until, made.installation.settings, documents, end, seed, readers)
        try:
            yield
        finally:
            end.touch()
        found = reading.result(timeout=60)
    seen.reads += found.reads
    seen.seconds += found.seconds
    seen.unavailable += found.unavailable
    seen.strange += found.strange


def read_until(settings: Settings, documents: Sequence[Document], end: Path, seed: int, readers: int) -> Seen:
    """Read until a file is there."""

    async def run() -> Seen:
        index, seen = open_index(settings), Seen()
        try:
            watchers = [
                Watcher(index, documents, DIMENSION, seen, random.Random(f"{seed}:{number}"))
                for number in range(readers)
            ]
            await watch(watchers, end.exists, pause=_READ_PAUSE)
        finally:
            await index.close()
        return seen

    return asyncio.run(run())
