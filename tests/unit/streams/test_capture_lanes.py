"""The lanes of capture: they begin and end with what is declared, and one that fails does not take the others along."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from runtime.metrics import ALERTS, Metrics
from runtime.watched_files import WatchedFiles
from schemas.errors import TransientError
from schemas.sources import SourceConfig, Sources, parse_sources
from streams.capture_lanes import CaptureProcess
from streams.core.letter_limit import TooManyDeadLettersError
from streams.core.progress import Verdict


@dataclass
class Lane:
    """Captures nothing, until it is told to end."""

    source: SourceConfig
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    verdict: Verdict = field(default_factory=Verdict)
    crash_reason: BaseException | None = None
    is_alive: bool = False

    async def live(self) -> bool:
        self.is_alive = True
        await self.stop.wait()
        self.is_alive = False
        return self.crash_reason is not None

    def crash(self, reason: BaseException) -> None:
        self.crash_reason = reason
        self.stop.set()


@dataclass
class Bench:
    """A capture process over lanes like these."""

    file: Path
    metrics: Metrics = field(default_factory=Metrics)
    lanes: list[Lane] = field(default_factory=list)
    watched: list[tuple[str, ...]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def declare(self, *names: str, epoch: int = 1) -> None:
        block = {"dsn_env": "DSN", "table": "public.t", "columns": {"key": ["id"], "body": "body"}}
        entries = [
            {"name": name, "tenant": "acme", "kind": "postgres", "epoch": epoch, "postgres": block} for name in names
        ]
        self.file.write_text(yaml.safe_dump({"version": 1, "sources": entries}))

    def process(self) -> CaptureProcess:
        declared = WatchedFiles([self.file], lambda: parse_sources(self.file.read_text()), self.metrics)
        return CaptureProcess(declared, self.build, self.watch, self.metrics, 0)

    async def build(self, source: SourceConfig) -> Lane:
        if source.name in self.refused:
            raise TransientError(self.refused[source.name])
        self.lanes.append(Lane(source))
        return self.lanes[-1]

    async def watch(self, sources: Sources) -> None:
        self.watched.append(tuple(source.name for source in sources.captured))
        await asyncio.Event().wait()

    def alive(self) -> set[tuple[str, int]]:
        return {(lane.source.name, lane.source.epoch) for lane in self.lanes if lane.is_alive}

    async def until(self, *alive: tuple[str, int]) -> None:
        for _ in range(300):
            if self.alive() == set(alive):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.alive())


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "sources.yaml")
    bench.declare("a", "b")
    yield bench
    assert bench.alive() == set()


@pytest.fixture
async def running(bench: Bench) -> AsyncIterator[CaptureProcess]:
    process = bench.process()
    task = asyncio.create_task(process.run())
    await bench.until(("a", 1), ("b", 1))
    yield process
    process.stop.set()
    await task


async def test_every_declared_table_has_a_lane_and_is_looked_after(bench: Bench, running: CaptureProcess) -> None:
    assert bench.watched == [("a", "b")]
    assert list(await running.not_ready()) == []
    bench.lanes[1].verdict = Verdict(("no partitions assigned",))
    assert list(await running.not_ready()) == ["source b: no partitions assigned"]


async def test_an_edit_ends_begins_and_renews_lanes(bench: Bench, running: CaptureProcess) -> None:
    bench.declare("b", "c")
    await bench.until(("b", 1), ("c", 1))
    bench.declare("b", "c", epoch=2)
    await bench.until(("b", 2), ("c", 2))
    assert bench.watched[-1] == ("b", "c")
    assert [lane.source.name for lane in bench.lanes].count("b") == 2


async def test_a_lane_that_asks_for_it_is_built_anew(bench: Bench, running: CaptureProcess) -> None:
    bench.lanes[0].stop.set()
    await bench.until(("b", 1))
    await bench.until(("a", 1), ("b", 1))
    assert len(bench.lanes) == 3


async def test_a_broken_edit_changes_nothing(bench: Bench, running: CaptureProcess) -> None:
    bench.file.write_text("version: [")
    await asyncio.sleep(0.7)
    assert bench.alive() == {("a", 1), ("b", 1)}


async def test_what_cannot_be_captured_yet_is_named_and_the_others_are(bench: Bench) -> None:
    bench.refused["a"] = "Kafka does not answer"
    process = bench.process()
    task = asyncio.create_task(process.run())
    await bench.until(("b", 1))
    assert list(await process.not_ready()) == ["source a: Kafka does not answer"]
    assert bench.metrics.value(ALERTS, alert="source_not_captured") == 1
    process.stop.set()
    assert await task == 0


async def test_a_lane_of_dead_letters_stops_alone_until_it_is_declared_anew(
    bench: Bench, running: CaptureProcess
) -> None:
    bench.lanes[0].crash(TooManyDeadLettersError("50 of the last 50"))
    await bench.until(("b", 1))
    await asyncio.sleep(0.7)
    assert bench.alive() == {("b", 1)}
    assert "source a" in (await running.not_ready())[0]
    assert bench.metrics.value(ALERTS, alert="source_not_captured") == 1
    bench.declare("a", "b")
    await bench.until(("a", 1), ("b", 1))
    assert list(await running.not_ready()) == []


async def test_any_other_crash_ends_the_process(bench: Bench) -> None:
    process = bench.process()
    task = asyncio.create_task(process.run())
    await bench.until(("a", 1), ("b", 1))
    bench.lanes[0].crash(RuntimeError("unplanned"))
    assert await task == 1
