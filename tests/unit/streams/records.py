"""Records for tests of the stages: changes, mutations and deliveries about documents of one tenant."""

from datetime import UTC, datetime
from functools import cache

from runtime.settings import PACKAGED_TOPICS
from schemas.codec import encode
from schemas.identity import DocId, Document, Source, Tenant
from schemas.records import Chunk, Content, Coordinates, DocumentChange, Hide, Mutation, Origin
from schemas.redaction import Redaction, policy_of
from schemas.topics import CHANGES, HIDES, Topics, mutations_topic, parse_topics
from schemas.versions import RANKS, Op, StatedVersion, Version
from streams.core.blocks import BlockKind, Piece, assemble
from streams.core.redaction import Search, Sighted, pseudonyms
from streams.core.treatment import Treatment
from streams.redact.find import sighted
from streams.window import Delivery

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MUTATIONS = mutations_topic("g1")
ORIGIN = Origin(connector="webhook", reference="msg_1")


@cache
def topics() -> Topics:
    """The packaged topics.yaml."""
    return parse_topics(PACKAGED_TOPICS.read_text())


class PlainParser:
    """Paragraphs of UTF-8 text, the first line a title when it begins with `# `."""

    async def read(self, body: bytes, content_type: str | None, name: str, search: Search) -> Sighted:
        pieces = [Piece(BlockKind.PARAGRAPH, part) for part in body.decode().split("\n\n")]
        title = None
        if pieces and pieces[0].text.startswith("# "):
            title = pieces.pop(0).text[2:]
        return sighted(assemble(pieces, title=title, language="en", kind="markdown"), search)


class OnePolicy:
    """Treats every document alike."""

    def __init__(self, redaction: Redaction = Redaction(profile="off"), key: bytes = b"key") -> None:
        self._policy = policy_of(redaction)
        self._key = key

    def treatment_of(self, document: Document) -> Treatment:
        return Treatment(self._policy, pseudonyms(self._key, document.tenant), self._policy.fingerprint)


def change(
    op: Op = Op.UPSERT,
    *,
    doc: str = "guides/setup.md",
    tenant: str = "acme",
    body: bytes | None = b"# Setting up\n\nTurn the key.",
    acl: tuple[str, ...] | None = None,
    title: str | None = None,
    sequence: int | None = None,
    time: datetime | None = None,
) -> DocumentChange:
    """A change of one document of acme's wiki."""
    return DocumentChange(
        tenant=Tenant(tenant),
        source=Source("wiki"),
        doc_id=DocId(doc),
        op=op,
        version=StatedVersion(1, sequence, RANKS[op]),
        event_id="e1",
        title=title,
        content_type="text/markdown",
        body=body if op is Op.UPSERT else None,
        acl=acl,
        default_acl=("staff",),
        event_time=time,
        received_at=AT,
        origin=ORIGIN,
    )


def change_delivery(record: DocumentChange, offset: int = 0) -> Delivery:
    """A change as documents.changes delivers it."""
    partition = topics().partition(CHANGES, document=record.document)
    at = Coordinates(topic=CHANGES, partition=partition, offset=offset)
    return Delivery(at, record.key.encode(), encode(record), (("ms-op", record.op.encode()),))


def mutation(
    doc: str = "a", *, op: Op = Op.UPSERT, sequence: int = 1, tenant: str = "acme", text: str = "Turn the key."
) -> Mutation:
    """A mutation with one chunk, or without content for another op."""
    chunk = Chunk(
        ordinal=0, text=text, heading_path=(), hash="ab" * 16, embedded_hash="cd" * 16, start=0, end=1, vector=b"\0" * 8
    )
    content = {
        Op.UPSERT: Content(chunks=(chunk,), title="Setting up", kind="text"),
        Op.DELETE: Content(deleted=True),
    }.get(op)
    return Mutation(
        tenant=Tenant(tenant),
        source=Source("wiki"),
        doc_id=DocId(doc),
        op=op,
        version=Version(1, sequence, RANKS[op]),
        content=content,
        acl=("staff",) if op is Op.ACL else None,
        change=Coordinates(topic=CHANGES, partition=0, offset=sequence),
        origin=ORIGIN,
        event_id="e1",
        received_at=AT,
        prepared_at=AT,
    )


def mutation_delivery(record: Mutation, offset: int = 0) -> Delivery:
    """A mutation as index.mutations.g1 delivers it."""
    at = Coordinates(topic=MUTATIONS, partition=topics().partition(MUTATIONS, tenant=record.tenant), offset=offset)
    return Delivery(at, record.key.encode(), encode(record), (("ms-op", record.op.encode()),))


def hide(
    doc: str = "a", *, acl: tuple[str, ...] | None = None, sequence: int = 1, tenant: str = "acme", rank: int = 2
) -> Hide:
    """A hide of a delete, or with an acl of a changed one."""
    return Hide(
        tenant=Tenant(tenant),
        source=Source("wiki"),
        doc_id=DocId(doc),
        version=Version(1, sequence, RANKS[Op.ACL] if acl is not None else rank),
        deleted=acl is None,
        acl=acl,
        change=Coordinates(topic=CHANGES, partition=0, offset=sequence),
        origin=ORIGIN,
        event_id="e1",
        received_at=AT,
        prepared_at=AT,
    )


def hide_delivery(record: Hide, offset: int = 0) -> Delivery:
    """A hide as index.hides delivers it."""
    at = Coordinates(topic=HIDES, partition=topics().partition(HIDES, tenant=record.tenant), offset=offset)
    return Delivery(at, record.key.encode(), encode(record))


def document(doc: str) -> Document:
    """A document of acme's wiki."""
    return Document(Tenant("acme"), Source("wiki"), DocId(doc))
