"""The feed of index.hides: lease by lease, offsets in order, nothing lost between two leases."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from runtime.cancellation import StrayCancellationError
from runtime.log_port import MemoryLog, MemoryShare
from schemas.errors import TransientError
from schemas.topics import HIDES
from streams.hide_feed import HideFeed
from streams.window import Delivery, Lease, LeaseEndedError


@dataclass
class Bench:
    """An app with an assignment and a lease, a log, and work that notes what it did."""

    log: MemoryLog = field(default_factory=MemoryLog)
    acknowledged: dict[int, int] = field(default_factory=dict)
    assigned: frozenset[int] = frozenset({0, 1})
    lease: Lease = field(default_factory=Lease)
    begun: list[tuple[int, int]] = field(default_factory=list)
    done: list[tuple[int, int]] = field(default_factory=list)
    crashes: list[BaseException] = field(default_factory=list)
    held: "asyncio.Event | None" = None
    failing: Exception | None = None

    async def work(self, delivery: Delivery, lease: Lease) -> None:
        assert lease is self.lease
        self.begun.append((delivery.coordinates.partition, delivery.coordinates.offset))
        if self.failing is not None:
            raise self.failing
        if self.held is not None and delivery.key == b"held":
            while not self.held.is_set():
                if lease.is_ending:
                    raise LeaseEndedError
                await asyncio.sleep(0.001)
        self.done.append((delivery.coordinates.partition, delivery.coordinates.offset))

    async def append(self, partition: int, *keys: str) -> None:
        for key in keys:
            await self.log.append(HIDES, partition, key, b"")

    @asynccontextmanager
    async def running(self, share: MemoryShare | None = None) -> AsyncIterator[None]:
        feed = HideFeed(
            share or MemoryShare(self.log, HIDES, self.acknowledged),
            self.work,
            lambda: self.assigned,
            lambda: self.lease,
            self.crashes.append,
        )
        await feed.start()
        yield
        self.lease.end()
        await feed.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)


async def test_hides_of_the_assigned_partitions_are_applied_and_acknowledged() -> None:
    bench = Bench()
    await bench.append(0, "a", "b")
    await bench.append(1, "c")
    await bench.append(2, "another's")
    async with bench.running():
        await until(lambda: len(bench.done) == 3)
        await bench.append(0, "d")
        await until(lambda: bench.acknowledged == {0: 3, 1: 1})
    assert sorted(bench.done) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert bench.crashes == []


async def test_an_offset_waits_for_those_before_it() -> None:
    bench = Bench(held=asyncio.Event())
    await bench.append(0, "held", "b", "c")
    async with bench.running():
        await until(lambda: len(bench.done) == 2)
        assert bench.acknowledged in ({}, {0: 0})
        assert bench.held is not None
        bench.held.set()
        await until(lambda: bench.acknowledged == {0: 3})


async def test_a_lease_that_ends_leaves_what_is_not_applied_to_the_next() -> None:
    bench = Bench(held=asyncio.Event())
    await bench.append(0, "a", "held", "c")
    async with bench.running():
        await until(lambda: len(bench.done) == 2)
        bench.assigned, old = frozenset(), bench.lease
        old.end()
        await until(lambda: bench.acknowledged == {0: 1})
        assert bench.held is not None
        bench.held.set()
        bench.lease, bench.assigned = Lease(), frozenset({0})
        await until(lambda: bench.acknowledged == {0: 3})
    assert bench.done == [(0, 0), (0, 2), (0, 1), (0, 2)]
    assert bench.crashes == []


async def test_a_lease_that_ends_while_there_is_no_room_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.hide_feed._BYTES", 4)
    bench = Bench(held=asyncio.Event())
    await bench.append(0, "held", "b")
    async with bench.running():
        await until(lambda: bench.begun == [(0, 0)])
        assert bench.done == []
        bench.assigned, old = frozenset(), bench.lease
        old.end()
        assert bench.held is not None
        bench.held.set()
        bench.lease, bench.assigned = Lease(), frozenset({0})
        await until(lambda: bench.acknowledged == {0: 2})
    assert bench.crashes == []


async def test_nothing_is_read_without_an_assignment() -> None:
    bench = Bench(assigned=frozenset())
    await bench.append(0, "a")
    async with bench.running():
        await asyncio.sleep(0.02)
    assert bench.done == []


async def test_what_nobody_planned_for_ends_the_process() -> None:
    bench = Bench(failing=RuntimeError("unplanned"))
    await bench.append(0, "a")
    async with bench.running():
        await until(lambda: bench.crashes == [bench.failing])
    assert bench.acknowledged in ({}, {0: 0})


async def test_a_cancellation_that_nobody_meant_for_it_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    share = MemoryShare(bench.log, HIDES, bench.acknowledged)

    async def read() -> object:
        raise asyncio.CancelledError

    monkeypatch.setattr(share, "read", read)
    async with bench.running(share):
        await until(lambda: len(bench.crashes) == 1)
    assert isinstance(bench.crashes[0], StrayCancellationError)


async def test_a_broker_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.hide_feed._AGAIN_SECONDS", 0.001)
    bench = Bench()
    share = MemoryShare(bench.log, HIDES, bench.acknowledged)
    away, read = [True, True], share.read

    async def sometimes() -> object:
        if away:
            away.pop()
            raise TransientError("no broker")
        return await read()

    monkeypatch.setattr(share, "read", sometimes)
    await bench.append(0, "a")
    async with bench.running(share):
        await until(lambda: bench.acknowledged == {0: 1})
    assert bench.done == [(0, 0)]
    assert bench.crashes == []


async def test_partitions_that_change_within_a_lease_are_served() -> None:
    bench = Bench(assigned=frozenset({0}))
    await bench.append(0, "a")
    await bench.append(1, "b")
    async with bench.running():
        await until(lambda: bench.done == [(0, 0)])
        bench.assigned = frozenset({0, 1})
        await until(lambda: bench.acknowledged == {0: 1, 1: 1})
