"""An audit beside writers that commit, hide, sweep, fail and take over between any two of its steps finds nothing."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from index.audit.findings import Finding
from index.outcomes import Outcome
from index.rows import Item, PositionedHide, PositionedMutation
from index.sweeper import SweepPolicy
from index.writer import TenantWriter
from runtime.clock import ManualClock
from runtime.log_port import MemoryLog, StoredRecord
from schemas.errors import AmbiguousWriteError, TransientError
from schemas.headers import Again
from schemas.topics import COMMITS
from schemas.versions import Op
from streams.audit import Audit, Scope
from streams.commit_log import LogCommits
from tests.unit.index.fakes import TENANT, Tapped, hide, mutation, new_index
from tests.unit.streams.records import topics

NAMES = "abcd"


class Reads:
    """`AuditLog` without changes: what is compared is the store with itself and with what was told."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log

    def prepared(self) -> Mapping[int, int]:
        return {}

    def mutation_ends(self) -> Mapping[int, int]:
        return {}

    def changes(self, partitions: Iterable[int] | None = None) -> Iterator[StoredRecord]:
        return iter(())

    def commits(self, begins: Mapping[int, int] | None = None) -> Iterator[StoredRecord]:
        for record in self.log.records(COMMITS):
            if record.coordinates.offset >= (begins or {}).get(record.coordinates.partition, 0):
                yield record

    def letters(self) -> Iterator[StoredRecord]:
        return iter(())


class Busy:
    """A tenant that is written to in steps of one call, each of which may fail after it was carried out."""

    def __init__(self, index: object, log: MemoryLog, rng: random.Random, *, keeps: bool, waits: float) -> None:
        self.rng = rng
        self.clock = ManualClock()
        self.offset = 0
        self.hides = 0
        sweep = SweepPolicy(
            history=lambda: timedelta(hours=24 if keeps else 0),
            wait_seconds=waits,
            gap_seconds=0.0,
            garbage_seconds=5.0,
        )
        tapped: Any = Tapped(index, self.around)
        commits = LogCommits(log, topics())
        self.writer = TenantWriter(tapped, commits, TENANT, self.clock, name="w", sweep=sweep, rows_at_once=1)

    async def around(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        for _ in range(self.rng.randrange(3)):
            await asyncio.sleep(0)
        result = await call()
        if name != "heads" and self.rng.random() < 0.02:
            raise AmbiguousWriteError("cut off")
        return result

    def take(self) -> Sequence[PositionedHide]:
        """Of the hides that wait, sometimes one."""
        if self.rng.random() < 0.8:
            return ()
        self.hides += 1
        op = self.rng.choice([Op.DELETE, Op.ACL])
        version = max(1, self.offset - self.rng.randrange(3))
        return [hide(self.hides, self.rng.choice(NAMES), version=version, op=op, acl=["x"])]

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """Nobody waits for them."""

    async def write(self) -> None:
        items: list[Item] = [self.item(name) for name in self.rng.sample(NAMES, self.rng.randrange(1, 4))]
        while True:
            try:
                await self.writer.commit(items, self)
                break
            except TransientError:
                continue
        await self.sweep()

    def item(self, name: str) -> PositionedMutation:
        self.offset += 1
        match self.rng.randrange(6):
            case 0:
                return mutation(self.offset, name, op=Op.DELETE)
            case 1:
                return mutation(self.offset, name, op=Op.ACL, acl=self.rng.sample("xyz", 2))
            case 2:
                repair = mutation(self.offset, name, "text repaired", version=max(1, self.offset - 2))
                return PositionedMutation(repair.mutation, repair.at, Again.REPAIR)
            case _:
                texts = [f"text {self.rng.randrange(5)} {number}" for number in range(self.rng.randrange(5))]
                return mutation(self.offset, name, *texts)

    async def sweep(self) -> None:
        self.clock.advance(2 * self.rng.random())
        try:
            await self.writer.sweep(lambda: 60.0, take_over=True)
        except TransientError:
            return

    async def write_on(self) -> None:
        while True:
            await self.write()


async def found(seed: int, *, keeps: bool, waits: float) -> tuple[list[Finding], list[Finding]]:
    """What is found beside the writer, and once it rests."""
    rng, index, log = random.Random(seed), await new_index(), MemoryLog()
    busy = Busy(index, log, rng, keeps=keeps, waits=waits)

    async def slowly(_name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
        return await call()

    for _ in range(10):
        await busy.write()
    writing = asyncio.create_task(busy.write_on())
    tapped: Any = Tapped(index, slowly)
    audit = Audit(tapped, Reads(log), topics(), busy.clock, Scope(second_look_seconds=0.0))
    beside = [*await audit.cycle(), *await audit.look(), *await audit.recent(TENANT, timedelta(minutes=15))]
    writing.cancel()
    await asyncio.wait([writing])
    for _ in range(30):
        busy.clock.advance(3.0)
        await busy.sweep()
    return beside, await audit.cycle()


@pytest.mark.parametrize("waits", [10.0, 0.0], ids="waits={}".format)
@pytest.mark.parametrize("keeps", [True, False], ids="history={}".format)
async def test_an_audit_beside_writers_finds_nothing(keeps: bool, waits: float) -> None:
    for seed in range(8):
        assert await found(seed, keeps=keeps, waits=waits) == ([], []), seed
