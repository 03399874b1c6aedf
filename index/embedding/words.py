"""A tiny embedder without a model: words hashed into signed buckets. The twin for unit and property tests only.

Texts that share words are close, others are nearly orthogonal. Deterministic over processes and machines.
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from index.embedding.port import Recipe, Span, Vectors

_WORD = re.compile(r"\w+|[^\w\s]")


class HashedWordsEmbedder:
    """Feature hashing of case-folded words; one token a word, the first `max_tokens` - 2 of them count."""

    def __init__(self, dimension: int = 64, max_tokens: int = 256) -> None:
        self.dimension = dimension
        self.max_tokens = max_tokens
        self.fingerprint = Recipe("hashed-words", "1", dimension, max_tokens, pooling="sum").fingerprint

    def token_spans(self, text: str) -> Sequence[Span]:
        """One span a word or punctuation mark."""
        return [match.span() for match in _WORD.finditer(text)]

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape (n, dimension), float32, unit rows."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[:] = self.embed_query(text)
        return rows

    def embed_query(self, text: str) -> Vectors:
        """Shape (dimension,), float32, unit length; a text without words is the first unit vector."""
        sums = np.zeros(self.dimension, dtype=np.float32)
        for start, end in self.token_spans(text)[: self.max_tokens - 2]:
            digest = hashlib.blake2b(text[start:end].casefold().encode("utf-8", "replace"), digest_size=8).digest()
            bucket = int.from_bytes(digest[:7], "big") % self.dimension
            sums[bucket] += 1.0 if digest[7] & 1 else -1.0
        norm = float(np.linalg.norm(sums))
        if norm == 0.0:
            sums[0] = norm = 1.0
        return sums / np.float32(norm)
