"""A stage in its consumer group: what could keep it out of it, although everything answers."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from runtime.kafka import KafkaAdmin, Producer
from runtime.settings import Settings
from schemas.topics import ConcreteTopic
from streams import app as streams_app
from streams.agents import add_agent
from streams.app import StageApp, build_app
from streams.window import Delivery, Lease, Window

pytestmark = [pytest.mark.parts, pytest.mark.timeout(120)]


@dataclass
class Stage:
    """An app that notes what it worked on, once it may work."""

    settings: Settings
    topic: str
    done: list[str] = field(default_factory=list)
    works: asyncio.Event = field(default_factory=asyncio.Event)

    async def _work(self, delivery: Delivery, _lease: Lease) -> None:
        await self.works.wait()
        self.done.append((delivery.key or b"").decode())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[StageApp]:
        app = build_app(self.settings, f"group-of-{self.topic}")
        app.window = Window(self._work, app.crash_soon, records=2, max_bytes=1 << 20)
        add_agent(app, self.topic, self.settings.kafka_topic_prefix)
        await app.start()
        try:
            yield app
        finally:
            self.works.set()
            await app.stop()

    async def append(self, *keys: str) -> None:
        producer = Producer(self.settings)
        for key in keys:
            await producer.append(self.topic, 0, key, b"")
        await producer.close()


@pytest.fixture
def stage(stack_settings: Settings) -> Stage:
    return Stage(stack_settings, f"member-{uuid.uuid4().hex[:8]}")


def create(stage: Stage) -> None:
    admin = KafkaAdmin(stage.settings)
    admin.apply(admin.plan([ConcreteTopic(name=stage.topic, partitions=1, config={})]))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.05)


async def test_a_topic_that_the_broker_did_not_know_when_the_group_formed_is_read_soon(stage: Stage) -> None:
    """So it looks for a moment after a broker has started."""
    stage.works.set()
    async with stage.running() as app:
        await until(lambda: app.is_member)
        assert app.assigned() == frozenset()
        await asyncio.to_thread(create, stage)
        await stage.append("a")
        await until(lambda: stage.done == ["a"])


async def test_a_stage_that_fetches_nothing_for_long_stays_a_member(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less patience than it has it would be out of its group, often for good, and that is seen."""
    await asyncio.to_thread(create, stage)
    await stage.append(*map(str, range(400)))
    longest = streams_app._OPTIONS["broker_max_poll_interval"]
    assert isinstance(longest, int)
    assert longest > 365 * 86_400
    monkeypatch.setattr(streams_app, "_OPTIONS", {**streams_app._OPTIONS, "broker_max_poll_interval": 4})
    async with stage.running() as app:
        await until(lambda: app.is_member)
        await until(lambda: not app.is_member)
