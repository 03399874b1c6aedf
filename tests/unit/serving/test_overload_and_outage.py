"""Too much, or no store: shed or told at once, and the rest goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from index.embedding.words import HashedWordsEmbedder
from index.memory import MemoryIndex
from index.model import SCHEMA
from index.port import IndexRecord, VersionedIndex
from runtime.clock import SystemClock
from runtime.metrics import ALERTS, QUERIES_UNDER_WAY, Metrics
from schemas.errors import BrokenIndexError, ConfigError, TransientError
from serving.limit import Gate, Limits
from serving.problems import ProblemError
from serving.readiness import Readiness
from serving.steps import Steps
from tests.unit.serving.world import IDENTITY, START, world

ASK = {"question": "How long is the warranty of the pump?"}


class Tapped:
    """An index whose calls go through `around` first."""

    def __init__(self, index: MemoryIndex, around: Callable[[str], Awaitable[None]]) -> None:
        self._index = index
        self._around = around

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._index, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def tapped(*args: Any, **kwargs: Any) -> Any:
            await self._around(name)
            return await found(*args, **kwargs)

        return tapped


def tapped(around: Callable[[str], Awaitable[None]]) -> VersionedIndex:
    return cast(VersionedIndex, Tapped(MemoryIndex(IDENTITY), around))


def failing(error: Exception) -> VersionedIndex:
    async def fail(_name: str) -> None:
        raise error

    return tapped(fail)


def steps() -> Steps:
    return Steps(SystemClock(), Metrics())


async def test_what_is_over_the_limits_is_shed_with_retry_after_and_the_rest_is_answered() -> None:
    release = asyncio.Event()

    async def hold(_name: str) -> None:
        await release.wait()

    limits = Limits(running=2, queued=1, patience_seconds=30, request_seconds=30)
    async with world(limits=limits, index=tapped(hold)) as api:
        assert api.client is not None
        asked = {asyncio.create_task(api.post("/v1/query", ASK)) for _ in range(3)}
        while api.metrics.value(QUERIES_UNDER_WAY) < 3:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        async with api.client.post("/v1/query", json=ASK, headers=api.headers()) as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "1"
            body = await response.json(content_type=None)
        assert body["type"] == "urn:millstream:problem:overloaded"
        assert body["refusal"]["reason"] == "overloaded"
        release.set()
        assert [status for status, _ in await asyncio.gather(*asked)] == [200, 200, 200]


async def test_who_waits_longer_than_the_patience_is_shed() -> None:
    gate = Gate(Limits(running=1, queued=5, patience_seconds=0.01))
    async with gate.place(steps()):
        with pytest.raises(ProblemError):
            async with gate.place(steps()):
                pass
    async with gate.place(steps()):
        pass


async def test_requests_that_wait_for_changes_hold_no_place_and_are_bounded() -> None:
    gate = Gate(Limits(running=1, waiting_for_changes=1))
    with gate.waiting():
        async with gate.place(steps()):
            pass
        with pytest.raises(ProblemError), gate.waiting():
            pass
    with gate.waiting():
        pass


async def test_a_store_that_is_away_is_503_with_retry_after_and_without_its_words() -> None:
    async with world(index=failing(TransientError("10.0.0.1 said: warranty text"))) as api:
        for path in ("/v1/query", "/v1/search"):
            status, body = await api.post(path, ASK)
            assert status == 503
            assert body["type"].endswith(":unavailable")
            assert "10.0.0.1" not in str(body)
        assert (await api.get("/v1/documents/web/a"))[0] == 503


async def test_a_store_that_hangs_is_503_within_the_budget() -> None:
    async def hang(_name: str) -> None:
        await asyncio.sleep(60)

    async with world(limits=Limits(request_seconds=0.05), index=tapped(hang)) as api:
        assert (await api.post("/v1/query", ASK))[0] == 503


async def test_a_broken_index_is_an_alert_and_a_bug_is_a_500_without_its_words() -> None:
    async with world(index=failing(BrokenIndexError("two rows"))) as api:
        status, body = await api.post("/v1/query", ASK)
        assert (status, body["type"]) == (500, "urn:millstream:problem:broken_index")
        assert api.metrics.value(ALERTS, alert="broken_index") == 1
    async with world(index=failing(ValueError("warranty text"))) as api:
        status, body = await api.post("/v1/query", ASK)
        assert (status, body["type"]) == (500, "urn:millstream:problem:internal")
        assert "warranty" not in str(body)


async def test_health_says_alive_and_metrics_are_rendered() -> None:
    async with world() as api:
        assert api.client is not None
        for path in ("/healthz", "/readyz", "/metrics"):
            async with api.client.get(path) as response:
                assert response.status == 200
        async with api.client.get("/metrics") as response:
            assert "millstream_query_requests_total" in await response.text()


async def test_ready_follows_the_store() -> None:
    embedder = HashedWordsEmbedder()
    memory = MemoryIndex(IDENTITY)
    recipe = {"embedder": embedder.fingerprint, "schema": SCHEMA}
    await memory.create(IndexRecord(IDENTITY, recipe, {}, embedder.dimension, START))
    away = True

    async def maybe(_name: str) -> None:
        if away:
            raise TransientError("away")

    readiness = Readiness(cast(VersionedIndex, Tapped(memory, maybe)), embedder)
    assert await readiness.not_ready() == ("starting",)
    await readiness.check()
    assert await readiness.not_ready() == ("the store does not answer",)
    away = False
    await readiness.check()
    assert await readiness.not_ready() == ()
    away = True
    await readiness.check()
    assert await readiness.not_ready() == ("the store does not answer",)


async def test_no_index_or_one_of_another_recipe_stops_the_start_and_says_what_to_do() -> None:
    embedder = HashedWordsEmbedder()
    memory = MemoryIndex(IDENTITY)
    with pytest.raises(ConfigError, match="millstream up"):
        await Readiness(memory, embedder).check()
    for recipe in ({"embedder": "another", "schema": SCHEMA}, {"embedder": embedder.fingerprint, "schema": "0"}):
        memory = MemoryIndex(IDENTITY)
        await memory.create(IndexRecord(IDENTITY, recipe, {}, embedder.dimension, START))
        with pytest.raises(ConfigError, match="new generation"):
            await Readiness(memory, embedder).check()
