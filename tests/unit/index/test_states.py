from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import DocumentRow, Published, newest_head
from index.states import NewestStates, states_at
from schemas.identity import Document
from schemas.versions import Op
from tests.unit.index.fakes import TENANT, Tapped, doc, mutation, new_index, writer_on


class Shelf:
    """Kept states over an index that counts its calls and may commit within one."""

    def __init__(self, index: MemoryIndex, *, room: int = 60_000) -> None:
        self.index = index
        self.writer = writer_on(index, MemoryCommitLog())
        self.calls: Counter[str] = Counter()
        self.within: dict[str, Callable[[], Awaitable[None]]] = {}
        self.states = NewestStates(Tapped(index, self._counted), room=room)  # type: ignore[arg-type]
        self._offset = 0

    async def _counted(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        self.calls[name] += 1
        found = await call()
        if name in self.within:
            await self.within.pop(name)()
        return found

    async def put(self, name: str, *texts: str, **fields: Any) -> None:
        await self.writer.commit([mutation(self._offset, name, *texts, **fields)])
        self._offset += 1

    async def published(self) -> Published:
        head = newest_head(await self.index.heads(TENANT))
        assert head is not None
        return Published(head)

    async def read(self, *names: str) -> dict[str, DocumentRow]:
        return await self.read_at(await self.published(), [doc(name) for name in names])

    async def read_at(self, published: Published, documents: Collection[Document]) -> dict[str, DocumentRow]:
        """What is read, checked against a reading that keeps nothing."""
        found = await self.states.read(published, documents)
        assert found == await states_at(self.index, published, TENANT, documents, published.seq)
        return {document.doc_id: row for document, row in found.items()}


@pytest.fixture
async def shelf() -> Shelf:
    return Shelf(await new_index())


async def test_states_are_read_once_while_nothing_is_committed(shelf: Shelf) -> None:
    await shelf.put("a", "tea")
    await shelf.put("b", "tea")
    await shelf.read("a", "b")
    await shelf.read("b", "a")
    assert shelf.calls == {"document_rows": 1}


async def test_a_commit_makes_only_its_own_document_be_read_again(shelf: Shelf) -> None:
    await shelf.put("a", "tea")
    await shelf.put("b", "tea")
    before = await shelf.read("a", "b")
    await shelf.put("b", op=Op.DELETE)
    shelf.calls.clear()
    await shelf.read("a")
    assert shelf.calls == {"changed_documents": 1}
    after = await shelf.read("a", "b")
    assert shelf.calls == {"changed_documents": 1, "document_rows": 1}
    assert before["a"] is after["a"]
    assert not after["b"].is_present


async def test_a_take_over_makes_everything_be_read_again(shelf: Shelf) -> None:
    await shelf.put("a", "tea")
    await shelf.read("a")
    head = (await shelf.published()).head
    await shelf.index.put_head(replace(head, epoch=head.epoch + 1, earlier={**head.earlier, head.epoch: head.seq}))
    shelf.calls.clear()
    await shelf.read("a")
    assert shelf.calls == {"document_rows": 1}


async def test_a_reader_at_an_older_head_is_not_answered_from_newer_states(shelf: Shelf) -> None:
    await shelf.put("a", "tea")
    older = await shelf.published()
    await shelf.put("a", "tea pot")
    newer = await shelf.published()
    assert (await shelf.read_at(newer, [doc("a")]))["a"].from_seq == 2
    assert (await shelf.read_at(older, [doc("a")]))["a"].from_seq == 1
    assert (await shelf.read_at(newer, [doc("a")]))["a"].from_seq == 2


@pytest.mark.parametrize("call", ["document_rows", "changed_documents"])
async def test_a_commit_while_states_are_read_is_seen_by_the_next_reading(shelf: Shelf, call: str) -> None:
    await shelf.put("a", "tea")
    await shelf.read("a")
    await shelf.put("b", "tea")

    async def commit_and_read() -> None:
        await shelf.put("a", "tea pot")
        await shelf.read("a", "b")

    shelf.within[call] = commit_and_read
    await shelf.read("a", "b")
    assert (await shelf.read("a", "b"))["a"].from_seq == 3


async def test_more_changes_than_one_answer_tells_make_everything_be_read_again(shelf: Shelf) -> None:
    await shelf.put("a", "tea")
    await shelf.read("a")
    for number in range(300):
        await shelf.put(f"b{number % 20}", f"tea {number}")
    await shelf.put("a", "tea pot")
    assert (await shelf.read("a"))["a"].from_seq == 302


@pytest.mark.parametrize("room", [0, 25, 60_000])
async def test_kept_states_equal_a_fresh_reading_whatever_the_room(room: int) -> None:
    shelf, chance = Shelf(await new_index(), room=room), Random(room)
    for _ in range(150):
        name = chance.choice("abcdefgh")
        texts = [f"tea {chance.random()}" for _ in range(chance.randint(0, 3))]
        await shelf.put(name, *texts, op=chance.choice([Op.UPSERT, Op.UPSERT, Op.DELETE]))
        if chance.random() < 0.5:
            await shelf.read(*chance.sample("abcdefgh", chance.randint(1, 8)))
