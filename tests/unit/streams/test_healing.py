"""The log stays the truth after compaction: whatever order, duplicates, crashes and compactions, every build from what
is left of either compacted topic is the serial reference.
"""

import asyncio
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import TooLargeError
from schemas.identity import DocId
from schemas.records import DocumentChange
from schemas.topics import CHANGES
from schemas.versions import RANKS, Op, StatedVersion, Version
from streams.heal import Gone, Healed
from tests.unit.index.fakes import SOURCE, START
from tests.unit.streams.compacted import TENANTS, World, check, check_positions, newest
from tests.unit.streams.records import MUTATIONS, ORIGIN

Did = tuple[str, int, float]
ACLS = (None, (), ("hr",), ("hr", "staff"))


def change(
    op: Op = Op.UPSERT,
    sequence: int | None = None,
    *,
    body: str = "text",
    acl: tuple[str, ...] | None = None,
    doc: str = "a",
    tenant: int = 0,
) -> DocumentChange:
    return DocumentChange(
        tenant=TENANTS[tenant],
        source=SOURCE,
        doc_id=DocId(doc),
        op=op,
        version=StatedVersion(1, sequence, RANKS[op]),
        event_id=f"{op} {sequence} {body} {acl}",
        title="Title",
        body=body.encode() if op is Op.UPSERT else None,
        acl=acl,
        default_acl=("public",),
        received_at=START,
        origin=ORIGIN,
    )


@st.composite
def changes(draw: st.DrawFn, tenants: int = 2) -> DocumentChange:
    op = draw(st.sampled_from([Op.UPSERT, Op.UPSERT, Op.UPSERT, Op.DELETE, Op.ACL, Op.ERASE]))
    acl = draw(st.sampled_from(ACLS)) if op in (Op.UPSERT, Op.ACL) else None
    return change(
        op,
        draw(st.sampled_from([None, 0, 1, 2, 3, 40, 41])),
        body=draw(st.sampled_from(["A", "B"])),
        acl=(acl or ("staff",)) if op is Op.ACL else acl,
        doc=draw(st.sampled_from(["a", "a", "b"])),
        tenant=draw(st.integers(0, tenants - 1)),
    )


DOES = st.tuples(
    st.sampled_from(
        [
            *("prepare", "prepare", "apply", "apply", "apply", "kill", "again"),
            *("hide", "redrive", "repair", "changes", "mutations"),
        ]
    ),
    st.integers(1, 8),
    st.sampled_from([0.3, 0.7, 1.0]),
)


async def play(made: Sequence[DocumentChange], does: Sequence[Did]) -> World:
    """Changes come in between what the stages do."""
    world, waiting = await World.create(), list(made)
    for what, number, share in does:
        if waiting:
            await world.post(waiting.pop(0))
        match what:
            case "prepare":
                await world.prepare(number)
            case "apply":
                await world.apply(number)
            case "kill":
                await world.apply(8, turns=7 * number)
            case "again":
                world.prepare_again(number)
            case "hide":
                await world.hide(number)
            case "redrive":
                await world.append_again(number)
            case "repair":
                await world.repair(number)
            case "changes":
                world.compact(CHANGES, share)
            case "mutations":
                world.compact(MUTATIONS, share)
        await check_positions(world.index)
    for rest in waiting:
        await world.post(rest)
    await world.settle()
    return world


async def check_builds(world: World) -> None:
    """As they are, and again when both topics are compacted to their ends."""
    wanted = world.wanted()
    await check(world.index, wanted)
    for _ in range(2):
        for topic in (CHANGES, MUTATIONS):
            await check(await world.build(topic), wanted)
            world.compact(topic, 1.0)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(changes(), min_size=2, max_size=9), st.lists(DOES, max_size=16))
def test_every_build_from_compacted_topics_is_the_serial_reference(made: list[DocumentChange], does: list[Did]) -> None:
    async def run() -> None:
        await check_builds(await play(made, does))

    asyncio.run(run())


@pytest.mark.soak
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(changes(), min_size=2, max_size=14), st.lists(DOES, max_size=30))
def test_every_build_from_compacted_topics_is_the_serial_reference_at_length(
    made: list[DocumentChange], does: list[Did]
) -> None:
    async def run() -> None:
        await check_builds(await play(made, does))

    asyncio.run(run())


KINDS: tuple[tuple[Op, tuple[str, ...] | None], ...] = (
    (Op.UPSERT, None),
    (Op.UPSERT, ("hr",)),
    (Op.UPSERT, ("staff",)),
    (Op.ACL, ("hr",)),
    (Op.ACL, ("staff",)),
    (Op.DELETE, None),
    (Op.ERASE, None),
)


@pytest.mark.parametrize("sequences", [(1, 2), (2, 1), (1, 1)], ids=str)
async def test_two_changes_of_any_kind_compacted_up_to_every_point(sequences: tuple[int, int]) -> None:
    for kinds in product(KINDS, repeat=2):
        world = await World.create()
        for body, sequence, (op, acl) in zip("AB", sequences, kinds, strict=True):
            await world.post(change(op, sequence, body=body, acl=acl))
        await world.settle()
        wanted = world.wanted()
        await check(world.index, wanted)
        for topic in (CHANGES, MUTATIONS):
            for end in range(1, world.log.end(topic) + 1):
                world.log.compact(topic, end)
                await check(await world.build(topic), wanted)


ORDERS = {
    "a delete, then a late upsert": (change(Op.DELETE, 2), change(sequence=1)),
    "an erasure, then a late delete": (change(Op.ERASE, 2), change(Op.DELETE, 1)),
    "a newer edition, then an older one": (change(sequence=2, body="A"), change(sequence=1, body="B")),
    "A, B, A in falling versions": tuple(change(sequence=9 - number, body=body) for number, body in enumerate("ABA")),
    "one version, two editions": (change(sequence=1, body="A"), change(sequence=1, body="B")),
    "one version, two acls": (change(Op.ACL, 1, acl=("hr",)), change(Op.ACL, 1, acl=("staff",))),
    "an acl between contents": (
        change(sequence=3, acl=("hr",)),
        change(Op.ACL, 2, acl=("staff",)),
        change(sequence=1, body="B"),
    ),
    "an acl that wins with a content that loses": (change(sequence=5), change(sequence=4, body="B", acl=("hr",))),
    "one that wins the acl at an equal version": (change(sequence=5), change(sequence=5, body="B", acl=("hr",))),
    "an acl's copy that comes late": (change(Op.ACL, 9, acl=("hr",)), change(sequence=3, acl=("staff",))),
}


@pytest.mark.parametrize("made", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("at_once", [True, False], ids=["waiting", "coming in"])
@pytest.mark.parametrize("ahead", [True, False], ids=["hidden ahead", "not hidden"])
async def test_what_counts_lies_behind_what_lost(made: Sequence[DocumentChange], at_once: bool, ahead: bool) -> None:
    world = await World.create()
    for record in made:
        await world.post(record)
        if not at_once:
            await world.settle()
    if ahead:
        await world.hide(100)
    await world.settle()
    assert any(isinstance(healing, Healed) for healing in world.healings)
    await check_builds(world)


async def test_the_copy_takes_the_place_of_the_change_and_adds_and_removes_nothing() -> None:
    world = await World.create()
    await world.post(change(sequence=2, acl=("hr",)))
    await world.post(change(sequence=1, body="B"))
    await world.settle()
    (healing,) = world.healings
    assert isinstance(healing, Healed)
    (row,) = (await newest(world.index)).values()
    assert row.change == healing.at
    commit = list(world.commits())[-1]
    assert (commit.change, commit.added, commit.removed) == (healing.at, (), ())
    assert commit.acl_before == commit.acl_after == ("hr",)


async def test_what_says_the_same_in_the_same_version_is_not_healed() -> None:
    world = await World.create()
    again = (change(sequence=1, acl=("hr",)), change(Op.DELETE, 2), change(Op.ACL, 3, acl=("staff",)))
    for record in again:
        await world.post(record)
        await world.post(record)
        await world.settle()
    assert world.healings == []
    await check_builds(world)


async def test_a_copy_of_what_is_not_newest_any_more_has_the_newest_healed_and_comes_to_an_end() -> None:
    world = await World.create()
    await world.post(change(sequence=2, body="A"))
    await world.post(change(sequence=1, body="B"))
    await world.prepare(10)
    await world.apply(10)
    await world.post(change(sequence=3, body="C"))
    await world.settle()
    assert len(world.healings) == 1
    await world.append_again(0)
    await world.settle()
    assert len(world.healings) == 2
    await check_builds(world)


async def test_what_compaction_has_taken_with_an_equal_one_is_copied_from_that() -> None:
    world = await World.create()
    await world.post(change(sequence=2, body="A"))
    await world.post(change(sequence=2, body="A").model_copy(update={"event_id": "sent once more"}))
    await world.settle()
    world.compact(CHANGES, 1.0)
    await world.post(change(sequence=1, body="B"))
    await world.settle()
    assert [type(healing) for healing in world.healings] == [Healed]
    await check_builds(world)


async def test_content_that_is_gone_from_the_log_is_told_and_stays_in_the_index() -> None:
    world = await World.create()
    await world.post(change(sequence=2, body="A"))
    await world.settle()
    await world.post(change(sequence=1, body="B"))
    world.log.compact(CHANGES, 2)
    await world.settle()
    assert world.healings == [Gone()]
    (row,) = (await newest(world.index)).values()
    assert row.content_version == Version(1, 2, 0)


async def test_content_that_fits_no_second_time_is_told_and_stays_in_the_index() -> None:
    world = await World.create()
    await world.post(change(sequence=2, body="A"))
    await world.settle()
    await world.post(change(sequence=1, body="B"))
    world.log.refusals[CHANGES] = TooLargeError("a record of this size")
    await world.settle()
    assert world.healings == [Gone()]
    (row,) = (await newest(world.index)).values()
    assert row.content_version == Version(1, 2, 0)
