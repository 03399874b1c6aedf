"""As-of reads and what has been taken away since: hides and mutations in any order leave no position where it shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from index.memory_log import MemoryCommitLog
from index.reader import Reader
from index.rows import Item, PositionedHide
from runtime.clock import SystemClock
from schemas.versions import Op, Version
from tests.unit.index.fakes import TENANT, doc, hides_of, mutation, new_index, question, writer_on

GROUPS = ("red", "green")

acls = st.lists(st.sampled_from((*GROUPS, "public")), max_size=2, unique=True).map(tuple)
changes = st.lists(st.tuples(st.sampled_from((Op.UPSERT, Op.ACL, Op.DELETE)), acls), min_size=1, max_size=5)


@dataclass(frozen=True)
class Taken:
    """What is in force now, by versions alone: the newest acl of each kind, and whether it was deleted."""

    acl: tuple[Version, tuple[str, ...]] | None
    hide: tuple[Version, tuple[str, ...]] | None
    deleted: Version | None
    content: Version | None

    def allows(self, principals: frozenset[str], *, history: bool) -> bool:
        """Whether somebody may read it at all, at whatever position."""
        if self.acl is None or principals.isdisjoint(self.acl[1]):
            return False
        if self.hide is not None and self.hide[0] > self.acl[0] and principals.isdisjoint(self.hide[1]):
            return False
        return history or self.deleted is None or (self.content is not None and self.content > self.deleted)


def taken(items: Sequence[Item]) -> Taken:
    mutations = [item.mutation for item in items if not isinstance(item, PositionedHide)]
    hides = [item.hide for item in items if isinstance(item, PositionedHide)]
    deletes = [one.version for one in hides if one.deleted]
    deletes += [one.version for one in mutations if one.op is Op.DELETE]
    return Taken(
        max(((one.version, one.acl) for one in mutations if one.acl is not None), default=None),
        max(((one.version, one.acl) for one in hides if one.acl is not None), default=None),
        max(deletes, default=None),
        max((one.version for one in mutations if one.op is Op.UPSERT), default=None),
    )


@given(changes, st.data())
@settings(max_examples=150, deadline=None)
async def test_what_was_taken_away_shows_at_no_position_whatever_the_order(
    some: list[tuple[Op, tuple[str, ...]]], data: st.DataObject
) -> None:
    mutations = [
        mutation(offset, "d", "tea", op=op, acl=None if op is Op.DELETE else acl)
        for offset, (op, acl) in enumerate(some, start=1)
    ]
    hides = [one for one in hides_of(mutations) if data.draw(st.booleans())]
    there = [one for one in mutations if data.draw(st.booleans())]
    items: list[Item] = data.draw(st.permutations([*there, *hides]))
    index = await new_index()
    writer, reader = writer_on(index, MemoryCommitLog()), Reader(index, SystemClock())
    for item in items:
        await writer.commit([item])
    now, newest = taken(items), (await reader.position(TENANT)).seq
    for principals in (frozenset({"red"}), frozenset({"green", "public"})):
        for history in (False, True):
            for position in range(newest + 1):
                found = await reader.retrieve(question("tea", *principals, as_of=position, history=history))
                shown = doc("d") in found.rows
                _, row = await reader.document(doc("d"), principals, as_of=position, history=history)
                assert now.allows(principals, history=history) or not (shown or row)
