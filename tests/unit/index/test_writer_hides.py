"""Hides through the writer: what they change, what they leave, and how they cut into a batch that is being written."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import ContentState, DocumentRow
from index.outcomes import Committed, Outcome, Redelivered, Unchanged
from index.reader import Reader
from index.rows import Item, PositionedHide
from index.states import states_at
from index.writer import TenantWriter
from runtime.clock import ManualClock
from schemas.errors import AmbiguousWriteError, PermanentError, TransientError
from schemas.versions import Op, Version
from tests.unit.index.fakes import (
    TENANT,
    FailAt,
    Tapped,
    check_whole,
    doc,
    hide,
    mutation,
    new_index,
    reference,
    writer_on,
)


class Shop:
    """An index, its log, a writer, and short words for what tests do."""

    def __init__(self, index: MemoryIndex) -> None:
        self.index = index
        self.log = MemoryCommitLog()
        self.writer = writer_on(index, self.log, rows_at_once=1)

    async def commit(self, *batch: Item) -> tuple[Outcome, ...]:
        return await self.writer.commit(batch)

    async def row(self, name: str) -> DocumentRow:
        published = await Reader(self.index, ManualClock()).position(TENANT)
        return (await states_at(self.index, published, TENANT, [doc(name)], published.seq))[doc(name)]

    async def head(self) -> int:
        return (await Reader(self.index, ManualClock()).position(TENANT)).seq


@dataclass
class Coming:
    """Hides that come in one batch after the other, each when it is asked for (`index.writer.Waiting`)."""

    batches: list[list[PositionedHide]]
    outcomes: list[Outcome] = field(default_factory=list)

    def take(self) -> Sequence[PositionedHide]:
        return self.batches.pop(0) if self.batches else []

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes


@pytest.fixture
async def shop() -> Shop:
    return Shop(await new_index())


async def test_a_hidden_delete_is_one_row_that_keeps_the_content_and_shows_it_to_nobody(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", "milk"))
    (outcome,) = await shop.commit(hide(0, "a", version=5))
    assert isinstance(outcome, Committed)
    told = outcome.commit
    assert (told.op, told.seq, told.added, told.removed) == (Op.DELETE, 2, (), ())
    assert (told.acl_before, told.acl_after, told.mutation.topic) == (("public",), ("public",), "index.hides")
    row = await shop.row("a")
    assert (row.content, row.is_present, row.hide_deleted) == (ContentState.PRESENT, False, Version(1, 5, 2))
    assert (row.title, row.kind, row.mutation_high) == ("Title", "text", 0)
    assert len(row.manifest) == 2


async def test_the_delete_itself_ends_its_hide(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea"))
    await shop.commit(hide(0, "a", version=5))
    await shop.commit(mutation(1, "a", op=Op.DELETE, version=5))
    row = await shop.row("a")
    assert (row.content, row.hide_deleted) == (ContentState.DELETED, None)
    assert await shop.commit(hide(1, "a", version=5)) == (Unchanged(conflict=False),), "a duplicate that comes late"


async def test_older_content_stays_hidden_and_newer_content_is_shown(shop: Shop) -> None:
    await shop.commit(hide(0, "a", version=5))
    assert (await shop.row("a")).content is ContentState.ABSENT
    await shop.commit(mutation(0, "a", "tea", version=4))
    row = await shop.row("a")
    assert (row.content, row.is_present) == (ContentState.PRESENT, False)
    await shop.commit(mutation(1, "a", "milk", version=6))
    row = await shop.row("a")
    assert (row.is_present, row.hide_deleted) == (True, None)


async def test_a_hidden_acl_must_match_beside_the_registers_own(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", acl=["staff", "board"]))
    await shop.commit(hide(0, "a", version=5, op=Op.ACL, acl=["board", "guests"]))
    row = await shop.row("a")
    assert row.readable_by(["board"])
    assert row.readable_by(["staff", "guests"]), "each may match by another group"
    assert not row.readable_by(["staff"])
    assert not row.readable_by(["guests"]), "a hide gives nothing"
    await shop.commit(mutation(1, "a", op=Op.ACL, acl=["board", "guests"], version=5))
    row = await shop.row("a")
    assert row.readable_by(["guests"])
    assert (row.hide_acl, row.hide_acl_version) == ((), None)


async def test_content_without_acl_keeps_a_hidden_acl(shop: Shop) -> None:
    await shop.commit(hide(0, "a", version=5, op=Op.ACL, acl=["board"]))
    await shop.commit(mutation(0, "a", "tea", version=4, default_acl=["board", "staff"]))
    row = await shop.row("a")
    assert row.readable_by(["board"])
    assert not row.readable_by(["staff"])
    assert row.acl == ("board", "staff"), "the default still applies where there is no register"


async def test_older_and_equal_hides_change_nothing(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", acl=["staff"], version=3))
    await shop.commit(hide(0, "a", version=5))
    await shop.commit(hide(1, "a", version=6, op=Op.ACL, acl=["board"]))
    for late in (
        hide(2, "a", version=5),
        hide(3, "a", version=4),
        hide(4, "a", version=6, op=Op.ACL, acl=["staff"]),
        hide(5, "a", version=5, op=Op.ACL, acl=["staff"]),
    ):
        assert await shop.commit(late) == (Unchanged(conflict=False),)
    assert await shop.head() == 3
    row = await shop.row("a")
    assert (row.hide_deleted, row.hide_acl) == (Version(1, 5, 2), ("board",))


async def test_a_redelivered_hide_is_told_again_and_not_written_again(shop: Shop) -> None:
    await shop.commit(mutation(0, "a", "tea", acl=["staff"]))
    told = []
    for item in (hide(0, "a", version=5), hide(1, "a", version=6, op=Op.ACL, acl=["board"]), hide(2, "a", version=7)):
        (outcome,) = await shop.commit(item)
        assert isinstance(outcome, Committed)
        told.append((item, outcome.commit))
    await shop.commit(mutation(1, "a", op=Op.DELETE, version=7))
    successor = writer_on(shop.index, shop.log, "next")
    for item, commit in told:
        assert await successor.commit([item]) == (Redelivered(commit),)
    assert await shop.head() == 5


async def test_a_mutation_after_a_hide_is_not_taken_for_redelivered(shop: Shop) -> None:
    """Offsets of index.hides and index.mutations have nothing to do with each other."""
    await shop.commit(mutation(3, "a", "tea", version=1))
    await shop.commit(hide(900, "a", version=5))
    (outcome,) = await shop.commit(mutation(4, "a", "milk", version=6))
    assert isinstance(outcome, Committed)
    assert (await shop.row("a")).mutation_high == 4


async def test_hides_are_published_while_chunk_rows_are_inserted(shop: Shop) -> None:
    await shop.commit(mutation(0, "secret", "tea"), mutation(1, "other", "corn"))
    coming = Coming([[hide(0, "secret", version=5)], [], [hide(1, "other", version=6, op=Op.ACL, acl=["board"])]])
    seen: list[int] = []

    async def watch(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if name == "insert_chunks":
            seen.append(await shop.head())
        return await call()

    writer = writer_on(Tapped(shop.index, watch), shop.log, rows_at_once=1)  # type: ignore[arg-type]
    large = mutation(2, "large", *(f"part {number}" for number in range(4)))
    (outcome,) = await writer.commit([large], coming)
    assert isinstance(outcome, Committed)
    assert seen == [2, 3, 4, 4], "a hide was visible before the next rows went in"
    assert (outcome.commit.seq, outcome.commit.batch_from, outcome.commit.batch_to) == (5, 4, 5)
    hidden = [one.commit.seq for one in coming.outcomes if isinstance(one, Committed)]
    assert hidden == [3, 4]
    assert [commit.seq for commit in shop.log.commits()] == [1, 2, 3, 4, 5]
    assert not (await shop.row("secret")).is_present
    assert len((await shop.row("large")).manifest) == 4


async def test_a_document_that_is_hidden_while_it_is_written_stays_hidden(shop: Shop) -> None:
    history = [mutation(0, "a", "tea", version=1), mutation(1, "a", "milk", "corn", version=2, acl=["staff", "board"])]
    for first in ([history[0]], []):
        index, log = await new_index(), MemoryCommitLog()
        shop = Shop(index)
        shop.log, shop.writer = log, writer_on(index, log, rows_at_once=1)
        if first:
            await shop.commit(*first)
        coming = Coming([[hide(0, "a", version=8)], [hide(1, "a", version=9, op=Op.ACL, acl=["board"])]])
        (outcome,) = await shop.writer.commit([history[1]], coming)
        assert isinstance(outcome, Committed)
        assert (outcome.commit.acl_before is None) is False, "the row before is the hide's"
        row = await shop.row("a")
        assert (row.hide_deleted, row.hide_acl) == (Version(1, 8, 2), ("board",))
        assert not row.is_present
        assert await writer_on(index, log, "next").commit([history[1]]) == (Redelivered(outcome.commit),)
        await check_whole(index, log, reference([*first, history[1]]))


async def test_a_batch_that_fails_later_leaves_the_hides_in_force(shop: Shop) -> None:
    coming = Coming([[hide(0, "a", version=8)]])

    async def refuse(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if name == "insert_documents" and not coming.batches and coming.outcomes:
            raise PermanentError("a row is refused", reason="refused")
        return await call()

    writer = writer_on(Tapped(shop.index, refuse), shop.log, rows_at_once=1)  # type: ignore[arg-type]
    with pytest.raises(PermanentError):
        await writer.commit([mutation(0, "a", "tea", "milk", version=2)], coming)
    assert len(coming.outcomes) == 1
    assert (await shop.row("a")).hide_deleted == Version(1, 8, 2)
    await shop.commit(mutation(0, "a", "tea", "milk", version=2))
    assert not (await shop.row("a")).is_present


async def test_a_refused_hide_is_not_the_batchs_fault(shop: Shop) -> None:
    coming = Coming([[hide(0, "a", version=8)]])

    async def refuse(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if name == "insert_documents":
            raise PermanentError("a row is refused", reason="refused")
        return await call()

    writer = writer_on(Tapped(shop.index, refuse), shop.log, rows_at_once=1)  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="a hide was refused"):
        await writer.commit([mutation(0, "b", "tea", version=2)], coming)
    assert coming.outcomes == []


async def test_a_failure_at_any_single_call_is_made_good_by_handing_in_again() -> None:
    batch = [mutation(0, "a", "tea", "milk", version=2, acl=["staff"]), mutation(1, "b", "corn", version=3)]
    hides = [hide(0, "a", version=7, op=Op.ACL, acl=["board"]), hide(1, "b", version=8), hide(2, "c", version=9)]

    async def run(number: int, applied: bool) -> bool:
        index, log, fail = await new_index(), MemoryCommitLog(), FailAt(number, applied)
        writer: TenantWriter = writer_on(Tapped(index, fail), Tapped(log, fail), rows_at_once=1)  # type: ignore[arg-type]
        left = list(hides)
        for _ in range(3):
            coming = Coming([[one] for one in left])
            try:
                await writer.commit(batch, coming)
            except AmbiguousWriteError:
                left = left[len(coming.outcomes) :]
                continue
            left = left[len(coming.outcomes) :]
            break
        for one in left:
            await writer.commit([one])
        shop = Shop(index)
        assert (await shop.row("a")).hide_acl == ("board",)
        assert (await shop.row("b")).hide_deleted == Version(1, 8, 2)
        assert (await shop.row("c")).hide_deleted == Version(1, 9, 2)
        states = reference(batch)
        published = await Reader(index, ManualClock()).position(TENANT)
        for seq in range(1, published.seq + 1):
            valid = [row for row in await index.rows_at(TENANT, seq) if published.is_valid(row)]
            assert len(valid) == 1
            assert any((one.epoch, one.seq) == (valid[0].epoch, seq) for one in log.commits())
        assert (await shop.row("a")).content_version == states[doc("a")].content_version
        return fail.calls <= number

    for applied in (False, True):
        number = 0
        while not await run(number, applied):
            number += 1
        assert number > 20
