"""A stage that seeks slowly while its group rebalances, in a process of its own, on librdkafka's mock of a broker.

`python -m tests.integration.seeking idle`: the member had no partition before. `again`: another rebalance begins during
the seek of the one before, and takes long. Prints the records that were never worked on, and the offset acknowledged.
"""

import asyncio
import json
import os
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from confluent_kafka import Producer

from runtime.settings import Settings
from streams import app as streams_app
from streams.agents import add_agent
from streams.app import build_app
from streams.window import Delivery, Lease, LeaseEndedError, Window
from tests.integration.mock_broker import mock_broker

MANY, FIRST = 150, 10
"""Records, and how many of them were acknowledged before."""
TOPIC = TopicPartition("t", 0)
_SLOW_SECONDS = 1.3


async def make_a_group_that_stands_at(bootstrap: str, offset: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(MANY):
        producer.produce("t", b"", key=str(number).encode(), partition=0)
    assert producer.flush(20) == 0
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id="g", enable_auto_commit=False)
    consumer.assign([TOPIC])
    await consumer.start()
    await consumer.commit({TOPIC: offset})
    await consumer.stop()


async def acknowledged(bootstrap: str) -> int:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id="g", enable_auto_commit=False)
    await consumer.start()
    found = await consumer.committed(TOPIC)
    await consumer.stop()
    return int(found or 0)


class Stage:
    """An app whose work takes a while, once it may."""

    def __init__(self, bootstrap: str) -> None:
        self.done: set[int] = set()
        self.works = asyncio.Event()
        self.app = build_app(Settings(kafka_bootstrap=bootstrap), "g")
        self.app.window = Window(self._work, self.app.crash_soon, records=32, max_bytes=1 << 20)
        add_agent(self.app, "t", "")

    async def _work(self, delivery: Delivery, lease: Lease) -> None:
        while not self.works.is_set():
            if lease.is_ending:
                raise LeaseEndedError
            await lease.pause(0.1)
        await asyncio.sleep(0.3)
        self.done.add(delivery.coordinates.offset)

    def rejoin(self) -> None:
        thread = self.app.consumer._thread
        thread.thread_loop.call_soon_threadsafe(thread._consumer._coordinator.request_rejoin)

    async def until_through(self) -> None:
        for _ in range(400):
            await asyncio.sleep(0.1)
            if MANY - 1 in self.done and not len(self.app.window):
                break
        await asyncio.sleep(1.0)  # for the commit


def slow_seeks(first: float, later: float, begin_again: bool) -> None:
    """Each seek takes so many seconds more; another rebalance may begin during the first."""
    seek, join, seeks = streams_app.seek_to_acknowledged, GroupCoordinator._perform_assignment, list[int]()

    async def slowly(consumer: AIOKafkaConsumer) -> object:
        seeks.append(1)
        if begin_again and len(seeks) == 1:
            consumer._coordinator.request_rejoin()
        found = await seek(consumer)
        await asyncio.sleep(first if len(seeks) == 1 else later)
        return found

    async def joining(self: GroupCoordinator, response: object) -> object:
        if seeks and begin_again:
            await asyncio.sleep(1.5)  # others are slow
        return await join(self, response)

    streams_app.seek_to_acknowledged = slowly
    GroupCoordinator._perform_assignment = joining


async def idle(stage: Stage) -> None:
    partitions = ConsumerProtocolMemberAssignment.partitions
    ConsumerProtocolMemberAssignment.partitions = lambda _self: []
    await stage.app.start()
    while stage.app._assignment is None or stage.app.rebalancing:
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    slow_seeks(_SLOW_SECONDS, _SLOW_SECONDS, begin_again=False)
    ConsumerProtocolMemberAssignment.partitions = partitions
    stage.works.set()
    stage.rejoin()


async def again(stage: Stage) -> None:
    slow_seeks(0.6, _SLOW_SECONDS, begin_again=True)
    stage.works.set()
    await stage.app.start()


async def main(how: str) -> None:
    with mock_broker() as bootstrap:
        await make_a_group_that_stands_at(bootstrap, FIRST)
        stage = Stage(bootstrap)
        beginning = asyncio.create_task({"idle": idle, "again": again}[how](stage))
        await stage.until_through()
        await beginning
        missing = sorted({*range(FIRST, MANY)} - stage.done)
        print(json.dumps({"missing": missing, "acknowledged": await acknowledged(bootstrap)}), flush=True)
        os._exit(0)  # without waiting for the threads of Faust and its clients


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
