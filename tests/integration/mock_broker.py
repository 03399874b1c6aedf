"""librdkafka's own mock of a broker, in this process: what clients do with a group needs no real part."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka.admin import AdminClient


@contextmanager
def mock_broker() -> Iterator[str]:
    """Its address, for as long as `with` lasts. A topic is made with four partitions by its first record."""
    admin = AdminClient({"bootstrap.servers": "", "test.mock.num.brokers": 1})
    (broker,) = admin.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del admin
