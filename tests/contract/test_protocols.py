"""Take-over, commit and read on each adapter of the versioned index: a slice of what tests/unit/index proves on the
twin, where the store's own behaviour could break it.
"""

import asyncio
from random import Random

import pytest

from index.memory_log import MemoryCommitLog
from index.outcomes import Committed, Redelivered
from index.port import VersionedIndex
from index.reader import Question, Reader, Retrieved
from index.rows import PositionedMutation
from index.writer import SupersededError
from runtime.clock import SystemClock
from schemas.errors import AmbiguousWriteError
from schemas.identity import Tenant
from schemas.versions import Op
from tests.unit.index.fakes import FailAt, Tapped, check_whole, doc, mutation, question, reference, writer_on


async def _found(reader: Reader, asked: Question) -> dict[str, list[str]]:
    """Document -> texts that either leg brings, sorted."""
    return await _texts(reader, asked.tenant, await reader.retrieve(asked))


async def _texts(reader: Reader, tenant: Tenant, retrieved: Retrieved) -> dict[str, list[str]]:
    ids = {found.chunk_id for found in (*retrieved.vector, *retrieved.lexical)}
    texts: dict[str, list[str]] = {}
    for row in (await reader.texts(tenant, ids)).values():
        texts.setdefault(row.document.doc_id, []).append(row.text)
    return {name: sorted(found) for name, found in texts.items()}


async def test_a_group_commit_is_whole_and_a_successor_tells_it_again(index: VersionedIndex, tenant: Tenant) -> None:
    log = MemoryCommitLog()
    batch = [mutation(offset, f"d{offset}", "tea", f"milk {offset}", tenant=tenant) for offset in range(40)]
    first = await writer_on(index, log, tenant=tenant).commit(batch)
    assert all(isinstance(outcome, Committed) for outcome in first)
    again = await writer_on(index, log, "next", tenant=tenant).commit(batch)
    assert [outcome.commit for outcome in again if isinstance(outcome, Redelivered)] == [
        outcome.commit for outcome in first if isinstance(outcome, Committed)
    ]
    await check_whole(index, log, reference(batch), tenant)


async def test_as_of_every_position_a_reader_sees_what_was_committed_then(
    index: VersionedIndex, tenant: Tenant
) -> None:
    """A random history; one call in eight is cut off before or after it is applied, and what it was for handed in
    again.
    """
    chance = Random(11)
    log, reader = MemoryCommitLog(), Reader(index, SystemClock())
    history: list[PositionedMutation] = []
    positions: dict[int, dict[str, list[str]]] = {}
    for offset in range(25):
        op = chance.choice([Op.UPSERT, Op.UPSERT, Op.UPSERT, Op.DELETE])
        texts = [f"tea {word}" for word in chance.sample(["one", "two", "three", "four"], chance.randint(0, 3))]
        history.append(mutation(offset, chance.choice("abc"), *texts, op=op, tenant=tenant))
        for attempt in range(3):
            fail = FailAt(chance.randint(0, 15) if attempt == 0 else 99, applied=chance.random() < 0.5)
            writer = writer_on(Tapped(index, fail), log, f"w{offset}.{attempt}", tenant=tenant)  # type: ignore[arg-type]
            try:
                await writer.commit([history[-1]])
                break
            except AmbiguousWriteError:
                continue
        published = await reader.position(tenant)
        positions[published.seq] = {
            document.doc_id: sorted(state.texts) for document, state in reference(history).items() if state.texts
        }
    await check_whole(index, log, reference(history), tenant)
    for seq, wanted in positions.items():
        assert await _found(reader, question("tea", tenant=tenant, as_of=seq, history=True)) == wanted, f"at {seq}"


async def test_a_superseded_writer_acknowledges_nothing_and_its_rows_are_never_seen(
    index: VersionedIndex, tenant: Tenant
) -> None:
    log, reader = MemoryCommitLog(), Reader(index, SystemClock())
    old, new = writer_on(index, log, "old", tenant=tenant), writer_on(index, log, "new", tenant=tenant)
    await old.commit([mutation(0, "a", "tea zero", tenant=tenant)])
    await new.commit([mutation(1, "a", "tea one", tenant=tenant)])
    with pytest.raises(SupersededError):
        await old.commit([mutation(2, "a", "tea two", tenant=tenant)])
    assert await _found(reader, question("tea", tenant=tenant)) == {"a": ["tea one"]}
    await new.commit([mutation(3, "b", "tea three", tenant=tenant)])
    await old.commit([mutation(2, "a", "tea two", tenant=tenant)])
    assert await _found(reader, question("tea", tenant=tenant)) == {"a": ["tea two"], "b": ["tea three"]}


async def test_gains_and_revocations_decide_who_finds_what(index: VersionedIndex, tenant: Tenant) -> None:
    log, reader, chance = MemoryCommitLog(), Reader(index, SystemClock()), Random(5)
    writer = writer_on(index, log, tenant=tenant)
    groups = ("public", "staff", "board", "user:ann")
    acls: dict[str, set[str]] = {}
    for offset in range(25):
        name, acl = chance.choice("abcd"), chance.sample(groups, chance.randint(0, 3))
        if name in acls:
            await writer.commit([mutation(offset, name, op=Op.ACL, acl=acl, tenant=tenant)])
        else:
            await writer.commit([mutation(offset, name, f"tea {name}", acl=acl, tenant=tenant)])
        acls[name] = set(acl)
        principals = set(chance.sample(groups, chance.randint(1, 3)))
        found = await _found(reader, question("tea", *principals, tenant=tenant))
        assert found == {name: [f"tea {name}"] for name, acl in acls.items() if acl & principals}


async def test_a_leg_starved_by_forbidden_hits_is_widened(index: VersionedIndex, tenant: Tenant) -> None:
    """300 better hits were revoked: their rows still carry the group as a hint."""
    log, reader = MemoryCommitLog(), Reader(index, SystemClock())
    writer = writer_on(index, log, tenant=tenant)
    for start in range(0, 300, 100):
        numbers = range(start, start + 100)
        await writer.commit([mutation(n, f"gone{n}", "tea tea", acl=["public"], tenant=tenant) for n in numbers])
        await writer.commit([mutation(1000 + n, f"gone{n}", op=Op.ACL, acl=["board"], tenant=tenant) for n in numbers])
    await writer.commit([mutation(5000, "kept", "tea and much more besides it", tenant=tenant)])
    retrieved = await reader.retrieve(question("tea tea", tenant=tenant, leg_size=16))
    assert [[found.document.doc_id for found in leg] for leg in (retrieved.vector, retrieved.lexical)] == [["kept"]] * 2
    assert list(retrieved.rows) == [doc("kept", tenant)]


async def test_reads_during_writes_see_one_whole_version_of_each_document(
    index: VersionedIndex, tenant: Tenant
) -> None:
    log, reader = MemoryCommitLog(), Reader(index, SystemClock())
    names, size = ("a", "b", "c"), 6

    def version(offset: int, name: str) -> PositionedMutation:
        return mutation(offset, name, *(f"tea {offset} part {part}" for part in range(size)), tenant=tenant)

    writer = writer_on(index, log, tenant=tenant)
    await writer.commit([version(offset, name) for offset, name in enumerate(names)])
    done = asyncio.Event()

    async def write() -> None:
        for offset in range(3, 33):
            await writer.commit([version(offset, names[offset % 3])])
        done.set()

    writing, reads, seen = asyncio.create_task(write()), 0, set()
    while not done.is_set() or reads < 10:
        retrieved = await reader.retrieve(question("tea part", tenant=tenant, leg_size=64))
        for leg in (retrieved.vector, retrieved.lexical):
            assert sorted(found.chunk_id for found in leg) == sorted(
                entry.chunk_id for row in retrieved.rows.values() for entry in row.manifest
            ), f"a leg at {retrieved.at.seq} is not one version of each document"
        seen.add(retrieved.at.seq)
        reads += 1
        await asyncio.sleep(0)
    await writing
    assert len(seen) > 1
    _, row = await reader.document(doc("a", tenant), frozenset({"public"}))
    assert row is not None
    assert row.content_version == version(30, "a").mutation.version
