"""Where a consumer goes on after it threw away what it had fetched. The broker is librdkafka's own mock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer

from streams.app import seek_to_acknowledged
from tests.integration.mock_broker import mock_broker

MANY = 5
ONE, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)


@asynccontextmanager
async def consumer() -> AsyncIterator[AIOKafkaConsumer]:
    """With some records in two partitions."""
    with mock_broker() as bootstrap:
        producer = Producer({"bootstrap.servers": bootstrap})
        for partition in (0, 1):
            for number in range(MANY):
                producer.produce("t", str(number).encode(), partition=partition)
        assert producer.flush(20) == 0
        made = AIOKafkaConsumer(
            "t", bootstrap_servers=bootstrap, group_id="g", enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await made.start()
        try:
            yield made
        finally:
            await made.stop()


async def fetched(reader: AIOKafkaConsumer, many: int) -> dict[TopicPartition, list[int]]:
    """Offsets of the next records."""
    found: dict[TopicPartition, list[int]] = {ONE: [], OTHER: []}
    async with asyncio.timeout(20):
        while sum(map(len, found.values())) < many:
            for partition, records in (await reader.getmany(timeout_ms=500)).items():
                found[partition] += [record.offset for record in records]
    return found


async def test_what_was_thrown_away_is_read_again_whether_anything_was_acknowledged_or_not() -> None:
    async with consumer() as reader:
        assert await fetched(reader, 2 * MANY) == {ONE: [0, 1, 2, 3, 4], OTHER: [0, 1, 2, 3, 4]}
        await reader.commit({OTHER: 2})
        assert (await seek_to_acknowledged(reader)).items() >= {ONE: None, OTHER: 2}.items()
        assert await fetched(reader, 8) == {ONE: [0, 1, 2, 3, 4], OTHER: [2, 3, 4]}
        await reader.commit({ONE: 0, OTHER: 5})
        assert (await seek_to_acknowledged(reader)).items() >= {ONE: 0, OTHER: 5}.items()
        assert await fetched(reader, 5) == {ONE: [0, 1, 2, 3, 4], OTHER: []}
