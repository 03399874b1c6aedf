"""Waiting for a change: until its register is in force, for those who may know of it."""

import asyncio

from schemas.versions import Op, Version
from tests.unit.index.fakes import doc, mutation
from tests.unit.index.library import Library


async def test_waiting_ends_when_the_register_is_there(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea", version=5, acl=["staff"]))
    waits = [
        ("content", Version(1, 5, 0), True),
        ("content", Version(1, 4, 0), True),
        ("content", Version(1, 6, 0), False),
        ("acl", Version(1, 5, 0), True),
        ("acl", Version(1, 5, 1), False),
    ]
    for register, version, reached in waits:
        assert await library.reader.wait_for(doc("a"), register, version, until=0.0) is reached
    assert not await library.reader.wait_for(doc("nowhere"), "content", Version(1, 0, 0), until=0.0)


async def test_a_reader_waits_for_what_was_never_its_to_read_like_for_what_does_not_exist(library: Library) -> None:
    reached, version = library.reader.wait_for, Version(1, 1, 0)
    await library.commit(mutation(0, "a", "tea", version=5, acl=["board"]))
    assert not await reached(doc("a"), "content", version, until=0.0, readers=frozenset({"staff"}))
    assert await reached(doc("a"), "content", version, until=0.0, readers=frozenset({"staff", "board"}))
    await library.commit(mutation(1, "a", op=Op.ACL, acl=["legal"], version=8))
    assert await reached(doc("a"), "acl", Version(1, 8, 0), until=0.0, readers=frozenset({"legal"}))


async def test_a_reader_can_wait_for_what_is_taken_from_it(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea", version=5, acl=["board", "staff"]))
    await library.commit(mutation(1, "a", op=Op.ACL, acl=["board"], version=8))
    staff = frozenset({"staff"})
    assert await library.reader.wait_for(doc("a"), "acl", Version(1, 8, 0), until=0.0, readers=staff)
    await library.commit(mutation(2, "a", op=Op.DELETE, version=9))
    assert await library.reader.wait_for(doc("a"), "content", Version(1, 9, 2), until=0.0, readers=frozenset({"board"}))


async def test_waiting_sees_a_commit_that_comes_meanwhile(library: Library) -> None:
    await library.commit(mutation(0, "b", "tea"))
    waiting = asyncio.create_task(library.reader.wait_for(doc("a"), "content", Version(1, 1, 0), until=1000.0))
    await asyncio.sleep(0)
    await library.commit(mutation(1, "a", "tea"))
    assert await waiting


async def test_a_hide_satisfies_a_deletes_token_never_an_upserts(library: Library) -> None:
    await library.commit(mutation(0, "a", "tea", version=5))
    await library.hide("a", hide_deleted=Version(1, 8, 2))
    assert await library.reader.wait_for(doc("a"), "content", Version(1, 8, 2), until=0.0)
    assert not await library.reader.wait_for(doc("a"), "content", Version(1, 7, 0), until=0.0)
    assert not await library.reader.wait_for(doc("a"), "content", Version(1, 9, 2), until=0.0)
