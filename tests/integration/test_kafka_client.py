"""The Kafka clients against a real broker: one contract for every `Log`, topics, offsets, reading back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from itertools import count

import pytest

from runtime.aio_kafka import LogProducer
from runtime.kafka import KafkaAdmin, Producer, read_topic
from runtime.log_port import MAX_RECORD_BYTES, Log, MemoryLog, StoredRecord
from runtime.settings import Settings
from runtime.topic_plan import ChangeConfig, CreateTopic
from schemas.errors import ConfigError, TooLargeError, TransientError
from schemas.records import Coordinates
from schemas.topics import ConcreteTopic

pytestmark = pytest.mark.parts

CONFIG = {"cleanup.policy": "compact", "max.message.bytes": str(MAX_RECORD_BYTES)}
_numbers = count(1)

ReadBack = Callable[[str], Awaitable[Sequence[StoredRecord]]]
Opened = tuple[Log, ReadBack]


@pytest.fixture
def topic(stack_settings: Settings) -> str:
    name = f"kafka.client.{next(_numbers)}"
    admin = KafkaAdmin(stack_settings)
    admin.apply(admin.plan([ConcreteTopic(name=name, partitions=2, config=CONFIG)]))
    return name


@pytest.fixture(params=["memory", "confluent", "aiokafka"])
async def opened(request: pytest.FixtureRequest, stack_settings: Settings) -> AsyncIterator[Opened]:
    async def from_kafka(name: str) -> Sequence[StoredRecord]:
        return await asyncio.to_thread(_drained, read_topic(stack_settings, name))

    if request.param == "memory":
        memory = MemoryLog()

        async def from_memory(name: str) -> Sequence[StoredRecord]:
            return list(memory.records(name))

        yield memory, from_memory
    elif request.param == "confluent":
        producer = Producer(stack_settings)
        yield producer, from_kafka
        assert await producer.close() == 0
    else:
        aio = LogProducer(stack_settings)
        await aio.start()
        yield aio, from_kafka
        await aio.stop()


def _drained(records: Iterable[StoredRecord]) -> Sequence[StoredRecord]:
    return list(records)


async def test_a_record_comes_back_as_it_was_appended(opened: Opened, topic: str) -> None:
    log, read_back = opened
    headers = (("ms-op", b"upsert"), ("ms-op", b"again"), ("empty", b""))
    at = await log.append(topic, 1, "key ä", b"\x00\xffvalue", headers)
    assert at == Coordinates(topic=topic, partition=1, offset=0)
    (record,) = await read_back(topic)
    assert (record.coordinates, record.key, record.value, record.headers) == (at, "key ä", b"\x00\xffvalue", headers)


async def test_overlapping_appends_lie_in_the_order_in_which_they_were_entered(opened: Opened, topic: str) -> None:
    log, read_back = opened
    sizes = [10, 400_000, 5, 900_000, 7, 700_000, 3] * 10
    tasks = [
        asyncio.create_task(log.append(topic, number % 2, str(number), bytes(size)))
        for number, size in enumerate(sizes)
    ]
    places = await asyncio.gather(*tasks, return_exceptions=True)
    # A busy broker may answer for a batch that it was sent twice without saying where it lies; of a partition that was
    # created a moment ago the first one may then not lie there at all: it took the second for the first.
    assert all(isinstance(at, Coordinates) or "unknown offset" in str(at) for at in places)
    records = await read_back(topic)
    for partition in (0, 1):
        keys = [int(record.key or "") for record in records if record.coordinates.partition == partition]
        wanted = list(range(partition, len(sizes), 2))
        assert keys == wanted[len(wanted) - len(keys) :]
        told = {
            number: at.offset
            for number, at in enumerate(places)
            if isinstance(at, Coordinates) and number % 2 == partition
        }
        assert {number: keys[offset] for number, offset in told.items()} == {number: number for number in told}


async def test_the_largest_record_passes_and_a_larger_one_is_refused(opened: Opened, topic: str) -> None:
    log, read_back = opened
    with pytest.raises(TooLargeError):
        await log.append(topic, 0, "k", bytes(MAX_RECORD_BYTES))
    await log.append(topic, 0, "k", bytes(MAX_RECORD_BYTES - 4097))
    (record,) = await read_back(topic)
    assert len(record.value or b"") == MAX_RECORD_BYTES - 4097


async def test_a_cancelled_append_leaves_the_log_usable(opened: Opened, topic: str) -> None:
    log, _ = opened
    task = asyncio.create_task(log.append(topic, 0, "k", b"first"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    at = await log.append(topic, 0, "k", b"second")
    assert at.offset in (0, 1)


async def test_a_broker_that_is_down_is_a_transient_error(stack_settings: Settings) -> None:
    nowhere = stack_settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
    producer = Producer(nowhere, delivery_seconds=1.0)
    with pytest.raises(TransientError):
        await producer.append("documents.changes", 0, "k", b"v")
    await producer.close(seconds=1.0)
    with pytest.raises(TransientError):
        await LogProducer(nowhere).start()
    assert not await asyncio.to_thread(KafkaAdmin(nowhere, seconds=1.0).ready)


async def test_an_unknown_topic_is_an_error_and_not_a_wait_for_ever(stack_settings: Settings) -> None:
    producer = Producer(stack_settings, delivery_seconds=1.0)
    with pytest.raises(TransientError):
        await producer.append("no.such.topic", 0, "k", b"v")
    await producer.close()


def test_applying_a_plan_twice_changes_nothing_and_a_changed_setting_is_repaired(stack_settings: Settings) -> None:
    admin = KafkaAdmin(stack_settings)
    wanted = ConcreteTopic(name="planned", partitions=3, config=CONFIG | {"min.compaction.lag.ms": "1000"})
    plan = admin.plan([wanted])
    assert plan.actions == (CreateTopic(wanted),)
    admin.apply(plan)
    assert admin.plan([wanted]).actions == ()
    admin.apply(plan)  # someone else created it meanwhile
    edited = wanted.model_copy(update={"config": CONFIG | {"min.compaction.lag.ms": "2000"}})
    assert admin.plan([edited]).actions == (ChangeConfig("planned", {"min.compaction.lag.ms": "2000"}),)
    admin.apply(admin.plan([edited]))
    assert admin.plan([edited]).actions == ()


def test_another_partition_count_is_refused_with_one_line(stack_settings: Settings) -> None:
    admin = KafkaAdmin(stack_settings)
    wanted = ConcreteTopic(name="counted", partitions=2, config=CONFIG)
    admin.apply(admin.plan([wanted]))
    plan = admin.plan([wanted.model_copy(update={"partitions": 4})])
    with pytest.raises(ConfigError, match=r"counted has 2 partitions and topics\.yaml says 4"):
        admin.apply(plan)


def test_topic_facts_name_a_missing_topic(stack_settings: Settings, topic: str) -> None:
    admin = KafkaAdmin(stack_settings)
    facts = admin.topic_facts([topic])
    assert facts[topic][1] == 2
    assert len(facts[topic][0]) >= 22
    with pytest.raises(ConfigError, match="absent does not exist"):
        admin.topic_facts([topic, "absent"])


async def test_offsets_lag_and_reading_from_an_offset(stack_settings: Settings, topic: str) -> None:
    producer = Producer(stack_settings)
    for number in range(5):
        await producer.append(topic, 1, "k", str(number).encode())
    await producer.close()
    admin = KafkaAdmin(stack_settings)
    assert await asyncio.to_thread(admin.begin_offsets, topic) == {0: 0, 1: 0}
    assert await asyncio.to_thread(admin.end_offsets, topic) == {0: 0, 1: 5}
    assert await asyncio.to_thread(admin.group_offsets, "nobody", topic) == {}
    assert await asyncio.to_thread(admin.lag, "nobody", topic) == {0: 0, 1: 5}
    tail = await asyncio.to_thread(_drained, read_topic(stack_settings, topic, start={1: 3}))
    assert [record.value for record in tail] == [b"3", b"4"]
    assert await asyncio.to_thread(_drained, read_topic(stack_settings, topic, start={1: 5})) == []


async def test_a_group_that_was_never_there_begins_where_it_is_told_at_once(
    stack_settings: Settings, topic: str
) -> None:
    producer = Producer(stack_settings)
    for number in range(3):
        await producer.append(topic, 1, "k", str(number).encode())
    await producer.close()
    admin = KafkaAdmin(stack_settings)
    for number in range(4):  # each group has another coordinator's partition, which the broker may have yet to load
        await asyncio.to_thread(admin.set_group_offsets, f"told-{number}", topic, {1: 2})
        assert await asyncio.to_thread(admin.group_offsets, f"told-{number}", topic) == {1: 2}
