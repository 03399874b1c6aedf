"""What makes a generation: everything that changes the chunks or vectors of an unchanged document.

Pure. The parts are compared with what the index was created with; the fingerprint over them is stamped on every
content.
"""

import hashlib
from collections.abc import Mapping

REDACTION = "1"
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


def differing_part(found: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """The first part of `wanted` that `found` has otherwise, or not at all; None when all agree."""
    return next((name for name in sorted(wanted) if found.get(name) != wanted[name]), None)
