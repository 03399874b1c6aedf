"""What every embedder promises, asked of the hashed-words twin and of the real default model alike."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.embedding.fastembed_model import load_embedder
from index.embedding.minilm import INT8_MODEL
from index.embedding.port import Embedder
from index.embedding.words import HashedWordsEmbedder

TEXTS = [
    "The pump in building seven is serviced every quarter by two engineers.",
    "Bread rises because yeast turns sugar into gas.",
    "泵每季度由两名工程师维修。",
    "Насос обслуживают два инженера. Η αντλία 🚰🔧",
    "x",
    "word " * 1000,
    "a" * 50_000,
]
WORDS = (
    *(
        "pump",
        "Unanswerable",
        "e5",
        "x" * 101,
        "[CLS]",
        "[MASK]",
        "[",
        "]",
        "mask",
        "don't",
        "--",
        "_",
        "#",
        "##s",
        ".",
    ),
    *(" ", "  ", "\t", "\n", "\r\n", "\x0b", "\x7f", "\xa0", "é", "e\u0301", "泵", "🚰", "\u200b", "1,000.5"),
    *("Müller", "İstanbul", "Œuvre", "ß", "\u0149", "\u017f", "×", "“", "’s", "–", "…", "«", "\xad", "€", "½"),
)


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return load_embedder(threads=2)


@pytest.fixture(scope="module")
def int8() -> Embedder:
    return load_embedder(INT8_MODEL, threads=2)


@pytest.fixture(params=["words", "minilm", "int8"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    make: dict[str, Callable[[], Embedder]] = {
        "words": lambda: HashedWordsEmbedder(dimension=48),
        "minilm": lambda: request.getfixturevalue("minilm"),
        "int8": lambda: request.getfixturevalue("int8"),
    }
    return make[request.param]()


def test_vectors_are_float32_rows_of_unit_length_in_c_order(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimension)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_a_question_is_one_unit_vector(embedder: Embedder) -> None:
    vector = embedder.embed_query("Who services the pump?")
    assert vector.shape == (embedder.dimension,)
    assert vector.dtype == np.float32
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)


def test_the_same_text_gives_the_same_vector_again(embedder: Embedder) -> None:
    np.testing.assert_array_equal(embedder.embed(TEXTS), embedder.embed(TEXTS))


def test_a_text_embeds_alike_alone_and_in_a_batch(embedder: Embedder) -> None:
    together = embedder.embed(TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(embedder.embed([text])[0], row, atol=1e-5)


def test_rows_follow_the_order_of_the_texts(embedder: Embedder) -> None:
    forwards, backwards = embedder.embed(TEXTS), embedder.embed(TEXTS[::-1])
    np.testing.assert_allclose(forwards, backwards[::-1], atol=1e-5)


def test_an_empty_text_has_a_vector(embedder: Embedder) -> None:
    for vector in (embedder.embed([""])[0], embedder.embed_query("")):
        assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)


def test_what_lies_beyond_the_longest_input_is_cut_off_silently(embedder: Embedder) -> None:
    words = " ".join(["pump"] * embedder.max_tokens)
    np.testing.assert_allclose(embedder.embed([words]), embedder.embed([words + " zebra"]), atol=1e-6)


def test_a_lone_surrogate_is_embedded_and_not_an_error(embedder: Embedder) -> None:
    assert np.isfinite(embedder.embed_query("broken \ud800 text")).all()
    assert embedder.token_spans("broken \ud800 text")


def test_texts_that_share_words_are_closer_than_texts_that_do_not(embedder: Embedder) -> None:
    question = embedder.embed_query("how often is the pump serviced")
    near, far = embedder.embed(TEXTS[:2]) @ question
    assert near > far


@pytest.mark.parametrize("text", [*TEXTS, "", "  \t\n ", "naïve café — e\u0301tude", "👩‍👩‍👧 family", "[CLS] [SEP]"])
def test_token_spans_lie_in_the_text_in_order_and_cover_every_letter(embedder: Embedder, text: str) -> None:
    spans = list(embedder.token_spans(text))
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert spans == sorted(spans)
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(place in covered for place, letter in enumerate(text) if letter.isalnum())


@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
def test_the_number_of_word_pieces_is_known_without_looking_for_them(minilm: Embedder, text: str) -> None:
    spans = minilm.token_spans(text)
    assert len(spans) == len(list(spans))


def test_different_models_have_different_fingerprints(minilm: Embedder) -> None:
    embedders: list[Embedder] = [HashedWordsEmbedder(48), HashedWordsEmbedder(64), HashedWordsEmbedder(64, 128), minilm]
    assert len({embedder.fingerprint for embedder in embedders}) == len(embedders)


def test_equal_models_have_equal_fingerprints(minilm: Embedder) -> None:
    assert minilm.fingerprint == load_embedder(threads=1).fingerprint
    assert HashedWordsEmbedder(48).fingerprint == HashedWordsEmbedder(48).fingerprint
