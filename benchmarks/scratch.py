"""An index of a benchmark's own in the running Weaviate, and mutations for it as prepare would make them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from index.model import ChunkSubject, IndexIdentity, Vector, chunk_hash, content_hash, first_head
from index.port import IndexRecord
from index.weaviate import StoreAddress, WeaviateIndex
from runtime.clock import SystemClock
from runtime.settings import Settings
from schemas.identity import PUBLIC, Document, Tenant
from schemas.records import Chunk, Content, Coordinates, Mutation, Origin
from schemas.topics import CHANGES
from schemas.versions import RANKS, Op, Version

AnyIndex = TypeVar("AnyIndex", bound=WeaviateIndex)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One chunk to be."""

    heading_path: tuple[str, ...]
    text: str
    vector: Vector


@asynccontextmanager
async def scratch_index(
    settings: Settings, open_index: Callable[[StoreAddress], AnyIndex], tenant: Tenant, dimension: int
) -> AsyncIterator[AnyIndex]:
    """An empty index with one tenant, dropped at the end."""
    key = settings.weaviate_api_key.get_secret_value()
    address = StoreAddress(settings.weaviate_http, settings.weaviate_grpc, key, settings.weaviate_secure)
    index, clock = open_index(address), SystemClock()
    try:
        await index.create(IndexRecord(index.identity, {}, {}, dimension, clock.now()))
        await index.create_tenant(first_head(tenant, clock.now()))
        yield index
    finally:
        await index.drop()
        await index.close()


def plain_index(identity: IndexIdentity, prefix: str) -> Callable[[StoreAddress], WeaviateIndex]:
    """For `scratch_index`: the adapter as it is."""
    return lambda address: WeaviateIndex(address, identity, prefix=prefix)


def mutation_of(document: Document, title: str, parts: Sequence[Part], offset: int) -> Mutation:
    """An upsert, everyone's to read, whose version and change are `offset`."""
    chunks = tuple(
        Chunk(
            ordinal=place,
            text=part.text,
            heading_path=part.heading_path,
            hash=chunk_hash(ChunkSubject(document, part.text, title, part.heading_path, "markdown", "en", ())),
            embedded_hash=f"{document.doc_id}/{place}",
            start=0,
            end=len(part.text),
            vector=part.vector.astype("<f4").tobytes(),
        )
        for place, part in enumerate(parts)
    )
    now = datetime.now(UTC)
    return Mutation(
        tenant=document.tenant,
        source=document.source,
        doc_id=document.doc_id,
        op=Op.UPSERT,
        version=Version(1, offset, RANKS[Op.UPSERT]),
        content=Content(
            chunks=chunks,
            content_hash=content_hash(chunk.hash for chunk in chunks),
            title=title,
            kind="markdown",
            language="en",
            pipeline="bench",
        ),
        default_acl=(PUBLIC,),
        change=Coordinates(topic=CHANGES, partition=0, offset=offset),
        origin=Origin(connector="bench", reference=f"{offset}"),
        event_id=f"{offset}",
        received_at=now,
        prepared_at=now,
    )
