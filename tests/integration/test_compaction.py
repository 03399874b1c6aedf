"""Kafka compacts documents.changes and index.mutations for real; what a build reads from either afterwards is the
serial reference of all that ever lay there.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest

from connectors.changes import append_change
from index.memory import MemoryIndex
from index.model import IndexIdentity
from runtime.aio_kafka import LogProducer
from runtime.kafka import KafkaAdmin, RecordReader, read_topic
from runtime.log_port import Headers, Log, MemoryLog, StoredRecord
from runtime.settings import Settings
from schemas.headers import stated_again
from schemas.records import Coordinates, DocumentChange
from schemas.topics import CHANGES, ConcreteTopic
from schemas.versions import Op
from streams.agents import publish
from streams.heal import Healed, Healer, Healing
from tests.reference import logged, reference
from tests.unit.streams.compacted import TOPICS, applier_on, check, mutation_of, opened, run
from tests.unit.streams.records import MUTATIONS
from tests.unit.streams.test_healing import change

pytestmark = [pytest.mark.parts, pytest.mark.timeout(150)]

KEPT = {"cleanup.policy": "compact", "min.compaction.lag.ms": "604800000"}
CLEANED = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "1",
    "min.cleanable.dirty.ratio": "0.0",
    "segment.ms": "200",
}
_FILLER = "filler"


class Recording:
    """A log that knows what was ever appended to documents.changes."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.changes: list[StoredRecord] = []

    async def append(self, topic: str, partition: int, key: str, value: bytes, headers: Headers = ()) -> Coordinates:
        at = await self._log.append(topic, partition, key, value, headers)
        if topic == CHANGES and key != _FILLER:
            self.changes.append(StoredRecord(at, key, value, headers))
        return at


@pytest.fixture
async def log(stack_settings: Settings) -> AsyncIterator[Recording]:
    configure(stack_settings, KEPT)
    producer = LogProducer(stack_settings)
    await producer.start()
    yield Recording(producer)
    await producer.stop()


def configure(settings: Settings, config: dict[str, str]) -> None:
    admin = KafkaAdmin(settings)
    admin.apply(admin.plan([ConcreteTopic(name=name, partitions=1, config=config) for name in (CHANGES, MUTATIONS)]))


def some_changes(chance: Random, count: int) -> list[DocumentChange]:
    """Of a few documents, in any order of versions; half of what comes late loses."""
    made = []
    for _ in range(count):
        op = chance.choice([Op.UPSERT, Op.UPSERT, Op.UPSERT, Op.DELETE, Op.ACL])
        acl = chance.choice([None, ("hr",), ("hr", "staff")]) if op is not Op.DELETE else None
        made.append(
            change(
                op,
                chance.randint(0, 9),
                body=chance.choice("ABC"),
                acl=(acl or ()) if op is Op.ACL else acl,
                doc=chance.choice("abcdef"),
                tenant=chance.randint(0, 1),
            )
        )
    return made


def left(settings: Settings, topic: str) -> list[StoredRecord]:
    return [record for record in read_topic(settings, topic) if record.key != _FILLER]


async def live(settings: Settings, log: Recording, made: list[DocumentChange]) -> tuple[MemoryIndex, list[Healing]]:
    """Changes come in some at a time and are applied until nothing is left to do."""
    index, healings = await opened(IndexIdentity("g1", "live")), list[Healing]()

    def read(at: Coordinates) -> Iterator[StoredRecord]:
        return read_topic(settings, at.topic, start={at.partition: at.offset})

    records = RecordReader(settings)
    applier = applier_on(index, MemoryLog(), Healer(index, log, records.at, read), healings.append)
    prepared = applied = 0
    while made or prepared < len(log.changes):
        for record in made[:12]:
            await append_change(log, TOPICS, record)
        del made[:12]
        for stored in log.changes[prepared:]:
            await publish(mutation_of(stored), log, MUTATIONS, TOPICS, stated_again(stored.headers))
            prepared += 1
        mutations = list(read_topic(settings, MUTATIONS, start={0: applied}))
        applied += await run(applier, mutations, alone=False)
    records.close()
    return index, healings


async def compacted(settings: Settings, log: Recording, topic: str, most: int) -> list[StoredRecord]:
    """What is left once each key has one record; other records come in meanwhile, so that segments are closed."""
    for _ in range(200):
        await log.append(topic, 0, _FILLER, b"")
        found = await asyncio.to_thread(left, settings, topic)
        if len(found) == len({record.key for record in found}) <= most:
            return found
        await asyncio.sleep(0.25)
    raise AssertionError(f"{topic} was not compacted: {len(found)} records of {most} keys")


async def test_what_kafka_has_compacted_is_built_to_the_serial_reference(
    stack_settings: Settings, log: Recording
) -> None:
    index, healings = await live(stack_settings, log, some_changes(Random(7), 60))
    assert sum(isinstance(healing, Healed) for healing in healings) > 10
    wanted = reference(logged(log.changes))
    await check(index, wanted)
    configure(stack_settings, CLEANED)
    keys = len({record.key for record in log.changes})
    topics = (CHANGES, MUTATIONS)
    found = await asyncio.gather(*(compacted(stack_settings, log, topic, keys) for topic in topics))
    for topic, records in zip(topics, found, strict=True):
        assert len(records) < len(log.changes), f"{topic} has lost nothing"
        await check(await built(topic, records), wanted)
    check_looks(stack_settings, log.changes, {str(record.coordinates) for record in found[0]})


def check_looks(settings: Settings, changes: list[StoredRecord], kept: set[str]) -> None:
    """Each record is found by its coordinates, or known to be gone."""
    reader = RecordReader(settings)
    for record in changes:
        found = reader.at(record.coordinates)
        assert (found is not None) == (str(record.coordinates) in kept)
        assert found is None or (found.key, found.value, found.headers) == (record.key, record.value, record.headers)
    end = KafkaAdmin(settings).end_offsets(CHANGES)[0]
    assert reader.at(Coordinates(topic=CHANGES, partition=0, offset=end)) is None
    reader.close()
    assert reader.at(changes[-1].coordinates) is not None, "a closed reader opens again"
    reader.close()


async def built(topic: str, records: list[StoredRecord]) -> MemoryIndex:
    """An incarnation from these, prepared anew where they are changes."""
    fresh, index = MemoryLog(), await opened(IndexIdentity("g1", "built"))
    for record in records if topic == CHANGES else ():
        await publish(mutation_of(record), fresh, MUTATIONS, TOPICS, stated_again(record.headers))
    mutations = list(fresh.records(MUTATIONS)) if topic == CHANGES else records
    assert await run(applier_on(index, MemoryLog()), mutations, alone=False) == len(mutations)
    return index
