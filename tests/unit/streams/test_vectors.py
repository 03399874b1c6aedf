"""Vectors: remembered, deduplicated, in batches across documents, in turns."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from index.embedding.port import FailedTextsError
from index.embedding.port import Vectors as Rows
from index.embedding.words import HashedWordsEmbedder
from schemas.errors import TransientError, UnreadableError
from streams.vector_cache import VectorCache
from streams.vectors import Obtained, Vectors


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


class Poisonable(Noting):
    """Fails on any run with the word, and gives no number for another."""

    def embed(self, texts: Sequence[str]) -> Rows:
        rows = super().embed(texts)
        if any("poison" in text for text in texts):
            raise RuntimeError("no")
        rows[["strange" in text for text in texts]] = np.nan
        return rows


@pytest.mark.parametrize("word", ["poison", "strange"])
async def test_a_text_the_model_fails_on_fails_its_document_alone(word: str) -> None:
    vectors = Vectors(Poisonable())
    wanted = [pairs("a", 5), [*pairs("b", 3), ("x", f"a {word} text"), *pairs("c", 60)], pairs("d", 5)]
    outcomes = await asyncio.gather(*(vectors.of(texts) for texts in wanted), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [list, UnreadableError, list]
    assert await vectors.of(pairs("c", 60)), "what it shared with nobody is embedded when it is asked for"


class Failing(Noting):
    """An endpoint that answers with an error of its own for a run with the word, `times` times."""

    def __init__(self, times: int = 1_000, is_away: bool = False) -> None:
        super().__init__()
        self._left = times
        self._is_away = is_away

    def embed(self, texts: Sequence[str]) -> Rows:
        rows = super().embed(texts)
        if any("poison" in text for text in texts) and self._left:
            self._left -= 1
            raise FailedTextsError("it answered 500")
        if self._is_away and not any("fine" in text for text in texts):
            raise TransientError("it does not answer")
        return rows


async def test_a_text_that_an_endpoint_fails_on_fails_its_document_alone() -> None:
    model = Failing()
    vectors = Vectors(model)
    wanted = [pairs("a", 5), [*pairs("b", 3), ("x", "a poison text")], pairs("c", 20)]
    outcomes = await asyncio.gather(*(vectors.of(texts) for texts in wanted), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [list, UnreadableError, list]
    assert isinstance(outcomes[1], UnreadableError)
    assert outcomes[1].reason == "not_embeddable"
    assert len(model.batches) < 16, "a run of 29 is halved, not asked text by text"


async def test_no_document_is_given_up_while_the_endpoint_answers_for_no_text() -> None:
    vectors = Vectors(Failing(is_away=True))
    outcomes = await asyncio.gather(
        vectors.of([("a", "fine")]), vectors.of([("x", "a poison text")]), return_exceptions=True
    )
    assert isinstance(outcomes[1], TransientError)


async def test_an_endpoint_that_failed_for_a_moment_costs_no_document() -> None:
    assert len(await Vectors(Failing(times=2)).of([("x", "a poison text"), ("y", "fine")])) == 2
    assert len(await Vectors(Failing(times=1)).of([("x", "a poison text")])) == 1


async def test_two_documents_that_wait_for_one_text_outlive_each_other() -> None:
    vectors = Vectors(Poisonable())
    shared = ("s", "a shared text")
    failing, good = await asyncio.gather(
        vectors.of([("x", "poison"), shared]), vectors.of([shared]), return_exceptions=True
    )
    assert isinstance(failing, UnreadableError)
    assert isinstance(good, list)


async def test_texts_of_a_run_are_of_like_length_and_within_its_budget() -> None:
    model = Noting()
    vectors = Vectors(model, run_characters=400)
    texts = [(f"{length}.{copy}", "x" * length) for copy in range(6) for length in (10, 50, 100)]
    await vectors.of(texts)
    assert sum(len(batch) for batch in model.batches) == len(texts)
    for batch in model.batches:
        assert len(batch) == 1 or max(map(len, batch)) * len(batch) <= 400
        assert max(map(len, batch)) * len(batch) <= 1.25 * sum(map(len, batch)) + 100


async def test_every_waiting_document_begins_a_run_in_its_turn() -> None:
    model = Noting()
    vectors = Vectors(model, run_texts=2)
    await asyncio.gather(vectors.of(pairs("a", 9)), vectors.of([("long", "y" * 300)]), vectors.of(pairs("b", 9)))
    place = next(number for number, batch in enumerate(model.batches) if "y" * 300 in batch)
    assert place <= 2


async def test_what_a_store_has_is_not_embedded_and_what_is_embedded_is_stored(tmp_path: Path) -> None:
    seen: list[Obtained] = []
    for embedded in (3, 0):
        model = Noting()
        store = VectorCache(tmp_path, model.fingerprint, 8, 1)
        vectors = Vectors(model, store=store, on_answer=seen.append)
        got = await vectors.of(pairs("a", 3))
        assert got == [row.tobytes() for row in HashedWordsEmbedder(dimension=8).embed([t for _, t in pairs("a", 3)])]
        vectors.close()
        assert sum(len(batch) for batch in model.batches) == embedded
    assert seen == [Obtained(3, 0, 0), Obtained(0, 0, 3)]


async def test_a_copy_of_a_thousand_chunks_in_another_document_is_not_embedded() -> None:
    seen: list[Obtained] = []
    model = Noting()
    vectors = Vectors(model, on_answer=seen.append)
    await vectors.of(pairs("a", 1000))
    await vectors.of(pairs("a", 1000))
    assert seen == [Obtained(1000, 0, 0), Obtained(0, 1000, 0)]
