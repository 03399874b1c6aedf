"""When the applier sweeps: between commits and while nothing comes in, never instead of what waits."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from index.outcomes import Outcome, Unchanged, Waiting
from index.rows import Item
from index.sweeper import BUSY_SECONDS, IDLE_SECONDS, Swept
from runtime.clock import ManualClock
from runtime.log_port import MemoryLog
from schemas.errors import BrokenIndexError, TransientError
from schemas.identity import Tenant
from streams.apply import Applier
from streams.dead_letters import DeadLetters
from streams.tenant_queue import Bounds, Hooks
from streams.window import Lease
from tests.unit.streams.records import hide, hide_delivery, mutation, mutation_delivery, topics


@dataclass
class SweepingWriter:
    """Notes what it is asked to do; `sweeps` are what its next runs give."""

    sweeps: list[Swept | Exception] = field(default_factory=list)
    commit_seconds: float = 0.0
    did: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def commit(self, batch: Sequence[Item], waiting: Waiting) -> Sequence[Outcome]:
        self.did.append(f"commit {len(batch)}")
        await asyncio.sleep(self.commit_seconds)
        return [Unchanged(conflict=False) for _ in batch]

    async def sweep(self, seconds: Callable[[], float], *, take_over: bool) -> Swept:
        did = "sweep, idle" if seconds() == IDLE_SECONDS else "sweep"
        self.did.append(f"take over, {did}" if take_over else did)
        self.seconds.append(seconds())
        await asyncio.sleep(0)
        found = self.sweeps.pop(0) if self.sweeps else Swept(60.0)
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class Bench:
    writer: SweepingWriter
    lease: Lease = field(default_factory=Lease)
    swept: list[Swept] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        letters = DeadLetters(MemoryLog(), topics(), "apply", ManualClock())
        hooks = Hooks(on_sweep=lambda swept, _seconds: self.swept.append(swept), on_sweep_failed=self.failed.append)
        self.applier = Applier(lambda _tenant: self.writer, letters, topics(), Bounds(1), hooks)

    async def apply(self, *docs: str) -> None:
        await asyncio.gather(
            *(
                self.applier.apply(mutation_delivery(mutation(doc), offset), self.lease)
                for offset, doc in enumerate(docs)
            )
        )

    async def hide(self, *docs: str) -> None:
        await asyncio.gather(
            *(self.applier.hide(hide_delivery(hide(doc), offset), self.lease) for offset, doc in enumerate(docs))
        )

    async def until(self, *did: str) -> None:
        async with asyncio.timeout(5):
            while self.writer.did != list(did):
                await asyncio.sleep(0.001)


async def test_a_sweep_runs_between_commits_and_learns_whether_somebody_waits() -> None:
    bench = Bench(SweepingWriter([Swept(0.0, closed=3)]))
    await bench.apply("a", "b")
    await bench.until("commit 1", "sweep", "commit 1", "sweep, idle")
    assert bench.swept == [Swept(0.0, closed=3), Swept(60.0)]


async def test_a_run_between_commits_may_take_as_long_as_the_commit_before_it() -> None:
    bench = Bench(SweepingWriter(commit_seconds=2 * BUSY_SECONDS))
    await bench.apply("a", "b")
    assert 2 * BUSY_SECONDS <= bench.writer.seconds[0] != IDLE_SECONDS


async def test_a_backlog_of_hides_does_not_keep_a_tenant_from_being_swept() -> None:
    bench = Bench(SweepingWriter([Swept(0.0), Swept(0.0)]))
    await bench.hide(*(f"doc{number}" for number in range(9)))
    await bench.until(*["commit 1"] * 4, "sweep", *["commit 1"] * 4, "sweep", "commit 1", "sweep, idle")
    assert bench.writer.seconds == [BUSY_SECONDS, BUSY_SECONDS, IDLE_SECONDS]


async def test_an_idle_tenant_is_swept_on_until_nothing_is_due() -> None:
    bench = Bench(SweepingWriter([Swept(0.0), Swept(0.01), Swept(0.0), Swept(60.0)]))
    await bench.apply("a")
    await bench.until("commit 1", *["sweep, idle"] * 4)
    await asyncio.sleep(0.05)
    assert len(bench.writer.did) == 5


async def test_a_tenant_that_nothing_comes_in_for_is_taken_over_to_be_swept_once() -> None:
    bench = Bench(SweepingWriter([Swept(0.0)]))
    bench.applier.keep(Tenant("acme"), bench.lease)
    await bench.until("take over, sweep, idle", "sweep, idle")


async def test_what_is_not_due_is_not_asked_for() -> None:
    bench = Bench(SweepingWriter())
    await bench.apply("a", "b", "c")
    await bench.until("commit 1", "sweep", "commit 1", "commit 1")


async def test_an_ended_lease_sweeps_no_more() -> None:
    bench = Bench(SweepingWriter([Swept(0.01)]))
    await bench.apply("a")
    await bench.until("commit 1", "sweep, idle")
    bench.lease.end()
    await asyncio.sleep(0.05)
    assert bench.writer.did == ["commit 1", "sweep, idle"]


@pytest.mark.parametrize("error", [TransientError("away"), BrokenIndexError("a row"), RuntimeError("a bug")])
async def test_what_a_sweep_fails_with_is_told_and_holds_up_no_commit(error: Exception) -> None:
    bench = Bench(SweepingWriter([error]))
    await bench.apply("a", "b")
    await bench.until("commit 1", "sweep", "commit 1")
    assert bench.failed == [error]
