"""What makes a generation: everything that changes the chunks or vectors of an unchanged document.

Pure. The parts are kept with the index; the fingerprint over them is stamped on every content, and compared at every
start.
"""

import hashlib
from collections.abc import Mapping

REDACTION = "3"
"""Raised when the same personal data is found or replaced otherwise under the same policy."""


def recipe_parts(*, embedder: str, reading: str, chunking: str, schema: str) -> Mapping[str, str]:
    """Part of the recipe -> its own fingerprint or version."""
    return {
        "chunking": chunking,
        "embedder": embedder,
        "reading": reading,
        "redaction": REDACTION,
        "schema": schema,
    }


def recipe_fingerprint(parts: Mapping[str, str]) -> str:
    """16 hex digits over the parts, in the order of their names."""
    text = "".join(f"{len(name)}:{name}{len(value)}:{value}" for name, value in sorted(parts.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
