"""Vectors: remembered, deduplicated, in batches across documents, in turns."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from index.embedding.port import Vectors as Rows
from index.embedding.words import HashedWordsEmbedder
from streams.vectors import Vectors


class Noting(HashedWordsEmbedder):
    """Notes each batch."""

    def __init__(self) -> None:
        super().__init__(dimension=8)
        self.batches: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Rows:
        self.batches.append(list(texts))
        return super().embed(texts)


def pairs(name: str, count: int) -> list[tuple[str, str]]:
    return [(f"{name}{number}", f"text {name} {number}") for number in range(count)]


async def test_vectors_come_in_the_order_asked_and_are_the_models() -> None:
    model = HashedWordsEmbedder(dimension=8)
    wanted = pairs("a", 40)
    vectors = await Vectors(model).of(wanted)
    expected = model.embed([text for _, text in wanted])
    assert np.array_equal(np.stack([np.frombuffer(vector, "<f4") for vector in vectors]), expected)


async def test_a_text_known_by_its_hash_is_not_embedded_again() -> None:
    model = Noting()
    vectors = Vectors(model)
    first = await vectors.of(pairs("a", 3))
    assert await vectors.of([*pairs("a", 3), *pairs("a", 3)]) == first + first
    assert sum(len(batch) for batch in model.batches) == 3


async def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    model = Noting()
    vectors = Vectors(model, remembered=2)
    await vectors.of(pairs("a", 3))
    model.batches.clear()
    await vectors.of(pairs("a", 3)[1:])
    assert model.batches == []
    await vectors.of(pairs("a", 3)[:1])
    assert len(model.batches) == 1


async def test_documents_share_a_batch_and_a_note_does_not_wait_for_a_book() -> None:
    model = Noting()
    vectors = Vectors(model)
    finished: list[str] = []

    async def ask(name: str, count: int) -> None:
        await vectors.of(pairs(name, count))
        finished.append(name)

    await asyncio.gather(ask("book", 200), ask("note", 1))
    assert finished == ["note", "book"]
    assert "text note 0" in model.batches[0]


async def test_a_text_that_occurs_twice_in_a_batch_is_embedded_once() -> None:
    model = Noting()
    vectors = Vectors(model)
    one, two = await asyncio.gather(vectors.of(pairs("a", 2)), vectors.of(pairs("a", 2)))
    assert one == two
    assert model.batches == [["text a 0", "text a 1"]]


async def test_a_model_that_fails_fails_every_document_that_waits() -> None:
    class Broken(HashedWordsEmbedder):
        def embed(self, texts: Sequence[str]) -> Rows:
            raise RuntimeError("the model is gone")

    vectors = Vectors(Broken(dimension=8))
    outcomes = await asyncio.gather(vectors.of(pairs("a", 30)), vectors.of(pairs("b", 1)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RuntimeError, RuntimeError]


async def test_nothing_to_embed_is_nothing() -> None:
    assert await Vectors(HashedWordsEmbedder()).of([]) == []


@pytest.mark.parametrize("count", [1, 15, 16, 17, 100])
async def test_any_number_of_texts_is_complete(count: int) -> None:
    assert len(await Vectors(HashedWordsEmbedder(dimension=8)).of(pairs("a", count))) == count
