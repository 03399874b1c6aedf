"""Which processes builds need beside those of the settings' own, and that they are started and stopped."""

import asyncio

from index.catalogue import Catalogue
from index.model import IndexIdentity
from schemas.records import GenerationState
from streams.builds import Keeper, Upkeep, upkeep
from tests.unit.index.test_catalogue import record

BUILDING, LIVE, RETIRED = GenerationState.BUILDING, GenerationState.LIVE, GenerationState.RETIRED
OWN = IndexIdentity("g1", "i1")


def test_a_build_is_kept_up_from_when_it_covers_its_log_until_it_is_retired() -> None:
    catalogue = Catalogue().extended([record(0, "g1-i1", LIVE), record(1, "g1-i2", BUILDING)])
    assert upkeep(catalogue, OWN) == frozenset()
    catalogue = catalogue.extended([record(2, "g1-i2", BUILDING, **{"index.mutations.g1/0": 0})])
    assert upkeep(catalogue, OWN) == {Upkeep("apply", "g1", "i2")}
    catalogue = catalogue.extended([record(3, "g1-i2", LIVE)])
    assert upkeep(catalogue, OWN) == {Upkeep("apply", "g1", "i2")}
    assert upkeep(catalogue, IndexIdentity("g1", "i2")) == {Upkeep("apply", "g1", "i1")}
    catalogue = catalogue.extended([record(4, "g1-i2", RETIRED)])
    assert upkeep(catalogue, OWN) == frozenset()


def test_another_generation_is_prepared_once_however_many_builds_it_has() -> None:
    catalogue = Catalogue().extended([record(0, "g1-i1", LIVE), record(1, "g2-i1", LIVE), record(2, "g2-i2", LIVE)])
    assert upkeep(catalogue, OWN) == {
        Upkeep("apply", "g2", "i1"),
        Upkeep("apply", "g2", "i2"),
        Upkeep("prepare", "g2", "i1"),
    }


async def test_processes_are_started_once_and_stopped_when_they_are_wanted_no_more() -> None:
    started: list[Upkeep] = []
    stopped: list[Upkeep] = []

    async def run(one: Upkeep, stop: asyncio.Event) -> None:
        started.append(one)
        await stop.wait()
        stopped.append(one)

    keeper = Keeper(lambda one, stop: asyncio.create_task(run(one, stop)))
    one, two = Upkeep("apply", "g1", "i2"), Upkeep("prepare", "g2", "i1")
    for wanted in ({one}, {one, two}, {one, two}):
        keeper.bring_to(frozenset(wanted))
        await asyncio.sleep(0)
    assert started == [one, two]
    keeper.bring_to(frozenset({two}))
    await asyncio.sleep(0)
    assert stopped == [one]
    await keeper.stop()
    assert stopped == [one, two]


async def test_a_process_whose_keeper_failed_is_kept_up_again() -> None:
    started: list[Upkeep] = []

    async def run(one: Upkeep, stop: asyncio.Event) -> None:
        started.append(one)
        if len(started) == 1:
            raise RuntimeError("unplanned")
        await stop.wait()

    keeper = Keeper(lambda one, stop: asyncio.create_task(run(one, stop)))
    one = Upkeep("apply", "g1", "i2")
    for _ in range(3):
        keeper.bring_to(frozenset({one}))
        await asyncio.sleep(0)
    assert started == [one, one]
    await keeper.stop()
