import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import ContentState
from index.outcomes import Committed, Outcome, Redelivered, Unchanged
from index.reader import Reader
from index.rows import PositionedMutation
from index.writer import TenantWriter
from runtime.clock import ManualClock
from schemas.errors import AmbiguousWriteError, PermanentError, UnknownTenantError
from schemas.identity import Tenant
from schemas.versions import Op
from tests.unit.index.fakes import (
    TENANT,
    FailAt,
    State,
    Tapped,
    check_whole,
    doc,
    mutation,
    new_index,
    reference,
    states,
    writer_on,
)


class Shop:
    """An index, its log, a writer, and short words for what tests do."""

    def __init__(self, index: MemoryIndex) -> None:
        self.index = index
        self.log = MemoryCommitLog()
        self.writer = writer_on(index, self.log)

    async def commit(self, *batch: PositionedMutation) -> tuple[Outcome, ...]:
        return await self.writer.commit(batch)

    async def head(self) -> int:
        return (await Reader(self.index, ManualClock()).position(TENANT)).seq

    async def states(self) -> dict[str, State]:
        published = await Reader(self.index, ManualClock()).position(TENANT)
        return {document.doc_id: state for document, state in (await states(self.index, published)).items()}


@pytest.fixture
async def shop() -> Shop:
    return Shop(await new_index())


async def test_a_group_commit_makes_many_documents_visible_at_once(shop: Shop) -> None:
    batch = [mutation(offset, f"d{offset}", "tea", "milk") for offset in range(5)]
    outcomes = await shop.commit(*batch)
    assert [type(outcome) for outcome in outcomes] == [Committed] * 5
    commits = [outcome.commit for outcome in outcomes if isinstance(outcome, Committed)]
    assert [commit.seq for commit in commits] == [1, 2, 3, 4, 5]
    assert {(commit.batch_from, commit.batch_to) for commit in commits} == {(0, 5)}
    assert [commit.doc_id for commit in commits] == ["d0", "d1", "d2", "d3", "d4"]
    assert await shop.head() == 5
    await check_whole(shop.index, shop.log, reference(batch))


async def test_a_batch_names_a_document_once(shop: Shop) -> None:
    with pytest.raises(ValueError, match="at most one"):
        await shop.commit(mutation(0, "a", "tea"), mutation(1, "a", "milk"))


async def test_an_empty_batch_moves_no_head(shop: Shop) -> None:
    assert await shop.commit() == ()
    assert await shop.head() == 0


async def test_a_tenant_nobody_applied_is_unknown_and_costs_no_take_over_record(shop: Shop) -> None:
    stranger = TenantWriter(shop.index, shop.log, Tenant("nobody"), ManualClock(), name="w")
    with pytest.raises(UnknownTenantError):
        await stranger.commit([mutation(0, "a", "tea")])
    assert shop.log.records == []


async def test_what_changes_nothing_moves_no_head_and_emits_nothing(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", version=5))
    before = len(shop.log.records)
    for late in (mutation(1, "a", "milk", version=4), mutation(2, "a", op=Op.DELETE, version=3)):
        assert await shop.commit(late) == (Unchanged(conflict=False),)
    assert await shop.head() == 1
    assert len(shop.log.records) == before


async def test_an_equal_version_keeps_the_first_and_counts_a_conflict_only_if_content_differs(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", version=5, acl=["staff"]))
    same = mutation(1, "a", "tea", version=5, acl=["staff"])
    assert await shop.commit(same) == (Unchanged(conflict=False),)
    assert await shop.commit(mutation(2, "a", "milk", version=5, acl=["staff"])) == (Unchanged(conflict=True),)
    assert await shop.commit(mutation(3, "a", "tea", version=5, acl=["board"])) == (Unchanged(conflict=True),)
    assert (await shop.states())["a"].texts == ("tea",)


async def test_a_vector_that_is_none_is_the_mutation_s_fault(shop: Shop) -> None:
    item = mutation(0, "a", "tea")
    assert item.mutation.content is not None
    broken = item.mutation.content.chunks[0].model_copy(update={"vector": b"abc"})
    content = item.mutation.content.model_copy(update={"chunks": (broken,)})
    with pytest.raises(PermanentError, match="float32"):
        await shop.commit(replace(item, mutation=item.mutation.model_copy(update={"content": content})))
    assert await shop.head() == 0


async def test_content_that_comes_back_gets_rows_of_its_own(shop: Shop) -> None:
    """A -> B -> A: superseded rows never return, a manifest lists each row once."""
    for offset, text in enumerate(("tea", "milk", "tea")):
        await shop.commit(mutation(offset, "a", text))
    rows = await shop.index.document_history(doc("a"), limit=9)
    ids = [row.chunk_ids() for row in reversed(rows)]
    assert not ids[0] & ids[2]
    assert (await shop.states())["a"].texts == ("tea",)
    await check_whole(shop.index, shop.log, reference([mutation(2, "a", "tea")]))


async def test_equal_chunks_are_matched_as_often_as_they_occur(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", "tea", "milk"))
    (outcome,) = await shop.commit(mutation(1, "a", "tea", "tea", "tea"))
    assert isinstance(outcome, Committed)
    assert (len(outcome.commit.added), len(outcome.commit.removed)) == (1, 1)
    assert (await shop.states())["a"].texts == ("tea", "tea", "tea")


async def test_a_late_upsert_loses_to_a_delete(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", version=1))
    await shop.commit(mutation(1, "a", op=Op.DELETE, version=3))
    assert await shop.commit(mutation(2, "a", "milk", version=2)) == (Unchanged(conflict=False),)
    assert (await shop.states())["a"].content is ContentState.DELETED
    await shop.commit(mutation(3, "a", "corn", version=4))
    assert (await shop.states())["a"].texts == ("corn",)


async def test_a_delete_of_an_unknown_document_is_a_tombstone(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", op=Op.DELETE, version=3))
    assert await shop.commit(mutation(1, "a", "tea", version=2)) == (Unchanged(conflict=False),)
    assert await shop.head() == 1


async def test_an_acl_of_an_unknown_document_waits_for_its_content(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", op=Op.ACL, acl=["board"], version=7))
    assert (await shop.states())["a"].content is ContentState.ABSENT
    await shop.commit(mutation(1, "a", "tea", version=3))
    state = (await shop.states())["a"]
    assert (state.content, state.acl) == (ContentState.PRESENT, frozenset({"board"}))


async def test_the_default_acl_applies_only_where_there_is_no_register(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", default_acl=["staff"]))
    assert (await shop.states())["a"].acl == {"staff"}
    await shop.commit(mutation(1, "a", "tea", acl=["board"], default_acl=["staff"]))
    await shop.commit(mutation(2, "a", "milk", default_acl=["staff"]))
    assert (await shop.states())["a"].acl == {"board"}


async def test_an_acl_older_than_the_content_still_sets_its_register(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", version=5))
    await shop.commit(mutation(1, "a", "milk", version=3, acl=["board"]))
    state = (await shop.states())["a"]
    assert (state.texts, state.acl) == (("tea",), frozenset({"board"}))


async def test_a_gained_group_supersedes_all_rows_and_a_revocation_writes_one(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", "milk", acl=["staff"]))
    (gain,) = await shop.commit(mutation(1, "a", op=Op.ACL, acl=["staff", "board"]))
    assert isinstance(gain, Committed)
    assert (len(gain.commit.added), len(gain.commit.removed)) == (2, 2)
    rows = await shop.index.chunks(TENANT, gain.commit.added, vectors=True)
    assert all(set(row.acl) == {"staff", "board"} for row in rows.values())
    assert all(row.vector is not None for row in rows.values())
    (revocation,) = await shop.commit(mutation(2, "a", op=Op.ACL, acl=["board"]))
    assert isinstance(revocation, Committed)
    assert (revocation.commit.added, revocation.commit.removed) == ((), ())
    assert (revocation.commit.acl_before, revocation.commit.acl_after) == (("staff", "board"), ("board",))
    (back,) = await shop.commit(mutation(3, "a", op=Op.ACL, acl=["staff"]))
    assert isinstance(back, Committed)
    assert back.commit.added == (), "the rows still carry the group in their hint"


async def test_a_row_to_copy_that_is_missing_stays_listed_for_the_audit_and_stops_nobody(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", "milk", acl=["staff"]))
    (before,) = await shop.index.document_history(doc("a"), limit=9)
    lost, kept = before.manifest
    await shop.index.remove_chunks(TENANT, [lost.chunk_id])
    (gain,) = await shop.commit(mutation(1, "a", op=Op.ACL, acl=["board"]))
    assert isinstance(gain, Committed)
    row, _ = await shop.index.document_history(doc("a"), limit=9)
    assert (row.acl, row.superseded) == (("board",), (kept.chunk_id,))
    assert row.manifest[0] == lost
    (copied,) = (await shop.index.chunks(TENANT, row.chunk_ids())).values()
    assert copied.acl == ("board",)


async def test_content_without_chunks_is_present_and_empty(shop: Shop) -> None:
    await shop.commit(mutation(0, "a"))
    assert (await shop.states())["a"].content is ContentState.PRESENT
    await shop.commit(mutation(1, "a", "tea"))
    await shop.commit(mutation(2, "a"))
    assert (await shop.states())["a"].texts == ()
    assert await shop.head() == 3


async def test_a_redelivered_mutation_is_told_again_and_not_written_again(shop: Shop) -> None:
    first = mutation(0, "a", "tea")
    (committed,) = await shop.commit(first)
    assert isinstance(committed, Committed)
    assert await shop.commit(first) == (Redelivered(committed.commit),)
    assert await writer_on(shop.index, shop.log, "next").commit([first]) == (Redelivered(committed.commit),)
    assert await shop.head() == 1


async def test_an_older_mutation_with_newer_ones_on_top_is_told_as_it_was(shop: Shop) -> None:
    told = []
    history = [mutation(0, "a", "tea"), mutation(1, "a", "milk"), mutation(2, "a", op=Op.ACL, acl=["board"])]
    for item in history:
        (outcome,) = await shop.commit(item)
        assert isinstance(outcome, Committed)
        told.append(outcome.commit)
    successor = writer_on(shop.index, shop.log, "next")
    for item, commit in zip(history, told, strict=True):
        assert await successor.commit([item]) == (Redelivered(commit),)
    assert await shop.head() == 3


async def test_a_redelivered_mutation_that_changed_nothing_changes_nothing_again(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", version=9))
    late = mutation(1, "a", "milk", version=3)
    await shop.commit(late)
    await shop.commit(mutation(2, "a", "corn", version=10))
    assert await shop.commit(late) == (Unchanged(conflict=False),)


async def test_a_commit_cancelled_at_any_call_is_made_good_by_the_next(shop: Shop) -> None:
    batch = [mutation(0, "a", "tea"), mutation(1, "b", "milk")]
    for number in range(30):
        index = await new_index()
        log = MemoryCommitLog()
        calls = 0

        async def hang(name: str, call: Callable[[], Awaitable[Any]], stop: int = number) -> Any:
            nonlocal calls
            calls += 1
            if calls - 1 == stop:
                await asyncio.Event().wait()
            return await call()

        writer = writer_on(Tapped(index, hang), Tapped(log, hang))  # type: ignore[arg-type]
        task = asyncio.create_task(writer.commit(batch))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if task.done():
            assert number > 8
            return
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await writer.commit(batch)
        await check_whole(index, log, reference(batch))
    raise AssertionError("a commit has fewer calls than this")


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from([Op.UPSERT, Op.UPSERT, Op.DELETE, Op.ACL]),
        st.lists(st.sampled_from(["tea", "milk", "corn"]), max_size=2),
        st.integers(0, 4),
        st.one_of(st.none(), st.lists(st.sampled_from(["public", "staff", "board"]), max_size=2, unique=True)),
    ),
    min_size=1,
    max_size=5,
)


def _mutations(changes: list[Any]) -> list[PositionedMutation]:
    return [
        mutation(
            offset,
            name,
            *texts,
            op=op,
            version=version,
            acl=(acl or []) if op is Op.ACL else None if op is Op.DELETE else acl,
        )
        for offset, (name, op, texts, version, acl) in enumerate(changes)
    ]


@settings(max_examples=25)
@given(_CHANGES)
def test_a_failure_at_any_single_call_is_made_good_by_handing_in_again(changes: list[Any]) -> None:
    history = _mutations(changes)

    async def run(number: int, applied: bool) -> bool:
        index, log, fail = await new_index(), MemoryCommitLog(), FailAt(number, applied)
        writer = writer_on(Tapped(index, fail), Tapped(log, fail))  # type: ignore[arg-type]
        for item in history:
            for _ in range(3):
                try:
                    await writer.commit([item])
                    break
                except AmbiguousWriteError:
                    continue
        await check_whole(index, log, reference(history))
        return fail.calls <= number

    async def every_call() -> None:
        for applied in (False, True):
            number = 0
            while not await run(number, applied):
                number += 1

    asyncio.run(every_call())


@settings(max_examples=40)
@given(_CHANGES, st.randoms(use_true_random=False))
def test_order_and_duplicates_do_not_matter(changes: list[Any], chance: Any) -> None:
    """Versions of one document that differ: registers come to the highest, however often and in whatever order."""
    history = [item for place, item in enumerate(_mutations(changes)) if not _equal_version(changes, place)]
    delivered = history + chance.choices(history, k=3)
    chance.shuffle(delivered)

    async def run() -> dict[Any, State]:
        index, log = await new_index(), MemoryCommitLog()
        writer = writer_on(index, log)
        for offset, item in enumerate(delivered):
            await writer.commit([PositionedMutation(item.mutation, mutation(offset, "a").at)])
        return await states(index, await Reader(index, ManualClock()).position(TENANT))

    assert asyncio.run(run()) == reference(history)


def _equal_version(changes: list[Any], place: int) -> bool:
    name, op, _, version, _ = changes[place]
    return any((one[0], one[1], one[3]) == (name, op, version) for one in changes[:place])


@settings(max_examples=30)
@given(_CHANGES)
def test_no_attempt_reuses_a_row_id(changes: list[Any]) -> None:
    history = _mutations(changes)

    async def run() -> None:
        index, log = await new_index(), MemoryCommitLog()
        inserted: set[str] = set()
        calls = 0

        async def watch(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal calls
            before = {row.id for row in _rows(index)}
            result = await call()
            if name in ("insert_chunks", "insert_documents"):
                fresh = {row.id for row in _rows(index)} - before
                assert fresh, "an insert replaced rows"
                assert not fresh & inserted
                inserted.update(fresh)
            calls += 1
            if calls % 7 == 0:
                raise AmbiguousWriteError("cut off after")
            return result

        writer = writer_on(Tapped(index, watch), log)
        for item in history:
            for _ in range(9):
                try:
                    await writer.commit([item])
                    break
                except AmbiguousWriteError:
                    continue

    asyncio.run(run())


def _rows(index: MemoryIndex) -> list[Any]:
    shard = index._shards[TENANT]
    return [*shard.chunks.values(), *shard.documents.values()]
