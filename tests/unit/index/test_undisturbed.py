"""Reads of history while rows are being closed: they wait for the run to end, or ask again."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from index import undisturbed
from index.model import Published, first_head
from index.undisturbed import STALE_SECONDS, Undisturbed
from runtime.clock import ManualClock
from schemas.errors import BrokenIndexError, TransientError
from schemas.identity import Tenant
from tests.unit.index.fakes import START, TENANT

QUIET = Published(first_head(TENANT, START))


def run(sweeps: int, epoch: int = 0) -> Published:
    return Published(replace(QUIET.head, sweeps=sweeps, epoch=epoch))


@dataclass
class Heads:
    """What successive looks at the head find; the last stays."""

    found: list[Published]
    clock: ManualClock = field(default_factory=ManualClock)
    reads: list[Published] = field(default_factory=list)
    seconds: float = 0.0

    async def position(self, _tenant: Tenant) -> Published:
        self.clock.advance(self.seconds)
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]

    async def read(self, fails: Callable[[int], bool] = lambda _number: False) -> int:
        async def read(published: Published) -> int:
            self.reads.append(published)
            if fails(len(self.reads)):
                raise BrokenIndexError("no valid row")
            return len(self.reads)

        return await Undisturbed(self.position, self.clock).read(TENANT, read)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undisturbed, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(undisturbed, "_APART_SECONDS", 0.0)


async def test_a_read_without_a_run_is_read_once() -> None:
    assert await Heads([run(2)]).read() == 1


async def test_a_run_that_was_over_or_began_meanwhile_makes_a_read_ask_again() -> None:
    assert await Heads([run(2), run(4)]).read() == 2
    heads = Heads([run(2), run(3), run(3), run(4)])
    assert await heads.read() == 2
    assert [published.head.sweeps for published in heads.reads] == [2, 4]


async def test_a_run_under_way_is_waited_for() -> None:
    heads = Heads([run(3), run(3), run(4)])
    assert await heads.read() == 1
    assert [published.head.sweeps for published in heads.reads] == [4]


async def test_another_writers_head_makes_a_read_ask_again() -> None:
    assert await Heads([run(2), run(2, epoch=1), run(2, epoch=1)]).read() == 2


async def test_a_row_that_was_away_for_a_moment_is_no_broken_index() -> None:
    assert await Heads([run(2), run(4)]).read(lambda number: number == 1) == 2
    with pytest.raises(BrokenIndexError):
        await Heads([run(2)]).read(lambda _number: True)


async def test_a_run_that_its_writer_did_not_live_to_end_is_waited_for_once() -> None:
    heads = Heads([run(3)], seconds=0.5)
    reader, times = Undisturbed(heads.position, heads.clock), list[float]()

    async def read(_published: Published) -> None:
        times.append(heads.clock.monotonic())

    await reader.read(TENANT, read)
    assert STALE_SECONDS <= times[0] <= STALE_SECONDS + 1
    until = times[-1]
    await reader.read(TENANT, read)
    assert times[-1] - until <= 2.0


@pytest.mark.parametrize("away", ["a row is missed", "a row seems lost"])
async def test_a_message_that_the_store_holds_beyond_that_is_seen_by_looking_twice(away: str) -> None:
    """The writer lives, its last message is carried out while somebody reads: two looks apart, at most one sees it."""
    heads = Heads([run(3)], seconds=0.5)
    looks = list[str]()

    async def read(_published: Published) -> str:
        looks.append("tea" if len(looks) == 0 else "tea and milk")
        if len(looks) == 1 and away == "a row seems lost":
            raise BrokenIndexError("no valid row")
        return looks[-1]

    assert await Undisturbed(heads.position, heads.clock).read(TENANT, read) == "tea and milk"
    assert len(looks) == 3


async def test_a_row_that_stays_away_behind_a_run_that_was_never_ended_is_a_broken_index() -> None:
    with pytest.raises(BrokenIndexError):
        await Heads([run(3)], seconds=0.5).read(lambda _number: True)


async def test_a_store_that_hung_during_a_run_did_not_end_it() -> None:
    heads = Heads([run(3), run(3), run(4)])

    async def position(tenant: Tenant) -> Published:
        found = await heads.position(tenant)
        if heads.clock.monotonic() == 0.0 and len(heads.found) == 1:
            heads.clock.advance(STALE_SECONDS + 1)
        return found

    reads = list[int]()

    async def read(published: Published) -> None:
        reads.append(published.head.sweeps)

    await Undisturbed(position, heads.clock).read(TENANT, read)
    assert reads == [4]


async def test_a_read_that_never_finds_a_quiet_moment_gives_up() -> None:
    heads = Heads([run(2 * number) for number in range(100)], seconds=0.5)
    with pytest.raises(TransientError):
        await heads.read()
