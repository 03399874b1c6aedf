"""What an index was created with decides what it accepts: the same recipe and topics, vectors of its dimension."""

from collections.abc import Iterable

from index.model import ChunkRow
from index.port import IndexRecord
from schemas.errors import ConfigError, PermanentError


def check_same_record(existing: IndexRecord, wanted: IndexRecord) -> None:
    """Raises ConfigError that names the first part that differs. `created_at` may."""
    parts = {
        "identity": (str(existing.identity), str(wanted.identity)),
        "vector dimension": (str(existing.dimension), str(wanted.dimension)),
    }
    for name in sorted({*existing.recipe, *wanted.recipe}):
        parts[f"recipe ({name})"] = (existing.recipe.get(name, "none"), wanted.recipe.get(name, "none"))
    for name in sorted({*existing.topics, *wanted.topics}):
        parts[f"topic {name}"] = (_topic(existing, name), _topic(wanted, name))
    for name, (was, now) in parts.items():
        if was != now:
            raise ConfigError(
                f"the index {existing.identity} was created with another {name} ({was}, now {now}): "
                "start a new generation, or put back what it was created with"
            )


def check_vectors(rows: Iterable[ChunkRow], dimension: int) -> None:
    """Raises PermanentError for a row whose vector is missing or has another dimension."""
    for row in rows:
        if row.vector is None or row.vector.shape != (dimension,):
            raise PermanentError(
                f"a chunk row's vector is not one of this index's {dimension} dimensions", reason="refused_row"
            )


def _topic(record: IndexRecord, name: str) -> str:
    topic = record.topics.get(name)
    return "none" if topic is None else f"id {topic[0]} with {topic[1]} partitions"
