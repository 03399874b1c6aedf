from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from index.filters import Filters
from index.memory_log import MemoryCommitLog
from index.model import DocumentRow, RowId
from index.moments import FuturePositionError, HistoryUnavailableError
from index.reader import Reader
from index.rows import PositionedMutation
from runtime.clock import ManualClock
from schemas.errors import BrokenIndexError, TransientError, UnknownTenantError
from schemas.identity import Tenant
from schemas.versions import Op, Version
from tests.unit.index.fakes import START, TENANT, Tapped, doc, mutation, question, reference, writer_on
from tests.unit.index.library import Library

PUBLIC = frozenset({"public"})


async def test_a_reader_sees_the_newest_version_in_both_legs(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea leaf", "tea cup"))
    await library.commit(mutation(1, "a", "tea leaf", "tea pot"))
    assert await library.found(question("tea")) == {"a": ["tea leaf", "tea pot"]}


async def test_as_of_every_position_a_reader_sees_what_was_committed_then(library: Library) -> None:
    """Random histories: at each position exactly one version of each document, all of its chunks."""
    chance = Random(7)
    history: list[PositionedMutation] = []
    positions: dict[int, dict[str, list[str]]] = {0: {}}
    for offset in range(40):
        texts = [f"tea {word}" for word in chance.sample(["one", "two", "three", "four", "five"], chance.randint(0, 4))]
        op = chance.choice([Op.UPSERT, Op.UPSERT, Op.UPSERT, Op.DELETE])
        history.append(mutation(offset, chance.choice("abcd"), *texts, op=op))
        await library.commit(history[-1])
        published = await library.reader.position(TENANT)
        positions[published.seq] = {
            document.doc_id: sorted(state.texts) for document, state in reference(history).items() if state.texts
        }
    for seq, wanted in positions.items():
        assert await library.found(question("tea", as_of=seq, history=True)) == wanted, f"at {seq}"


async def test_a_position_inside_a_batch_is_rounded_down_to_a_published_head(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea one"))
    await library.commit(mutation(1, "b", "tea two"), mutation(2, "c", "tea three"), mutation(3, "d", "tea four"))
    await library.commit(mutation(4, "a", "tea five"))
    rounded = [(await library.reader.retrieve(question("tea", as_of=seq))).at.seq for seq in range(6)]
    assert rounded == [0, 1, 1, 1, 4, 5]
    assert [(await library.reader.document(doc("a"), PUBLIC, as_of=seq))[0].seq for seq in range(6)] == rounded
    assert await library.found(question("tea", as_of=3)) == {"a": ["tea one"]}


async def test_an_earlier_position_says_when_it_was_published(library: Library) -> None:
    times: dict[int, datetime | None] = {0: None}
    for batch in ([mutation(0, "a", "tea")], [mutation(1, "a", "tea pot"), mutation(2, "b", "tea cup")]):
        library.clock.advance(60)
        await library.commit(*batch)
        newest = (await library.reader.retrieve(question("tea"))).at
        times[newest.seq] = newest.committed_at
    await library.commit(mutation(3, "a", "tea leaf"))
    seen = {seq: (await library.reader.retrieve(question("tea", as_of=seq))).at.committed_at for seq in (0, 1, 2, 3)}
    assert seen == {0: None, 1: times[1], 2: times[1], 3: times[3]}
    assert times[1] != times[3]


async def test_a_position_that_was_not_published_yet_is_refused_and_says_which_is_newest(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea"))
    with pytest.raises(FuturePositionError) as caught:
        await library.reader.retrieve(question("tea", as_of=2))
    assert caught.value.newest == 1


async def test_a_position_before_the_kept_history_is_refused(library: Library) -> None:
    for offset in range(4):
        await library.commit(mutation(offset, "a", f"tea {offset}"))
    head = (await library.reader.position(TENANT)).head
    await library.index.put_head(replace(head, history_from=3))
    assert await library.found(question("tea", as_of=3)) == {"a": ["tea 2"]}
    for seq in (2, 0, -1):
        with pytest.raises(HistoryUnavailableError) as caught:
            await library.reader.retrieve(question("tea", as_of=seq))
        assert caught.value.history_from == 3
    await library.index.put_head(replace(head, history_from=0))
    with pytest.raises(HistoryUnavailableError):
        await library.reader.retrieve(question("tea", as_of=-1))


async def test_a_seq_without_its_row_is_a_broken_index(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea"))
    head = (await library.reader.position(TENANT)).head
    await library.index.put_head(replace(head, seq=3))
    with pytest.raises(BrokenIndexError, match="0 valid document rows at seq 2"):
        await library.reader.retrieve(question("tea", as_of=2))


async def test_a_tenant_nobody_applied_is_unknown(library: Library) -> None:
    with pytest.raises(UnknownTenantError):
        await library.reader.retrieve(replace(question("tea"), tenant=Tenant("nobody")))


async def test_rows_of_an_unpublished_batch_are_not_seen(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea old"))

    async def no_head(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal puts
        puts += name == "put_head"
        if name == "put_head" and puts == 4:
            raise TransientError("the head of the batch is never put")
        return await call()

    puts = 0
    cut_off = writer_on(Tapped(library.index, no_head), MemoryCommitLog())  # type: ignore[arg-type]
    cut_off._log.records.extend([None] * 5)  # type: ignore[attr-defined]
    with pytest.raises(TransientError):
        await cut_off.commit([mutation(1, "a", "tea new"), mutation(2, "b", "tea more")])
    assert await library.found(question("tea")) == {"a": ["tea old"]}


EARLY, LATE = START, START + timedelta(days=9)


async def test_a_version_that_says_the_same_at_another_time_writes_no_chunk_row(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea leaf", "tea cup", event_time=EARLY))
    (before,) = await library.index.document_history(doc("a"), limit=1)
    await library.commit(mutation(1, "a", "tea leaf", "tea cup", event_time=LATE))
    (after, _) = await library.index.document_history(doc("a"), limit=2)
    assert after.manifest == before.manifest
    assert (after.superseded, after.event_time) == ((), LATE)


async def test_a_document_is_of_the_time_of_its_version_in_force_whenever_its_rows_were_written(
    library: Library,
) -> None:
    await library.commit(mutation(0, "a", "tea leaf", "tea cup", event_time=EARLY))
    await library.commit(mutation(1, "b", "tea bag", event_time=EARLY), mutation(2, "c", "tea room"))
    await library.commit(mutation(3, "a", "tea leaf", "tea pot", event_time=LATE))
    whole, other = {"a": ["tea leaf", "tea pot"]}, {"b": ["tea bag"]}
    assert await library.found(question("tea", filters=Filters(after=LATE))) == whole
    assert await library.found(question("tea", filters=Filters(before=LATE))) == other
    assert await library.found(question("tea", filters=Filters(after=EARLY))) == whole | other
    then = Filters(before=LATE)
    assert await library.found(question("tea", filters=then, as_of=1)) == {"a": ["tea cup", "tea leaf"]}


async def test_what_is_of_another_time_starves_no_leg(library: Library) -> None:
    await library.commit(*(mutation(number, f"d{number}", "tea tea", event_time=EARLY) for number in range(200)))
    await library.commit(mutation(200, "a", "tea", event_time=LATE))
    found = await library.reader.retrieve(question("tea", filters=Filters(after=LATE)))
    assert [hit.document for hit in found.lexical] == [hit.document for hit in found.vector] == [doc("a")]
    assert found.widened == {"vector": 0, "lexical": 0}


GROUPS = ("public", "staff", "board", "user:ann")


async def test_what_a_principal_may_read_is_found_and_nothing_else(library: Library) -> None:
    """A matrix of acl x principals, after gains and revocations in random order."""
    chance = Random(3)
    acls: dict[str, set[str]] = {}
    for offset in range(60):
        name = chance.choice("abcdefgh")
        acl = chance.sample(GROUPS, chance.randint(0, 3))
        if name in acls and chance.random() < 0.6:
            await library.commit(mutation(offset, name, op=Op.ACL, acl=acl))
        else:
            await library.commit(mutation(offset, name, f"tea {name}", f"tea {offset}", acl=acl))
        acls[name] = set(acl)
        principals = set(chance.sample(GROUPS, chance.randint(1, 3)))
        found = await library.found(question("tea", *principals))
        assert found.keys() == {name for name, acl in acls.items() if acl & principals}
        assert all(len(texts) == 2 for texts in found.values())


@pytest.mark.parametrize("dropped", [10, 100, 1000])
async def test_a_leg_starved_by_what_is_forbidden_or_superseded_is_widened(library: Library, dropped: int) -> None:
    """All the better hits are dropped: their rows still carry the group as a hint, or were replaced."""
    for start in range(0, dropped, 50):
        some = range(start, min(start + 50, dropped))
        await library.commit(*(mutation(number, f"gone{number}", "tea tea tea", acl=["public"]) for number in some))
    for start in range(0, dropped, 50):
        some = range(start, min(start + 50, dropped))
        await library.commit(
            *(
                mutation(1000 + number, f"gone{number}", op=Op.ACL, acl=["board"])
                if number % 2
                else mutation(1000 + number, f"gone{number}", "unrelated", acl=["board"])
                for number in some
            )
        )
    await library.commit(mutation(5000, "kept", "tea with much more besides it than the others have"))
    retrieved = await library.reader.retrieve(question("tea tea tea", leg_size=32))
    assert await library.texts_of(retrieved) == {"kept": ["tea with much more besides it than the others have"]}
    assert [len(retrieved.vector), len(retrieved.lexical)] == [1, 1]


async def test_a_leg_is_never_longer_than_asked(library: Library) -> None:
    await library.commit(*(mutation(number, f"d{number}", "tea", acl=["public"]) for number in range(20)))
    await library.commit(*(mutation(100 + n, f"d{n}", op=Op.ACL, acl=["board"]) for n in range(0, 20, 2)))
    retrieved = await library.reader.retrieve(question("tea", leg_size=4))
    assert [len(retrieved.vector), len(retrieved.lexical)] == [4, 4]


async def test_filters_narrow_both_legs(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea one"), mutation(1, "b", "tea two"))
    assert await library.found(question("tea", filters=Filters(documents=(doc("b"),)))) == {"b": ["tea two"]}
    assert await library.found(question("tea", filters=Filters(kinds=("html",)))) == {}
    assert await library.found(question("tea", filters=Filters(sources=("web",)))) != {}


async def test_a_document_deleted_since_needs_the_history_scope(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea", acl=["public"]))
    await library.commit(mutation(1, "a", op=Op.DELETE))
    assert await library.found(question("tea", as_of=1)) == {}
    assert await library.found(question("tea", as_of=1, history=True)) == {"a": ["tea"]}
    assert await library.found(question("tea", history=True)) == {}
    assert (await library.reader.document(doc("a"), PUBLIC, as_of=1))[1] is None
    assert (await library.reader.document(doc("a"), PUBLIC, as_of=1, history=True))[1] is not None
    assert (await library.reader.document(doc("a"), PUBLIC, history=True))[1] is None
    assert (await library.reader.versions(doc("a"), PUBLIC, limit=9))[1] == ()
    assert len((await library.reader.versions(doc("a"), PUBLIC, limit=9, history=True))[1]) == 2


async def test_as_of_reads_go_by_todays_permissions(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea", acl=["public", "staff"]))
    await library.commit(mutation(1, "a", op=Op.ACL, acl=["staff"]))
    assert await library.found(question("tea", as_of=1)) == {}
    assert await library.found(question("tea", "staff", as_of=1)) == {"a": ["tea"]}
    assert (await library.reader.document(doc("a"), PUBLIC, as_of=1))[1] is None
    assert (await library.reader.document(doc("a"), PUBLIC | {"staff"}, as_of=1))[1] is not None


async def test_what_was_written_for_one_group_stays_unreadable_to_those_who_may_read_it_only_since(
    library: Library,
) -> None:
    await library.commit(mutation(0, "a", "tea secret", acl=["board"], title="Secret"))
    await library.commit(mutation(1, "a", "tea open", acl=["public"], title="Open"))
    assert await library.found(question("tea", as_of=1)) == {}
    assert (await library.reader.document(doc("a"), PUBLIC, as_of=1))[1] is None
    _, versions = await library.reader.versions(doc("a"), PUBLIC, limit=9)
    assert [row.title for row in versions] == ["Open"]
    both = PUBLIC | {"board"}
    assert (await library.reader.document(doc("a"), both, as_of=1))[1] is not None
    assert len((await library.reader.versions(doc("a"), both, limit=9))[1]) == 2


async def test_versions_come_newest_first_in_pages_that_end_only_at_the_end(library: Library) -> None:
    for offset in range(7):
        await library.commit(mutation(offset, "a", f"tea {offset}"))
    seen: list[int] = []
    below: int | None = None
    while rows := (await library.reader.versions(doc("a"), PUBLIC, limit=3, below=below))[1]:
        seen += [row.from_seq for row in rows]
        below = rows[-1].from_seq
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert (await library.reader.versions(doc("a"), PUBLIC, limit=3, below=0))[1] == ()


async def test_a_hidden_delete_takes_the_document_away_until_newer_content_comes(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea", version=5))
    await library.hide("a", hide_deleted=Version(1, 8, 2))
    assert await library.found(question("tea")) == {}
    assert await library.found(question("tea", as_of=1)) == {}
    assert await library.found(question("tea", as_of=1, history=True)) == {"a": ["tea"]}
    await library.commit(mutation(1, "a", "tea late", version=7))
    assert await library.found(question("tea")) == {}
    await library.commit(mutation(2, "a", "tea new", version=9))
    assert await library.found(question("tea")) == {"a": ["tea new"]}


async def test_a_hidden_acl_must_match_as_well_and_the_two_are_never_intersected(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea", acl=["staff"], version=5))
    await library.hide("a", hide_acl=("board",), hide_acl_version=Version(1, 8, 1))
    assert await library.found(question("tea", "staff")) == {}
    assert await library.found(question("tea", "board")) == {}
    assert await library.found(question("tea", "staff", "board")) == {"a": ["tea"]}
    assert await library.found(question("tea", "staff", as_of=1)) == {}
    await library.commit(mutation(1, "a", op=Op.ACL, acl=["staff"], version=8))
    assert await library.found(question("tea", "staff")) == {"a": ["tea"]}


class Slow:
    """Makes each vector leg take some seconds of the manual clock."""

    def __init__(self, clock: ManualClock, seconds: list[float]) -> None:
        self._clock = clock
        self._seconds = seconds
        self.heads = 0

    async def __call__(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Carry the call out, and let time pass."""
        self.heads += name == "heads"
        if name == "vector_leg":
            self._clock.advance(self._seconds.pop(0))
        return await call()


async def test_a_read_that_takes_longer_than_l_starts_over_at_a_new_position(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea"))
    slow = Slow(library.clock, [11.0, 1.0])
    retrieved = await Reader(Tapped(library.index, slow), library.clock).retrieve(question("tea"))  # type: ignore[arg-type]
    assert (slow.heads, len(retrieved.vector)) == (2, 1)


async def test_a_read_that_is_too_slow_twice_is_given_up(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea"))
    slow = Slow(library.clock, [11.0, 11.0, 1.0])
    with pytest.raises(TransientError, match="longer than 10 s twice"):
        await Reader(Tapped(library.index, slow), library.clock).retrieve(question("tea"))  # type: ignore[arg-type]


async def test_documents_of_a_source_come_in_their_newest_state_whatever_dead_rows_say(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea"), mutation(1, "b", "tea"))
    await library.commit(mutation(2, "a", "milk"), mutation(3, "b", op=Op.DELETE))
    (newest, *_) = await library.index.document_history(doc("a"), limit=1)
    dead: list[DocumentRow] = [
        replace(newest, id=RowId("dead"), from_seq=5),
        replace(newest, id=RowId("dead2"), epoch=99, from_seq=4),
    ]
    await library.index.insert_documents(TENANT, dead)
    found = await library.reader.source_documents(TENANT, doc("a").source)
    assert {document.doc_id: (row.from_seq, row.is_present) for document, row in found.items()} == {
        "a": (3, True),
        "b": (4, False),
    }
