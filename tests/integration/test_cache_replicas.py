"""Two API replicas with their own caches on one real Weaviate and one real Kafka, while the real writer changes things.

One after the other: an answer given after a change was published may not be from before it, whoever gives it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiokafka import TopicPartition

from cli.installing import install
from index.embedding.fastembed_model import FastembedEmbedder, load_embedder
from index.model import ChunkSubject, chunk_hash, content_hash
from index.rows import PositionedMutation
from index.weaviate import open_index
from index.writer import TenantWriter
from runtime.aio_kafka import KafkaTail, LogProducer
from runtime.clock import SystemClock
from runtime.declarations import load_topics
from runtime.freshness_token import TokenKey
from runtime.log_port import LostRecordsError, StoredRecord
from runtime.metrics import CACHE, CACHE_BYPASSES, CACHE_PURGES, COMMITS_READ, Metrics
from runtime.settings import Settings
from schemas.identity import Document
from schemas.records import Chunk, Content, Coordinates, Mutation, Origin
from schemas.topics import COMMITS
from schemas.versions import RANKS, Op, Version
from serving.auth import build_authenticator, issue_token
from serving.commits import CommitFeed
from serving.core.threshold import Thresholds
from serving.limit import Limits
from serving.wiring import Outside, build_api
from streams.commit_log import LogCommits
from tests.integration.expiry import expire
from tests.integration.streams_bench import SOURCE, SOURCES, TENANT

pytestmark = [pytest.mark.parts, pytest.mark.timeout(240)]


class HeldTail(KafkaTail):
    """A consumer that can be made to stand still."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        super().__init__(settings, COMMITS, partitions)
        self.goes = asyncio.Event()
        self.goes.set()

    async def read(self) -> Sequence[StoredRecord]:
        found = await super().read()
        await self.goes.wait()
        return found


@dataclass
class Replica:
    """One API process's parts."""

    client: TestClient[web.Request, web.Application]
    tail: HeldTail
    metrics: Metrics


@dataclass
class Site:
    """The real parts, one writer, two replicas."""

    settings: Settings
    embedder: FastembedEmbedder
    writer: TenantWriter
    replicas: list[Replica]
    offset: int = 0
    vectors: dict[str, bytes] = field(default_factory=dict)

    async def put(self, name: str, text: str | None, acl: Iterable[str] | None = ("public",)) -> None:
        """Commit one change; no text is a delete, or with an acl a change of it."""
        self.offset += 1
        op = Op.UPSERT if text is not None else Op.DELETE if acl is None else Op.ACL
        document = Document.checked(TENANT, SOURCE, name)
        now = datetime.now(UTC)
        content = self._content(document, text) if text is not None else Content(deleted=True)
        mutation = Mutation(
            tenant=document.tenant,
            source=document.source,
            doc_id=document.doc_id,
            op=op,
            version=Version(1, self.offset, RANKS[op]),
            content=None if op is Op.ACL else content,
            acl=None if acl is None else tuple(acl),
            change=Coordinates(topic="documents.changes", partition=0, offset=self.offset),
            origin=Origin(connector="webhook", reference=str(self.offset)),
            event_id=str(self.offset),
            received_at=now,
            prepared_at=now,
        )
        at = Coordinates(topic="index.mutations.g1", partition=0, offset=self.offset)
        await self.writer.commit([PositionedMutation(mutation, at)])

    def _content(self, document: Document, text: str) -> Content:
        if text not in self.vectors:
            self.vectors[text] = self.embedder.embed([text])[0].astype("<f4").tobytes()
        chunk = Chunk(
            ordinal=0,
            text=text,
            heading_path=(),
            hash=chunk_hash(ChunkSubject(document, text, document.doc_id, (), "text", "en", ())),
            embedded_hash=f"{document.doc_id}\n{text}",
            start=0,
            end=len(text),
            vector=self.vectors[text],
        )
        hashed = content_hash([chunk.hash])
        return Content(
            chunks=(chunk,), content_hash=hashed, title=document.doc_id, kind="text", language="en", pipeline="p"
        )

    async def ask(self, replica: int, question: str, *groups: str, **more: object) -> Any:
        """The body of a successful answer."""
        headers = {"Authorization": f"Bearer {issue_token(self.settings, TENANT, 'ada', groups)}"}
        body = {"question": question} | more
        async with self.replicas[replica].client.post("/v1/query", json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()


@asynccontextmanager
async def replica(settings: Settings, embedder: FastembedEmbedder) -> AsyncIterator[Replica]:
    index, metrics, clock = open_index(settings), Metrics(), SystemClock()
    tail = HeldTail(settings, load_topics(settings).partitions(COMMITS))
    feed = CommitFeed(tail, metrics, retry_seconds=0.05)
    outside = Outside(
        embedder,
        build_authenticator(settings, clock),
        TokenKey(b"k" * 32),
        clock,
        metrics,
        feed=feed,
        cache_bytes=1_000_000,
    )

    async def ready() -> Sequence[str]:
        return ()

    app = build_api(index, outside, Limits(), Thresholds(), ready)
    reading = asyncio.create_task(feed.run())
    while not feed.is_live:
        assert not reading.done(), reading.result()
        await asyncio.sleep(0.01)
    async with TestClient(TestServer(app)) as client:
        yield Replica(client, tail, metrics)
    tail.goes.set()
    reading.cancel()
    await asyncio.wait([reading])
    await index.close()


@pytest.fixture(scope="module")
def embedder(stack_settings: Settings) -> FastembedEmbedder:
    """The real model, on an installed index."""
    asyncio.run(install(stack_settings, SOURCES))
    return load_embedder(cache_dir=stack_settings.cache_dir)


_runs = iter(range(1, 100))


@pytest.fixture
async def site(stack_settings: Settings, embedder: FastembedEmbedder) -> AsyncIterator[Site]:
    index, log = open_index(stack_settings), LogProducer(stack_settings)
    await log.start()
    commits = LogCommits(log, load_topics(stack_settings))
    writer = TenantWriter(index, commits, TENANT, SystemClock(), name="test")
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(replica(stack_settings, embedder)) for _ in range(2)]
        yield Site(stack_settings, embedder, writer, replicas, offset=100_000 * next(_runs))
    await log.stop()
    await index.close()


QUESTION = "How much may a hotel cost per night?"
HOTEL = "Since 2026 a hotel may cost up to {} EUR per night. Flights are booked early."


async def test_a_change_through_the_real_writer_purges_both_replicas(site: Site) -> None:
    await site.put("hotel", HOTEL.format(120))
    for amount, following in ((120, 130), (130, 140)):
        for number in (0, 1):
            assert str(amount) in (await site.ask(number, QUESTION))["answer"]
            again = await site.ask(number, QUESTION)
            assert (again["cached"], str(amount) in again["answer"]) == ("exact", True)
        await site.put("hotel", HOTEL.format(following))
        for number in (0, 1):
            assert str(following) in (await site.ask(number, QUESTION))["answer"]
    for one in site.replicas:
        assert one.metrics.value(CACHE_PURGES, reason="commit") >= 2
        assert one.metrics.value(COMMITS_READ) >= 4  # a take-over, three commits


async def test_a_deleted_document_is_never_answered_from_a_cache_again(site: Site) -> None:
    await site.put("hotel", HOTEL.format(120))
    for number in (0, 1, 0, 1):
        assert "120" in (await site.ask(number, QUESTION))["answer"]
    await site.put("hotel", None, acl=None)
    for number in (0, 1, 0, 1):
        body = await site.ask(number, QUESTION)
        assert body["refusal"]["reason"] == "no_source"
    assert body["cached"] == "exact"


async def test_a_revoked_group_is_refused_by_both_replicas_at_once(site: Site) -> None:
    await site.put("hotel", HOTEL.format(120), acl=("staff",))
    for number in (0, 1, 0, 1):
        assert "120" in (await site.ask(number, QUESTION, "staff"))["answer"]
    await site.put("hotel", None, acl=("board",))
    for number in (0, 1):
        assert (await site.ask(number, QUESTION, "staff"))["refusal"]["reason"] == "no_source"
        assert "120" in (await site.ask(number, QUESTION, "board"))["answer"]


async def test_a_replica_whose_consumer_stands_still_computes_instead_of_giving_what_is_stale(site: Site) -> None:
    await site.put("hotel", HOTEL.format(120))
    await site.put("flight", "A flight may cost up to 900 EUR.")
    for number in (0, 1, 0, 1):
        await site.ask(number, QUESTION)
    held = site.replicas[0]
    held.tail.goes.clear()
    await site.put("hotel", HOTEL.format(150))
    body = await site.ask(0, QUESTION)
    assert (body["cached"], "150" in body["answer"]) == (False, True)
    assert held.metrics.value(CACHE_BYPASSES, reason="behind") == 1
    again = await site.ask(0, QUESTION)  # computed at the very head: right without any log
    assert (again["cached"], "150" in again["answer"]) == ("exact", True)
    await site.put("secret", "The safe's code.", acl=("board",))
    assert (await site.ask(0, QUESTION))["cached"] is False
    held.tail.goes.set()
    await site.put("secret", "The safe's other code.", acl=("board",))
    assert (await site.ask(0, QUESTION))["position"] == (await site.ask(1, QUESTION))["position"]


async def test_nothing_is_stale_while_everything_changes(site: Site) -> None:
    """Ten documents, three audiences, two replicas: every answer is compared to what it must be at that moment."""
    chance = random.Random(7)
    names = ["hotel", "taxi", "dinner", "ferry", "parking"]
    groups: list[tuple[str, ...]] = [(), ("staff",), ("board",)]
    model: dict[str, tuple[int, frozenset[str]]] = {}
    for _ in range(250):
        name = chance.choice(names)
        if chance.random() < 0.15:
            amount = chance.randrange(100, 1000)
            match chance.randrange(4) if name in model else 0:
                case 0 | 1:
                    acl = frozenset(chance.sample(["public", "staff", "board"], chance.randint(1, 2)))
                    await site.put(name, f"The {name} may cost up to {amount} EUR.", acl)
                    model[name] = amount, acl
                case 2:
                    await site.put(name, None, acl=None)
                    del model[name]
                case _:
                    acl = frozenset(chance.sample(["public", "staff", "board"], 1))
                    await site.put(name, None, acl)
                    model[name] = model[name][0], acl
        asker = chance.choice(groups)
        body = await site.ask(chance.randrange(2), f"How much may the {name} cost?", *asker)
        amount, acl = model.get(name, (0, frozenset()))
        if acl & {*asker, "public"}:
            assert f"up to {amount} EUR" in str(body["answer"]), (name, amount, body)
        else:
            assert f"The {name} may" not in str(body["answer"]), (name, body)
    hits = sum(one.metrics.value(CACHE, outcome="hit") for one in site.replicas)
    assert hits > 20


async def test_records_that_are_gone_before_they_were_read_are_lost_not_skipped(stack_settings: Settings) -> None:
    settings, topics = stack_settings, load_topics(stack_settings)
    tail = KafkaTail(settings, COMMITS, topics.partitions(COMMITS))
    ends = await tail.start()
    log = LogProducer(settings)
    await log.start()
    partition = topics.partition(COMMITS, tenant=TENANT)
    assert (await log.append(COMMITS, partition, "acme", b"1")).offset == ends[partition]
    (first,) = await _next(tail)
    assert (first.coordinates.offset, first.value) == (ends[partition], b"1")
    await tail.stop()

    for _ in range(3):
        await log.append(COMMITS, partition, "acme", b"2")
    await asyncio.to_thread(expire, settings, COMMITS, partition)
    late = TopicPartition(settings.kafka_topic_prefix + COMMITS, partition)
    tail = KafkaTail(settings, COMMITS, topics.partitions(COMMITS), wait_seconds=0.1)
    await tail.start()
    assert tail._consumer is not None
    tail._consumer.seek(late, ends[partition])  # as a reader that was away stands
    with pytest.raises(LostRecordsError):
        await _next(tail)
    await tail.stop()
    await log.stop()


async def _next(tail: KafkaTail) -> Sequence[StoredRecord]:
    while True:
        found = await tail.read()
        if found:
            return found
