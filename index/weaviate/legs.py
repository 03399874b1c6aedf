"""What both legs ask inside the query, and how rows are cut into messages: pure."""

from collections.abc import Iterable, Iterator

from index.port import LegFilter
from index.weaviate.query import Condition, Operator, Row
from index.weaviate.rows import microseconds

LEXICAL = ("text", "title", "heading_path")
BATCH_ROWS = 200
BATCH_BYTES = 4_194_304


def leg_conditions(where: LegFilter) -> tuple[Condition, ...]:
    """Position, permission hint and the user's filters. Times are [after, before)."""
    conditions = [
        Condition("from_seq", Operator.AT_MOST, where.at),
        Condition("to_seq", Operator.ABOVE, where.at),
        Condition("acl", Operator.ANY_OF, tuple(sorted(where.principals))),
    ]
    for name, values in (("source", where.sources), ("kind", where.kinds), ("language", where.languages)):
        if values:
            conditions.append(Condition(name, Operator.ANY_OF, values))
    if where.labels:
        conditions.append(Condition("labels", Operator.ALL_OF, where.labels))
    if where.documents:
        keys = tuple(document.key for document in where.documents)
        conditions.append(Condition("document", Operator.ANY_OF, keys))
    if where.after is not None:
        conditions.append(Condition("event_us", Operator.AT_LEAST, microseconds(where.after)))
    if where.before is not None:
        conditions.append(Condition("event_us", Operator.BELOW, microseconds(where.before)))
    return tuple(conditions)


def batches(rows: Iterable[Row], *, max_rows: int = BATCH_ROWS, max_bytes: int = BATCH_BYTES) -> Iterator[list[Row]]:
    """Rows in order, cut by count and by size; a row over `max_bytes` goes alone."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        weight = _weight(row)
        if batch and (len(batch) == max_rows or size + weight > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch


def _weight(row: Row) -> int:
    """About how many bytes a row is on the wire."""
    return len(row.vector or b"") + sum(
        4 * len(value) if isinstance(value, str) else 64 * len(value) if isinstance(value, tuple) else 8
        for value in row.properties.values()
    )
