"""Hides that wait although nothing of them is applied end the process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from runtime.clock import ManualClock
from schemas.errors import TransientError
from streams.core.progress import Limits
from streams.hide_watch import HideWatch
from streams.process import Activity, StuckError


@dataclass
class Bench:
    """A process, and a broker that tells what waits; each look takes a minute."""

    lag: dict[int, int] = field(default_factory=lambda: {0: 3, 1: 0, 2: 7})
    applied: int = 0
    assigned: frozenset[int] = frozenset({0, 1})
    activity: Activity = field(default_factory=Activity)
    clock: ManualClock = field(default_factory=ManualClock)
    crashes: list[BaseException] = field(default_factory=list)
    looks: int = 0
    at_look: Callable[[], None] = lambda: None
    away: bool = False

    def waiting(self) -> Mapping[int, int]:
        self.looks += 1
        self.at_look()
        self.clock.advance(60)
        if self.away:
            raise TransientError("no broker")
        return self.lag

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        watch = HideWatch(
            self.waiting,
            lambda: self.applied,
            lambda: self.assigned,
            self.activity,
            self.clock,
            self.crashes.append,
            look_seconds=0.0,
            limits=Limits(without_step=150.0),
        )
        await watch.start()
        yield
        await watch.stop()

    async def looked(self, times: int = 10) -> None:
        async with asyncio.timeout(5):
            while self.looks < times and not self.crashes:
                await asyncio.sleep(0.001)


async def test_hides_that_wait_while_none_is_applied_end_the_process() -> None:
    bench = Bench()
    async with bench.running():
        await bench.looked()
    (crash,) = bench.crashes
    assert isinstance(crash, StuckError)
    assert str(crash) == "index.hides: 3 records wait and nothing was done for 180 s"


async def test_hides_that_are_applied_one_after_the_other_do_not() -> None:
    bench = Bench()

    def apply() -> None:
        bench.applied += 1

    bench.at_look = apply
    async with bench.running():
        await bench.looked()
    assert bench.crashes == []


async def test_hides_of_partitions_that_are_others_do_not() -> None:
    bench = Bench(lag={2: 7})
    async with bench.running():
        await bench.looked()
    assert bench.crashes == []


async def test_a_store_that_is_waited_for_does_not() -> None:
    bench = Bench(activity=Activity(waits=1))
    async with bench.running():
        await bench.looked()
    assert bench.crashes == []


async def test_a_broker_that_is_away_does_not() -> None:
    bench = Bench(away=True)
    async with bench.running():
        await bench.looked()
    assert bench.crashes == []


async def test_partitions_that_were_just_given_begin_anew() -> None:
    bench = Bench()

    def rebalance() -> None:
        bench.assigned = frozenset({0}) if bench.looks % 2 else frozenset({0, 1})

    bench.at_look = rebalance
    async with bench.running():
        await bench.looked()
    assert bench.crashes == []
