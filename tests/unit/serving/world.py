"""An API on the twins: documents put in by the real writer, questions asked over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from index.embedding.words import HashedWordsEmbedder
from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import ChunkSubject, IndexIdentity, chunk_hash, content_hash, first_head, label_list
from index.port import IndexRecord, VersionedIndex
from index.rows import PositionedMutation
from index.writer import TenantWriter
from runtime.clock import ManualClock, SystemClock
from runtime.freshness_token import TokenKey, seal
from runtime.log_port import MemoryLog, MemoryTail
from runtime.metrics import Metrics
from runtime.settings import Settings, settings_from
from schemas.codec import encode
from schemas.identity import Document, Tenant
from schemas.records import Chunk, Commit, Content, Coordinates, Mutation, Origin, Part
from schemas.sources import Sources
from schemas.topics import COMMITS
from schemas.versions import RANKS, Op, Version
from serving.auth import build_authenticator, issue_token
from serving.commits import CommitFeed
from serving.core.threshold import Thresholds
from serving.limit import Limits
from serving.wiring import Outside, build_api

IDENTITY = IndexIdentity("g1", "i1")
START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = TokenKey(b"k" * 32)
SECRET = "a secret of the tests, longer than 32 bytes"
LENIENT = Thresholds(relevance=0.45, cosine=0.05)
"""Hashed words are a cruder model than the one the real thresholds were measured with."""


def settings(**more: str) -> Settings:
    """Settings with a shared secret."""
    return settings_from(
        {"MILLSTREAM_JWT_SECRET": SECRET} | {f"MILLSTREAM_{key.upper()}": value for key, value in more.items()}
    )


class ToldCommits(MemoryCommitLog):
    """A writer's log whose commits an API can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.told = MemoryLog()
        self.is_silent = False
        """Emit nothing: a writer that died between publishing and telling."""

    async def emit(self, commits: Sequence[Commit]) -> None:
        """See `index.port.CommitLog`."""
        await super().emit(commits)
        for commit in () if self.is_silent else commits:
            await self.told.append(COMMITS, 0, commit.tenant, encode(commit))


@dataclass
class World:
    """Two tenants' documents, and the API in front of them."""

    index: MemoryIndex
    log: ToldCommits
    embedder: HashedWordsEmbedder
    metrics: Metrics
    writers: dict[str, TenantWriter] = field(default_factory=dict)
    offset: int = 0
    clock: ManualClock = field(default_factory=ManualClock)
    """Of the writers."""
    client: TestClient[web.Request, web.Application] | None = None

    async def put(
        self,
        doc_id: str,
        *texts: str,
        title: str = "Title",
        heading: Sequence[str] = (),
        tenant: str = "acme",
        source: str = "web",
        acl: Sequence[str] | None = ("public",),
        op: Op = Op.UPSERT,
        labels: Mapping[str, str] | None = None,
        event_time: datetime | None = None,
        language: str | None = "en",
        kind: str = "markdown",
        version: Version | None = None,
        attached: Sequence[tuple[str, str, str]] = (),
    ) -> str:
        """Commit one change; returns its freshness token. `attached`: title, kind and text of each attachment."""
        self.offset += 1
        document = Document.checked(tenant, source, doc_id)
        version = version or Version(1, self.offset, RANKS[op])
        content = None
        if op is Op.UPSERT:
            content = self._content(document, texts, title, tuple(heading), labels or {}, language, kind, attached)
        elif op is not Op.ACL:
            content = Content(deleted=True)
        mutation = Mutation(
            tenant=document.tenant,
            source=document.source,
            doc_id=document.doc_id,
            op=op,
            version=version,
            content=content,
            acl=None if acl is None else tuple(acl),
            change=Coordinates(topic="documents.changes", partition=0, offset=self.offset),
            origin=Origin(connector="webhook", reference=f"msg-{self.offset}"),
            event_id=f"e{self.offset}",
            event_time=event_time,
            received_at=START,
            prepared_at=START,
        )
        at = Coordinates(topic="index.mutations.g1", partition=0, offset=self.offset)
        if tenant not in self.writers:
            await self.index.create_tenant(first_head(document.tenant, START))
            self.writers[tenant] = TenantWriter(self.index, self.log, document.tenant, self.clock, name="w")
        await self.writers[tenant].commit([PositionedMutation(mutation, at)])
        return self.freshness(document, version)

    def freshness(self, document: Document, version: Version) -> str:
        """A freshness token as the webhook's 202 gives it."""
        return seal(KEY, document, "content", version)

    def _content(
        self,
        document: Document,
        texts: Sequence[str],
        title: str,
        heading: tuple[str, ...],
        labels: Mapping[str, str],
        language: str | None,
        kind: str,
        attached: Sequence[tuple[str, str, str]],
    ) -> Content:
        wholes = [(0, title, kind, text, heading) for text in texts]
        wholes += [(part, *one, (title,)) for part, one in enumerate(attached, start=1)]
        said = ["\n".join((of, *path, text)) for _, of, _, text, path in wholes]
        chunks = tuple(
            Chunk(
                ordinal=number,
                text=text,
                heading_path=path,
                hash=chunk_hash(ChunkSubject(document, text, of, path, read_as, language, label_list(labels))),
                embedded_hash=embedded,
                page=number + 1,
                start=1000 * number,
                end=1000 * number + len(text),
                vector=vector.astype("<f4").tobytes(),
                part=part,
            )
            for number, ((part, of, read_as, text, path), embedded, vector) in enumerate(
                zip(wholes, said, self.embedder.embed(said), strict=True)
            )
        )
        return Content(
            chunks=chunks,
            content_hash=content_hash(chunk.hash for chunk in chunks),
            title=title,
            url=f"https://wiki.example/{document.doc_id}",
            kind=kind,
            language=language,
            labels=dict(labels),
            pipeline="p1",
            parts=tuple(Part(title=of, kind=read_as) for of, read_as, _ in attached),
        )

    def headers(
        self,
        *groups: str,
        tenant: str = "acme",
        sub: str = "ada",
        scopes: Sequence[str] = ("query",),
        ttl: timedelta = timedelta(minutes=5),
    ) -> dict[str, str]:
        """A bearer token's header."""
        return {"Authorization": "Bearer " + issue_token(settings(), tenant, sub, groups, scopes, ttl)}

    async def post(self, path: str, body: object, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of a POST."""
        assert self.client is not None
        async with self.client.post(
            path, json=body, headers=self.headers() if headers is None else headers
        ) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of a GET; `path` is sent as it is written."""
        from yarl import URL

        assert self.client is not None
        url = URL(str(self.client.make_url("/")).rstrip("/") + path, encoded=True)
        async with self.client.session.get(url, headers=self.headers() if headers is None else headers) as response:
            return response.status, await response.json(content_type=None)

    async def ask(self, question: str, *groups: str, **more: object) -> Any:
        """The body of a successful /v1/query."""
        status, body = await self.post("/v1/query", {"question": question} | more, self.headers(*groups))
        assert status == 200, body
        return body


@asynccontextmanager
async def world(
    *,
    limits: Limits | None = None,
    thresholds: Thresholds = LENIENT,
    index: VersionedIndex | None = None,
    sources: Sources | None = None,
    cache_bytes: int = 0,
) -> AsyncIterator[World]:
    """A running API without documents. `index` may stand in front of the memory."""
    embedder = HashedWordsEmbedder(dimension=512)
    memory = MemoryIndex(IDENTITY)
    await memory.create(IndexRecord(IDENTITY, {"embedder": embedder.fingerprint}, {}, embedder.dimension, START))
    metrics = Metrics()
    here = World(memory, ToldCommits(), embedder, metrics)
    clock = SystemClock()
    await memory.create_tenant(first_head(Tenant("acme"), START))
    here.writers["acme"] = TenantWriter(memory, here.log, Tenant("acme"), here.clock, name="w")

    async def ready() -> Sequence[str]:
        return ()

    feed = CommitFeed(MemoryTail(here.log.told, COMMITS, 1), metrics)
    authenticator = build_authenticator(settings(), clock)
    outside = Outside(embedder, authenticator, KEY, clock, metrics, lambda: sources, feed, cache_bytes)
    app = build_api(index or memory, outside, limits or Limits(), thresholds, ready)
    reading = asyncio.create_task(feed.run())
    async with TestClient(TestServer(app)) as client:
        here.client = client
        yield here
    reading.cancel()
