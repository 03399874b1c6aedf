"""A share of a topic, on Kafka and its twin: from where the group acknowledged to, and the given partitions alone."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from runtime.aio_kafka import KafkaShare, LogProducer
from runtime.kafka import KafkaAdmin
from runtime.log_port import Log, LogShare, MemoryLog, MemoryShare, StoredRecord
from runtime.settings import Settings
from schemas.topics import ConcreteTopic

pytestmark = [pytest.mark.parts, pytest.mark.timeout(120)]


class Place:
    """A topic of two partitions, and shares of one group of it."""

    def __init__(self, log: Log, topic: str, open_share: Callable[[], LogShare]) -> None:
        self.log = log
        self.topic = topic
        self.open_share = open_share

    async def append(self, partition: int, *keys: str) -> None:
        for key in keys:
            await self.log.append(self.topic, partition, key, key.encode(), (("ms-op", b"delete"),))


@pytest.fixture(params=["memory", "kafka"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    topic = f"share-{uuid.uuid4().hex[:8]}"
    if request.param == "memory":
        log, acknowledged = MemoryLog(), dict[int, int]()
        yield Place(log, topic, lambda: MemoryShare(log, topic, acknowledged))
        return
    settings: Settings = request.getfixturevalue("stack_settings")
    admin = KafkaAdmin(settings)
    admin.apply(admin.plan([ConcreteTopic(name=topic, partitions=2, config={})]))
    producer = LogProducer(settings)
    await producer.start()
    yield Place(producer, topic, lambda: KafkaShare(settings, topic, "readers"))
    await producer.stop()


async def read(share: LogShare, count: int) -> list[str]:
    """The next `count` values, as they come."""
    found: list[str] = []
    while len(found) < count:
        found += [(record.value or b"").decode() for record in await share.read()]
    return found


async def test_a_share_begins_with_what_its_group_has_not_acknowledged(place: Place) -> None:
    await place.append(0, "a", "b", "c")
    await place.append(1, "another's")
    first = place.open_share()
    await first.start([0])
    assert await read(first, 3) == ["a", "b", "c"]
    await first.acknowledge({0: 2})
    await first.stop()
    second = place.open_share()
    await second.start([0, 1])
    assert sorted(await read(second, 2)) == ["another's", "c"]
    await place.append(0, "d")
    (record,) = await until_some(second)
    assert (record.coordinates.partition, record.coordinates.offset, record.key) == (0, 3, "d")
    assert record.headers == (("ms-op", b"delete"),)
    await second.stop()


async def until_some(share: LogShare) -> list[StoredRecord]:
    """The next records."""
    while not (found := await share.read()):
        continue
    return list(found)


async def test_two_shares_acknowledge_partitions_of_their_own_under_one_group(place: Place) -> None:
    await place.append(0, "a", "b")
    await place.append(1, "c")
    shares = [place.open_share(), place.open_share()]
    for number, share in enumerate(shares):
        await share.start([number])
    assert [await read(shares[0], 2), await read(shares[1], 1)] == [["a", "b"], ["c"]]
    for number, share in enumerate(shares):
        await share.acknowledge({number: 1})
        await share.stop()
    again = place.open_share()
    await again.start([0, 1])
    assert await read(again, 1) == ["b"]
    await again.stop()
    await again.stop()


async def test_a_share_that_starts_again_reads_again_what_was_not_acknowledged(place: Place) -> None:
    await place.append(0, "a", "b")
    share = place.open_share()
    await share.start([0])
    assert await read(share, 2) == ["a", "b"]
    await share.start([0])
    assert await read(share, 2) == ["a", "b"]
    await share.stop()


async def test_a_share_that_stops_while_it_rests_after_a_failure_disconnects_and_starts_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that slept past its session: what it asked for has expired, and its partitions are others'."""
    monkeypatch.setattr("runtime.aio_kafka._ANSWER_MS", 600)
    await place.append(0, "a")
    share = place.open_share()
    await share.start([0])
    assert await read(share, 1) == ["a"]
    before = asyncio.all_tasks()
    for pause in (0.005, 0.02, 0.05):
        await share.read()
        time.sleep(0.7)  # the whole process
        await asyncio.sleep(pause)
        await share.stop()
        await share.start([0])
        assert await read(share, 1) == ["a"]
    await share.stop()
    await asyncio.sleep(0.1)
    assert [task for task in asyncio.all_tasks() - before if "aiokafka" in repr(task.get_coro())] == []
