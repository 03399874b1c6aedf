"""A broker that knows a batch as sent before, and no longer where it lies: no client may name a place for its records.

Kafka answers so where it has forgotten the batch; here librdkafka's own mock of a broker does, which needs no part.
"""

import asyncio
import ctypes
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import confluent_kafka
import pytest

from runtime.aio_kafka import LogProducer
from runtime.kafka import Producer
from runtime.log_port import Log
from runtime.settings import Settings, settings_from
from schemas.errors import TransientError
from schemas.records import Coordinates

_PRODUCE = 0
_DUPLICATE_SEQUENCE = 46
_KNOWN, _DOUBTED = 8, 40


@dataclass(frozen=True, slots=True)
class Broker:
    """One of librdkafka's mock brokers."""

    library: ctypes.CDLL
    cluster: ctypes.c_void_p
    bootstrap: str

    def forget(self, requests: int) -> None:
        """Answer so many requests to append with "sent before"."""
        errors = [ctypes.c_int(_DUPLICATE_SEQUENCE)] * requests
        self.library.rd_kafka_mock_push_request_errors(
            self.cluster, ctypes.c_int16(_PRODUCE), ctypes.c_size_t(requests), *errors
        )


@pytest.fixture
def broker() -> Iterator[Broker]:
    (path,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka-*")
    library = ctypes.CDLL(str(path))
    for function in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, function).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    message = ctypes.create_string_buffer(512)
    client = ctypes.c_void_p(library.rd_kafka_new(0, ctypes.c_void_p(library.rd_kafka_conf_new()), message, 512))
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(client, 1))
    try:
        yield Broker(library, cluster, library.rd_kafka_mock_cluster_bootstraps(cluster).decode())
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)


@pytest.fixture(params=["confluent", "aiokafka"])
async def log(request: pytest.FixtureRequest, broker: Broker) -> AsyncIterator[Log]:
    settings: Settings = settings_from({"MILLSTREAM_KAFKA_BOOTSTRAP": broker.bootstrap})
    if request.param == "confluent":
        producer = Producer(settings)
        yield producer
        await producer.close()
    else:
        aio = LogProducer(settings)
        await aio.start()
        yield aio
        await aio.stop()


async def appended(log: Log, number: int) -> list[Coordinates | BaseException]:
    return await asyncio.gather(
        *(log.append("told", 0, str(one), b"value") for one in range(number)), return_exceptions=True
    )


async def test_no_record_of_a_batch_whose_place_is_unknown_is_given_one(log: Log, broker: Broker) -> None:
    known = await appended(log, _KNOWN)
    assert [at.offset for at in known if isinstance(at, Coordinates)] == list(range(_KNOWN))
    broker.forget(requests=2)
    doubted = await appended(log, _DOUBTED)
    unknown = [at for at in doubted if isinstance(at, TransientError) and "unknown offset" in str(at)]
    told = [at.offset for at in doubted if isinstance(at, Coordinates)]
    assert len(unknown) > 1
    assert len(unknown) + len(told) == _DOUBTED
    assert told == list(range(_KNOWN, _KNOWN + len(told)))


async def test_what_follows_is_told_its_place_again(log: Log, broker: Broker) -> None:
    await appended(log, _KNOWN)
    broker.forget(requests=1)
    await appended(log, 1)
    assert await log.append("told", 0, "k", b"value") == Coordinates(topic="told", partition=0, offset=_KNOWN)
