"""The recipe this code prepares documents by, for `millstream up` and for the stages that check it."""

from collections.abc import Mapping

from index.model import SCHEMA
from streams.core import chunk
from streams.core.recipe import recipe_parts

READING = "7"
"""Raised when streams.parse reads the same bytes as another text, title, kind or structure."""

CUTTING = "4"
"""Raised when streams.core.chunk cuts the same document otherwise with the same numbers."""


def recipe_of(embedder: str, chunk_tokens: int | None = None) -> Mapping[str, str]:
    """Parts of the recipe with this embedder's fingerprint; `chunk_tokens` where chunks are kept shorter than the model
    reads.
    """
    numbers = (
        chunk.TARGET_TOKENS,
        chunk.LEAST_TOKENS,
        chunk.LEAST_SECTION_TOKENS,
        chunk.TITLE_TOKENS,
        chunk.PATH_TOKENS,
        chunk.MAX_CHUNKS,
    )
    shorter = () if chunk_tokens is None else (f"most{chunk_tokens}",)
    chunking = "-".join([CUTTING, *map(str, numbers), *shorter])
    return recipe_parts(embedder=embedder, reading=READING, chunking=chunking, schema=SCHEMA)
