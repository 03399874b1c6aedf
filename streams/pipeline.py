"""The flow of one change to one mutation, top to bottom: decode, version, limits, parse, redact, chunk, hash, vectors.

The steps themselves are in streams.core and streams.parse; here is the order in which a document passes them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from index.embedding.port import Tokens
from index.model import ChunkSubject, chunk_hash, content_hash, label_list
from runtime.clock import Clock
from schemas.errors import DecodeError, TooLargeError
from schemas.identity import Document
from schemas.records import Chunk, Content, DocumentChange, Mutation, Part, wholes
from schemas.redaction import Action, Kind
from schemas.topics import Topics
from schemas.versions import Op
from streams.core import chunk as chunking
from streams.core.blocks import ParsedDocument
from streams.core.redaction import Search, Sighted
from streams.core.treatment import Treated, Treatment, named_after, search_for, treat
from streams.deliveries import decode_delivery
from streams.window import Delivery

TITLE_CHARACTERS = 512
"""As many as the door allows: every chunk row carries the title, and a page may declare one of a megabyte."""


class Parser(Protocol):
    """Reads a document's bytes and looks for personal data in it."""

    async def read(self, body: bytes, content_type: str | None, name: str, search: Search) -> Sighted:
        """Raises UnreadableError for a document that cannot be read within its limits."""
        ...


class Policies(Protocol):
    """Says how each document's personal data is treated."""

    def treatment_of(self, document: Document) -> Treatment:
        """The treatment in force."""
        ...


class VectorSource(Protocol):
    """Gives vectors for chunks."""

    async def of(self, wanted: Sequence[tuple[str, str]]) -> list[bytes]:
        """Vectors of (embedded hash, embedded text) pairs, in their order."""
        ...


Step = Callable[[str], AbstractContextManager[None]]
"""Times a step by its name."""


FoundPersonal = Callable[[Mapping[tuple[Kind, Action], int]], None]
"""Learns how many values of personal data a document had, by kind and what became of them."""


FoundUnread = Callable[[Sequence[str]], None]
"""Learns why attachments of a document were not read: a reason each."""


def _untold(_counts: object) -> None:
    return


def _untimed(_name: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What the flow needs. `recipe` is stamped on every content it prepares."""

    parser: Parser
    policies: Policies
    tokens: Tokens
    vectors: VectorSource
    embedder: str
    """The embedder's fingerprint."""
    max_tokens: int
    recipe: str
    max_document_bytes: int
    topics: Topics
    clock: Clock
    step: Step = _untimed
    found_personal: FoundPersonal = _untold
    found_unread: FoundUnread = _untold


async def prepare(delivery: Delivery, using: Pipeline) -> Mutation:
    """Make a change ready for the index. Raises PermanentError for a record that can never be."""
    change = decode_delivery(delivery, DocumentChange, using.topics)
    version = change.version.at(delivery.coordinates.offset)
    content = await _content(change, using)
    if content is None and change.acl is None:
        raise DecodeError(f"an {change.op} that carries neither content nor acl", reason="empty")
    return Mutation(
        tenant=change.tenant,
        source=change.source,
        doc_id=change.doc_id,
        op=change.op,
        version=version,
        content=content,
        acl=change.acl,
        default_acl=change.default_acl,
        change=delivery.coordinates,
        origin=change.origin,
        event_id=change.event_id,
        actor=change.actor,
        event_time=change.event_time,
        received_at=change.received_at,
        prepared_at=using.clock.now(),
        traceparent=change.traceparent,
    )


async def _content(change: DocumentChange, using: Pipeline) -> Content | None:
    """The content register's new value; None for an acl alone."""
    if change.op is Op.ACL:
        return None
    if change.op is not Op.UPSERT:
        return Content(deleted=True)
    body = _checked_body(change, using.max_document_bytes)
    treatment = using.policies.treatment_of(change.document)
    search = search_for(change, treatment.policy)
    with using.step("parse"):
        sighted = await using.parser.read(body, change.content_type, change.doc_id, search)
    using.found_unread(sighted.document.unread)
    # From here on nothing but what may be seen: chunks, hashes and vectors know no other text.
    treated = await asyncio.to_thread(treat, change, search, sighted, treatment)
    using.found_personal(treated.counts)
    change, document = treated.change, treated.document
    title = title_of(change, document)
    document = replace(document, parts=tuple(map(_with_short_title, document.parts)))
    # Counting tokens of a long document takes a while; it releases the GIL, so the loop goes on meanwhile.
    with using.step("chunk"):
        cut = await asyncio.to_thread(chunking.chunk, document, title, using.tokens.token_spans, using.max_tokens)
        kinds_of = await asyncio.to_thread(treated.kinds_of, cut)
    wanted = [(chunking.embedded_hash(piece.embedded, using.embedder), piece.embedded) for piece in cut]
    with using.step("embed"):
        vectors = await using.vectors.of(wanted)
    cut_of = wholes(title, document.kind, document.parts)
    chunks = tuple(
        _chunk(treated, cut_of[piece.part], piece, kinds, name, vector)
        for piece, kinds, (name, _), vector in zip(cut, kinds_of, wanted, vectors, strict=True)
    )
    return Content(
        chunks=chunks,
        content_hash=content_hash(piece.hash for piece in chunks),
        title=title,
        url=change.url,
        kind=document.kind,
        language=document.language,
        labels=change.labels,
        pipeline=f"{using.recipe}.{treatment.fingerprint}",
        parts=document.parts,
    )


def _checked_body(change: DocumentChange, limit: int) -> bytes:
    if change.body is None:
        raise DecodeError("an upsert without a body", reason="empty")
    if len(change.body) > limit:
        raise TooLargeError(
            f"a body of {len(change.body)} bytes is over the limit of {limit} (MILLSTREAM_MAX_DOCUMENT_BYTES)"
        )
    return change.body


def title_of(change: DocumentChange, document: ParsedDocument) -> str:
    """The change's title, else the document's own, else the last part of the doc_id without its suffix; cut if long."""
    for title in (change.title, document.title):
        if title and title.strip():
            return title.strip()[:TITLE_CHARACTERS].rstrip()
    return named_after(change.doc_id)


def _with_short_title(part: Part) -> Part:
    return part.model_copy(update={"title": part.title[:TITLE_CHARACTERS].rstrip()})


def _chunk(
    treated: Treated, whole: Part, piece: chunking.Chunk, kinds: tuple[str, ...], name: str, vector: bytes
) -> Chunk:
    """`whole`: what the piece is cut of, the document or one of its parts."""
    change, document = treated.change, treated.document
    start, end = treated.span_of(piece)
    subject = ChunkSubject(
        document=change.document,
        text=piece.text,
        title=whole.title,
        heading_path=piece.heading_path,
        kind=whole.kind,
        language=document.language,
        labels=label_list(change.labels),
        pii=kinds,
    )
    return Chunk(
        ordinal=piece.ordinal,
        text=piece.text,
        heading_path=piece.heading_path,
        hash=chunk_hash(subject),
        embedded_hash=name,
        pii=kinds,
        page=piece.page,
        start=start,
        end=end,
        vector=vector,
        part=piece.part,
        page_breaks=piece.page_breaks,
    )
