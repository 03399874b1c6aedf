"""Embedding through fastembed and ONNX Runtime: the one package that knows either.

The default model comes from files already on disk and never touches the network. Any other model fastembed knows may be
named in the settings; it is downloaded by fastembed from its hub, at the operator's risk.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index.embedding import minilm
from index.embedding.port import Recipe, Span, Vectors
from index.embedding.word_pieces import PieceCounts, Pieces
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from fastembed.text.onnx_embedding import OnnxTextEmbedding

# One run of the model takes at most so many texts and so many characters, padding included. Measured on 2 cores: more
# characters are no faster and cost 20 to 100 MB.
BATCH_TEXTS = 32
BATCH_CHARACTERS = 2048
_INT8 = "int8"


class FastembedEmbedder:
    """An `Embedder` over one loaded fastembed model. Safe to call from several threads."""

    def __init__(self, model: "OnnxTextEmbedding", recipe: Recipe) -> None:
        from tokenizers import Tokenizer

        assert model.tokenizer is not None, "fastembed loads the tokenizer with the model"
        self._model = model
        self._recipe = recipe
        self._tokenizer: Tokenizer = Tokenizer.from_str(model.tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._counts = PieceCounts(self._tokenizer)

    @property
    def recipe(self) -> Recipe:
        """What it embeds by."""
        return self._recipe

    @property
    def fingerprint(self) -> str:
        return self._recipe.fingerprint

    @property
    def dimension(self) -> int:
        return self._recipe.dimension

    @property
    def max_tokens(self) -> int:
        return self._recipe.max_tokens

    def token_spans(self, text: str) -> Sequence[Span]:
        count = self._counts.of(text)
        return self._spans(text) if count is None else Pieces(count, lambda: self._spans(text))

    def _spans(self, text: str) -> Sequence[Span]:
        spans: list[Span] = self._tokenizer.encode(_encodable(text), add_special_tokens=False).offsets
        return spans

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As the port says. Texts of like length share a batch, so that little is spent on padding."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for batch in self._batches(texts):
            embedded = self._model.passage_embed([_encodable(texts[place]) for place in batch], batch_size=BATCH_TEXTS)
            for place, vector in zip(batch, embedded, strict=True):
                rows[place] = _unit(vector)
        return rows

    def _batches(self, texts: Sequence[str]) -> list[list[int]]:
        if self._recipe.precision == _INT8:
            # Activations are scaled by the largest of the batch: a text's vector would depend on its neighbours.
            return [[place] for place in range(len(texts))]
        return batches([len(text) for text in texts], self.max_tokens)

    def embed_query(self, text: str) -> Vectors:
        (vector,) = self._model.query_embed(_encodable(text))
        return _unit(vector)


def _unit(vector: NDArray[np.generic]) -> Vectors:
    """Some of fastembed's models leave the length as it is; the port promises 1."""
    row = vector.astype(np.float32)
    return row / np.float32(max(float(np.linalg.norm(row)), 1e-12))


def _encodable(text: str) -> str:
    """Lone surrogates, which JSON can carry and UTF-8 cannot, become question marks; the length stays."""
    return text.encode("utf-8", "replace").decode("utf-8")


def batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Group places of texts by length in characters, shortest first, within the two limits of a batch."""
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        # A text is cut off at max_tokens, some 5 characters each: longer ones cost no more.
        padded = min(lengths[place], 5 * max_tokens) * (len(groups[-1]) + 1 if groups else 1)
        if groups and len(groups[-1]) < BATCH_TEXTS and padded <= BATCH_CHARACTERS:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def load_embedder(
    model: str = minilm.MODEL,
    *,
    cache_dir: Path | None = None,
    threads: int = 2,
    progress: minilm.Progress = lambda _: None,
) -> FastembedEmbedder:
    """Load a model by name, the default one from its files in the cache (prepared when missing).

    Raises ConfigError when the default model cannot be fetched, or the named one does not exist.
    """
    if model == minilm.MODEL:
        return load_minilm(minilm.prepare(cache_dir, progress), threads=threads)
    if model == minilm.INT8_MODEL:
        return load_minilm(minilm.prepare_int8(cache_dir, progress), threads=threads)
    return _load_named(model, cache_dir=cache_dir, threads=threads)


def recipe_of_model(model: str = minilm.MODEL, *, cache_dir: Path | None = None) -> Recipe:
    """What `load_embedder` would embed by, with its files in the cache; the default model is not loaded for it.

    Raises ConfigError as `load_embedder`.
    """
    if model == minilm.MODEL:
        return _minilm_recipe(minilm.prepare(cache_dir))
    if model == minilm.INT8_MODEL:
        return _minilm_recipe(minilm.prepare_int8(cache_dir))
    return _load_named(model, cache_dir=cache_dir, threads=1).recipe


def _minilm_recipe(files: minilm.ModelFiles) -> Recipe:
    precision = _INT8 if files.revision == minilm.INT8_REVISION else "f32"
    return Recipe(
        minilm.MODEL, files.revision, minilm.DIMENSION, minilm.MAX_TOKENS, pooling="mean", precision=precision
    )


def _load_named(model: str, *, cache_dir: Path | None, threads: int) -> FastembedEmbedder:
    """Any model of fastembed's own list, from its hub. Its files are hashed: their names do not pin their content."""
    from fastembed import TextEmbedding
    from fastembed.text.onnx_embedding import OnnxTextEmbedding

    known = {str(entry["model"]).lower() for entry in TextEmbedding.list_supported_models()}
    if model.lower() not in known:
        raise ConfigError(
            f"MILLSTREAM_EMBEDDING_MODEL: fastembed knows no model {model!r}; the default is {minilm.MODEL}"
        )
    folder = None if cache_dir is None else str(cache_dir / "models" / "fastembed")
    try:
        loaded = TextEmbedding(model, cache_dir=folder, threads=threads)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the embedding model {model} could not be loaded: {type(error).__name__}") from error
    inner = loaded.model
    if not isinstance(inner, OnnxTextEmbedding) or inner.tokenizer is None or inner.tokenizer.truncation is None:
        raise ConfigError(f"MILLSTREAM_EMBEDDING_MODEL: {model!r} is no ONNX text model with a stated longest input")
    digest = hashlib.sha256()
    for name in (inner.model_description.model_file, *inner.model_description.additional_files, "tokenizer.json"):
        digest.update(hashlib.sha256((inner._model_dir / name).read_bytes()).digest())
    limit = int(inner.tokenizer.truncation["max_length"])
    kind = type(inner).__name__
    recipe = Recipe(
        model, digest.hexdigest()[:16], loaded.embedding_size, limit, pooling=kind, precision="as published"
    )
    return FastembedEmbedder(inner, recipe)


def load_minilm(files: minilm.ModelFiles, *, threads: int = 2) -> FastembedEmbedder:
    """The default model from its directory; opens no connection."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    from index.embedding.resting import RestingTextEmbedding

    name = f"{minilm.MODEL}@{files.revision}"
    if name not in {known["model"] for known in TextEmbedding.list_supported_models()}:
        TextEmbedding.add_custom_model(
            model=name,
            pooling=PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(url="unused"),
            dim=minilm.DIMENSION,
            model_file=minilm.MODEL_FILE,
        )
    loaded = RestingTextEmbedding(
        name,
        specific_model_path=str(files.directory),
        cache_dir=str(files.directory.parent),
        local_files_only=True,
        threads=threads,
        providers=["CPUExecutionProvider"],
        enable_cpu_mem_arena=True,  # stated, because only with a stated option the session is opened to ours
    )
    return FastembedEmbedder(loaded, _minilm_recipe(files))
