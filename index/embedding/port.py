"""What the rest of Millstream knows of an embedding model: two small protocols and the recipe behind a fingerprint.

Both are synchronous. ONNX Runtime and the tokeniser release the GIL, so callers run them in a thread.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.errors import TransientError

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


class FailedTextsError(TransientError):
    """The model answers, and embeds another text, but failed on these: one of them may be at fault."""


def probe_text() -> str:
    """A text that every model can embed, each time another: no cache between here and the model knows it."""
    return f"A text that every model can read, and number {secrets.randbelow(10**9)}."


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
        """Passages: shape (n, dimension), float32, C order, rows of unit length; (0, dimension) for none.

        Raises TransientError where it does not answer, FailedTextsError or any other where the texts may be at fault.
        """
        ...

    def embed_query(self, text: str) -> Vectors:
        """One question: shape (dimension,), float32, unit length."""
        ...
