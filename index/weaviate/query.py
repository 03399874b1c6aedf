"""What the adapter asks of the store, as values: a collection's shape, rows, conditions, queries and what was found.

`index.weaviate.client` turns them into the store's own messages; nothing else knows those.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

Value = str | int | tuple[str, ...]


class Kind(Enum):
    """Type of a property and how it is indexed; what is not asked for is not indexed."""

    WORDS = auto()
    """Text for BM25: lower-cased words."""
    WORD_LISTS = auto()
    """A list of `WORDS`."""
    NAME = auto()
    """Text for exact filters; the store trims white space at its ends."""
    NAMES = auto()
    """A list of `NAME`."""
    NUMBER = auto()
    """Integer below 2^53 with a range index."""
    COUNT = auto()
    """Integer below 2^53 that is only ever read back."""
    PAYLOAD = auto()
    """Text that is only ever read back."""
    PAYLOADS = auto()
    """A list of `PAYLOAD`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One collection: its properties, whether it has a vector index (cosine) and one shard a tenant."""

    name: str
    properties: Mapping[str, Kind]
    vectors: bool = False
    tenants: bool = True


class Operator(Enum):
    """How a condition compares."""

    EQUAL = auto()
    BELOW = auto()
    AT_MOST = auto()
    ABOVE = auto()
    AT_LEAST = auto()
    ANY_OF = auto()
    ALL_OF = auto()


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; all conditions of a query must hold. A list to compare with is never empty."""

    name: str
    operator: Operator
    value: Value


ROW_ID = "_id"
"""Name of a row's id in a condition."""
MAX_ROWS = 10_000
"""The server's own limit on one answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row to write; `vector` is float32 little endian."""

    id: str
    properties: Mapping[str, Value]
    vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Rows of one collection (of one tenant): near a vector, by words, or neither.

    `words` is (question, properties with optional boost as `title^2`). `newest_by` sorts descending by these numbers.
    `after` continues a listing without conditions behind that row id; "" begins it, None: no listing.
    """

    collection: str
    limit: int
    tenant: str | None = None
    conditions: tuple[Condition, ...] = ()
    near: bytes | None = None
    words: tuple[str, tuple[str, ...]] | None = None
    newest_by: tuple[str, ...] = ()
    after: str | None = None
    properties: tuple[str, ...] = ()
    vectors: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One row found. `score` is the cosine or BM25, 0 where the query ranks nothing."""

    id: str
    properties: Mapping[str, Value] = field(default_factory=dict)
    score: float = 0.0
    vector: bytes = b""
