"""The collections of one incarnation: names, properties, what is indexed and how.

Chunk, Document and Head have one shard a tenant; Meta holds the index record and the acknowledged offsets.
"""

from dataclasses import dataclass

from index.model import IndexIdentity
from index.weaviate.query import Kind, Shape

CHUNK = {
    "document": Kind.NAME,
    "text": Kind.WORDS,
    "title": Kind.WORDS,
    "heading_path": Kind.WORD_LISTS,
    "hash": Kind.PAYLOAD,
    "embedded_hash": Kind.PAYLOAD,
    "acl": Kind.NAMES,
    "source": Kind.NAME,
    "kind": Kind.NAME,
    "language": Kind.NAME,
    "labels": Kind.NAMES,
    "event_time": Kind.PAYLOAD,
    "event_us": Kind.NUMBER,
    "pii": Kind.PAYLOADS,
    "epoch": Kind.NUMBER,
    "from_seq": Kind.NUMBER,
    "to_seq": Kind.NUMBER,
}
DOCUMENT = {
    "document": Kind.NAME,
    "source": Kind.NAME,
    "epoch": Kind.NUMBER,
    "from_seq": Kind.NUMBER,
    "to_seq": Kind.NUMBER,
    "mutation": Kind.NAME,
    "manifest": Kind.PAYLOAD,
    "superseded": Kind.PAYLOADS,
    "state": Kind.PAYLOAD,
}
HEAD = {
    "epoch": Kind.COUNT,
    "seq": Kind.COUNT,
    "swept_seq": Kind.COUNT,
    "history_from": Kind.COUNT,
    "sweeps": Kind.COUNT,
    "earlier": Kind.PAYLOAD,
    "published_at": Kind.PAYLOAD,
}
META = {"record": Kind.PAYLOAD, "partition": Kind.COUNT, "offset": Kind.COUNT}


@dataclass(frozen=True, slots=True)
class Collections:
    """Names of an incarnation's collections."""

    chunk: str
    document: str
    head: str
    meta: str

    @classmethod
    def of(cls, identity: IndexIdentity, prefix: str) -> "Collections":
        """`MsChunk_g1_i1` and so on: a collection's name starts with a capital."""
        suffix = f"_{identity.generation}_{identity.incarnation}"
        return cls(*(f"{prefix}{what}{suffix}" for what in ("Chunk", "Document", "Head", "Meta")))

    @property
    def of_tenants(self) -> tuple[str, str, str]:
        """Those with a shard a tenant; Head last: a tenant exists when its Head shard does."""
        return self.chunk, self.document, self.head

    def shapes(self) -> tuple[Shape, ...]:
        """All of them; Meta is created last, so that an index record means all exist."""
        return (
            Shape(self.chunk, CHUNK, vectors=True),
            Shape(self.document, DOCUMENT),
            Shape(self.head, HEAD),
            Shape(self.meta, META, tenants=False),
        )
