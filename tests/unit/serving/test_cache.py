"""The answer cache behind HTTP, on the twins: what is given again, what never is, and what stands beside it."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from index.model import Head, Published, first_head
from runtime.log_port import LostRecordsError, MemoryLog, MemoryTail, StoredRecord
from runtime.metrics import (
    CACHE,
    CACHE_BYPASSES,
    CACHE_BYTES,
    CACHE_ENTRIES,
    CACHE_PURGES,
    CACHE_STORES,
    COMMITS_READ,
    QUERY_REFUSALS,
    Metrics,
)
from schemas.errors import DecodeError, TransientError
from schemas.identity import Tenant
from schemas.records import Commit
from schemas.topics import COMMITS
from schemas.versions import Op
from serving.commits import CommitFeed
from serving.positions import Positions
from tests.unit.serving.world import START, World, world

WARRANTY = "The warranty of the pump is seven years. It covers all parts, the compressor included."
QUESTION = "How long is the warranty of the pump?"
MB = 1024 * 1024


@pytest.fixture
async def cached() -> AsyncIterator[World]:
    """A running API with a cache, and a document."""
    async with world(cache_bytes=MB) as here:
        await here.put("warranty", WARRANTY, title="Warranty", acl=("public", "staff"))
        await told(here)
        yield here


async def told(here: World) -> None:
    """Wait until the API has read every commit."""
    while here.metrics.value(COMMITS_READ) < len(here.log.commits()):
        await asyncio.sleep(0.001)


def outcomes(here: World) -> dict[str, float]:
    return {name: here.metrics.value(CACHE, outcome=name) for name in ("hit", "miss", "bypass")}


async def test_the_same_question_is_answered_from_the_cache_and_says_so(cached: World) -> None:
    first, second = await cached.ask(QUESTION), await cached.ask(f"  {QUESTION.replace(' ', '  ')} ")
    assert (first["cached"], second["cached"]) == (False, "exact")
    for member in ("answer", "citations", "position", "route", "refusal", "degraded"):
        assert first[member] == second[member]
    assert first["request_id"] != second["request_id"]
    assert {"position", "cache", "total"} <= second["timings_ms"].keys()
    assert "embed" not in second["timings_ms"]
    assert outcomes(cached) == {"hit": 1, "miss": 1, "bypass": 0}
    assert cached.metrics.value(CACHE_ENTRIES) == 1
    assert cached.metrics.value(CACHE_BYTES) > 1000
    assert cached.metrics.value(CACHE_STORES, outcome="stored") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"question": QUESTION.lower()},
        {"top_k": 3},
        {"filters": {"source": "web"}},
        {"filters": {"before": "2030-01-01T00:00:00Z"}},
    ],
)
async def test_another_question_is_another_answer(cached: World, change: dict[str, object]) -> None:
    await cached.ask(QUESTION)
    asked = {"question": QUESTION} | change
    assert (await cached.ask(str(asked.pop("question")), **asked))["cached"] is False


async def test_nobody_is_given_what_was_answered_to_others(cached: World) -> None:
    await cached.put("vault", "The warranty of the pump is nine years.", acl=("board",))
    await told(cached)
    assert "nine" in (await cached.ask(QUESTION, "board"))["answer"]
    assert "nine" not in (await cached.ask(QUESTION))["answer"]
    assert "nine" not in (await cached.ask(QUESTION, "staff"))["answer"]
    _, other = await cached.post("/v1/query", {"question": QUESTION}, cached.headers(sub="bob"))
    assert other["cached"] is False
    _, other = await cached.post("/v1/query", {"question": QUESTION}, cached.headers(tenant="umbrella"))
    assert other["refusal"]["reason"] == "no_source"


@pytest.mark.parametrize(
    ("asked", "reason"), [({"cache": "bypass"}, "asked"), ({"as_of": 1}, "as_of"), ({"debug": True}, "debug")]
)
async def test_who_asks_for_a_fresh_look_gets_one(cached: World, asked: dict[str, object], reason: str) -> None:
    await cached.ask(QUESTION)
    assert (await cached.ask(QUESTION, **asked))["cached"] is False
    assert cached.metrics.value(CACHE_BYPASSES, reason=reason) == 1


async def test_a_search_is_never_cached(cached: World) -> None:
    await cached.ask(QUESTION)
    _, body = await cached.post("/v1/search", {"question": QUESTION})
    assert "cached" not in body
    assert outcomes(cached) == {"hit": 0, "miss": 1, "bypass": 0}


async def test_a_refusal_that_the_index_is_the_reason_for_is_cached_and_counted(cached: World) -> None:
    for expected in (False, "exact"):
        body = await cached.ask("Who composed the Four Seasons?")
        assert (body["refusal"]["reason"], body["cached"]) == ("no_source", expected)
        assert body["position"]["seq"] == 1
    assert cached.metrics.value(QUERY_REFUSALS, reason="no_source") == 2
    await cached.put("music", "Vivaldi composed the Four Seasons.")
    assert "Vivaldi" in (await cached.ask("Who composed the Four Seasons?"))["answer"]


@pytest.mark.parametrize("op", [Op.UPSERT, Op.DELETE, Op.ACL])
async def test_a_change_is_in_the_next_answer_at_once(cached: World, op: Op) -> None:
    await cached.ask(QUESTION)
    texts = ("The warranty of the pump is eight years.",) if op is Op.UPSERT else ()
    await cached.put("warranty", *texts, title="Warranty", op=op, acl=("board",) if op is Op.ACL else None)
    body = await cached.ask(QUESTION)
    assert body["position"]["seq"] == 2
    assert "seven" not in str(body["answer"])


async def test_a_document_for_others_leaves_the_answer_and_moves_its_position(cached: World) -> None:
    await cached.ask(QUESTION)
    await cached.put("secret", "The pump's secret.", acl=("board",))
    body = await cached.ask(QUESTION)
    assert (body["cached"], body["position"]["seq"]) == ("exact", 2)


async def test_a_new_document_that_was_never_cited_changes_the_answer(cached: World) -> None:
    await cached.ask(QUESTION)
    await cached.put("newer", "The warranty of the pump is nine years.", title="Warranty")
    await told(cached)
    assert cached.metrics.value(CACHE_PURGES, reason="commit") == 1
    assert (await cached.ask(QUESTION))["cached"] is False


async def test_a_writer_that_published_and_died_before_telling_makes_no_answer_stale(cached: World) -> None:
    await cached.ask(QUESTION)
    cached.log.is_silent = True
    await cached.put("warranty", "The warranty of the pump is eight years.", title="Warranty", acl=None)
    body = await cached.ask(QUESTION)
    assert "eight" in body["answer"]
    assert cached.metrics.value(CACHE_BYPASSES, reason="behind") == 1
    assert (await cached.ask(QUESTION))["cached"] == "exact"
    cached.log.is_silent = False
    await cached.put("other", "Else.", acl=("board",))
    assert "eight" in (await cached.ask(QUESTION))["answer"]


async def test_at_least_waits_first_and_is_answered_from_the_cache_then(cached: World) -> None:
    await cached.ask(QUESTION)
    token = await cached.put("secret", "The pump's secret.", acl=("board",))
    body = await cached.ask(QUESTION, at_least=token)
    assert (body["cached"], body["position"]["seq"]) == ("exact", 2)


async def test_without_room_for_it_an_answer_is_computed_again() -> None:
    async with world(cache_bytes=100) as here:
        await here.put("warranty", WARRANTY, title="Warranty")
        assert [(await here.ask(QUESTION))["cached"] for _ in range(2)] == [False, False]
        assert here.metrics.value(CACHE_STORES, outcome="too_large") == 2


async def test_a_cache_of_0_mb_is_none(api: World) -> None:
    await api.put("warranty", WARRANTY, title="Warranty")
    assert [(await api.ask(QUESTION))["cached"] for _ in range(2)] == [False, False]
    assert outcomes(api) == {"hit": 0, "miss": 0, "bypass": 0}


async def test_a_head_is_read_once_for_requests_that_came_before_the_read_began() -> None:
    begun, go = 0, asyncio.Event()

    async def read(tenant: Tenant) -> Published:
        nonlocal begun
        begun += 1
        number = begun
        await go.wait()
        return Published(Head(tenant=tenant, epoch=0, seq=number, earlier={0: 0}, published_at=START))

    positions = Positions(read)
    first = asyncio.create_task(positions.newest(Tenant("acme")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [asyncio.create_task(positions.newest(Tenant("acme"))) for _ in range(5)]
    later[0].cancel()
    await asyncio.sleep(0.001)
    go.set()
    assert (await first).seq == 1
    assert [found.seq for found in await asyncio.gather(*later[1:])] == [2, 2, 2, 2]
    assert (await positions.newest(Tenant("acme"))).seq == 3


async def test_a_read_that_fails_fails_for_those_who_shared_it_alone() -> None:
    errors = [TransientError("away"), TransientError("away"), None]

    async def read(tenant: Tenant) -> Published:
        await asyncio.sleep(0)
        error = errors.pop(0)
        if error is not None:
            raise error
        return Published(first_head(tenant, START))

    positions = Positions(read)
    found = await asyncio.gather(*(positions.newest(Tenant("acme")) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [TransientError] * 3
    assert (await positions.newest(Tenant("acme"))).seq == 0


class Broken(MemoryTail):
    """A tail that loses its place once."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log, COMMITS, 1)
        self.breaks = False

    async def read(self) -> Sequence[StoredRecord]:
        found = await super().read()
        if self.breaks:
            self.breaks = False
            raise LostRecordsError("cut")
        return found


async def test_the_feed_tells_of_a_gap_once_and_begins_again_at_the_end(cached: World) -> None:
    tail = Broken(cached.log.told)
    feed = CommitFeed(tail, Metrics(), retry_seconds=0.001)
    heard: list[str] = []

    def hear(commit: Commit) -> None:
        heard.append(commit.doc_id)

    unsubscribe = feed.listen(hear, on_gap=lambda: heard.append("gap"))
    running = asyncio.create_task(feed.run())
    while not feed.is_live:
        await asyncio.sleep(0.001)
    await cached.put("a", "A.")
    while not heard:
        await asyncio.sleep(0.001)
    tail.breaks = True
    while heard[-1] != "gap" or not feed.is_live:
        await asyncio.sleep(0.001)
    await cached.put("b", "B.")
    while heard[-1] == "gap":
        await asyncio.sleep(0.001)
    unsubscribe()
    await cached.put("c", "C.")
    await asyncio.sleep(0.01)
    assert heard == ["a", "gap", "b"]
    running.cancel()


async def test_an_offset_that_is_not_the_next_is_a_gap() -> None:
    feed = CommitFeed(MemoryTail(MemoryLog(), COMMITS, 1), Metrics())
    log = MemoryLog()
    for _ in range(2):
        await log.append(COMMITS, 0, "acme", b"")
    _, second = log.records(COMMITS)
    await asyncio.wait_for(_started(feed), 5)
    with pytest.raises(LostRecordsError):
        feed.take([second])


async def test_a_record_that_is_no_commit_ends_the_feed_after_telling_a_gap() -> None:
    log, heard = MemoryLog(), []
    feed = CommitFeed(MemoryTail(log, COMMITS, 1), Metrics())
    feed.listen(lambda _commit: None, on_gap=lambda: heard.append("gap"))
    running = asyncio.create_task(feed.run())
    while not feed.is_live:
        await asyncio.sleep(0.001)
    await log.append(COMMITS, 0, "acme", b"nonsense")
    with pytest.raises(DecodeError):
        await running
    assert heard == ["gap"]


async def _started(feed: CommitFeed) -> None:
    running = asyncio.create_task(feed.run())
    while not feed.is_live:
        await asyncio.sleep(0.001)
    running.cancel()
