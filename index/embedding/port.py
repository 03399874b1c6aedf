"""What the rest of Millstream knows of an embedding model: two small protocols and the recipe behind a fingerprint.

Both are synchronous. ONNX Runtime and the tokeniser release the GIL, so callers run them in a thread.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that changes a vector. Two embedders with equal recipes may share vectors; no others may."""

    model: str
    revision: str
    dimension: int
    max_tokens: int
    pooling: str
    normalised: bool = True
    precision: str = "f32"
    query_prefix: str = ""
    passage_prefix: str = ""

    @property
    def fingerprint(self) -> str:
        """Short, stable and readable: the model's last name, the dimension, 12 hex digits over the whole recipe."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.model.rsplit('/', 1)[-1].lower()}-{self.dimension}-{digest}"


class Tokens(Protocol):
    """Word pieces of a text, without the model itself."""

    def token_spans(self, text: str) -> Sequence[Span]:
        """Character spans [start, end) of the word pieces in order, special tokens left out, nothing truncated.

        What the model drops (spaces, control characters) has no span; neighbouring spans may touch or repeat.
        """
        ...


class Embedder(Tokens, Protocol):
    """Texts to unit vectors, the same for the same text whatever the batch (to float tolerance)."""

    @property
    def fingerprint(self) -> str:
        """Stable over processes and machines; differs whenever vectors could."""
        ...

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Longest input in word pieces, two special tokens included; what is over is cut off silently."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Passages: shape (n, dimension), float32, C order, rows of unit length; (0, dimension) for none."""
        ...

    def embed_query(self, text: str) -> Vectors:
        """One question: shape (dimension,), float32, unit length."""
        ...
