"""Tenants that nothing comes in for are looked at, and swept where there is something to sweep."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import first_head, newest_head
from index.sweeper import SweepPolicy
from index.writer import TenantWriter
from runtime.clock import ManualClock
from schemas.identity import Tenant
from streams.keeping import Keeper
from streams.window import Lease
from tests.unit.index.fakes import START, TENANT, mutation, new_index

HOURS = timedelta(hours=24)
OTHER = Tenant("other")


@dataclass
class Home:
    index: MemoryIndex
    clock: ManualClock = field(default_factory=ManualClock)
    kept: list[Tenant] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    lease: Lease = field(default_factory=Lease)
    keeps: timedelta = HOURS

    def __post_init__(self) -> None:
        policy = SweepPolicy(history=lambda: self.keeps)
        self.writer = TenantWriter(self.index, MemoryCommitLog(), TENANT, self.clock, name="w", sweep=policy)
        self.keeper = Keeper(
            self.index,
            self.clock,
            owned=lambda tenant: tenant != OTHER,
            lease=lambda: self.lease,
            kept_for=lambda _tenant: self.keeps,
            keep=lambda tenant, _lease: self.kept.append(tenant),
            failed=self.failed.append,
            crash=self.failed.append,
        )

    async def put(self, *texts: str) -> None:
        for offset, text in enumerate(texts, start=len(self.index._shards[TENANT].documents)):
            await self.writer.commit([mutation(offset, "a", text)])

    async def look(self) -> list[Tenant]:
        self.kept.clear()
        await self.keeper.look()
        return self.kept

    async def sweep(self) -> None:
        self.clock.advance(20)
        while (await self.writer.sweep()).next_in < 1:
            self.clock.advance(0.1)


@pytest.fixture
async def home() -> Home:
    index = await new_index()
    await index.create_tenant(first_head(OTHER, START))
    return Home(index)


async def test_a_tenant_whose_index_is_broken_keeps_no_other_from_being_kept(home: Home) -> None:
    last = Tenant("zeta")
    await home.index.create_tenant(replace(first_head(last, START), seq=1))
    await home.index.create_tenant(replace(first_head(TENANT, START), seq=2, swept_seq=2))
    for head in await home.index.heads(TENANT):
        await home.index.put_head(replace(head, seq=2, swept_seq=2))  # ahead of its rows
    assert await home.look() == [last]
    assert len(home.failed) == 1


async def test_a_tenant_with_superseded_rows_is_kept_until_they_are_swept(home: Home) -> None:
    assert await home.look() == []
    await home.put("tea", "milk")
    assert await home.look() == [TENANT]
    await home.sweep()
    assert await home.look() == []


async def test_a_tenant_whose_history_ends_is_kept_although_nothing_was_written(home: Home) -> None:
    await home.put("tea", "milk")
    await home.sweep()
    home.clock.advance(HOURS.total_seconds())
    assert await home.look() == [TENANT]
    await home.sweep()
    assert await home.look() == []
    head = newest_head(await home.index.heads(TENANT))
    assert head is not None
    assert head.history_from == 2


async def test_a_tenant_of_another_process_is_left_alone(home: Home) -> None:
    (head,) = await home.index.heads(OTHER)
    await home.index.put_head(replace(head, seq=3))
    assert await home.look() == []


async def test_an_ending_lease_keeps_nothing_and_a_store_that_is_away_is_told(home: Home) -> None:
    await home.put("tea", "milk")
    home.lease.end()
    assert await home.look() == []
    await home.index.close()
    assert await home.look() == []
    assert len(home.failed) == 1
