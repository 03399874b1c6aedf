"""What retention removes before a stage has read it is told when the stage starts."""

import asyncio

import pytest

from runtime.kafka import KafkaAdmin, Producer
from runtime.metrics import ALERTS, Metrics
from runtime.settings import Settings
from schemas.topics import ConcreteTopic
from streams.startup import tell_of_expired
from tests.integration.expiry import expire

pytestmark = pytest.mark.parts

TOPIC = "expired.records"


async def test_records_that_expired_unread_are_an_alert(stack_settings: Settings) -> None:
    admin, producer = KafkaAdmin(stack_settings), Producer(stack_settings)
    admin.apply(admin.plan([ConcreteTopic(name=TOPIC, partitions=2, config={"cleanup.policy": "delete"})]))
    for partition in (0, 1):
        for number in range(5):
            await producer.append(TOPIC, partition, "k", str(number).encode())
    await producer.close()
    await asyncio.to_thread(admin.set_group_offsets, "late", TOPIC, {0: 1, 1: 4})
    await asyncio.to_thread(admin.set_group_offsets, "in-time", TOPIC, {0: 4})
    for partition in (0, 1):
        await asyncio.to_thread(expire, stack_settings, TOPIC, partition, upto=4)

    assert await asyncio.to_thread(admin.expired, "late", TOPIC) == {0: 3}
    for group, alerts in (("late", 1), ("in-time", 0), ("new", 0)):
        metrics = Metrics()
        await tell_of_expired(stack_settings, group, TOPIC, metrics)
        assert metrics.value(ALERTS, alert="records_expired") == alerts


async def test_a_start_does_not_wait_for_a_kafka_that_is_away(stack_settings: Settings) -> None:
    metrics = Metrics()
    away = stack_settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    await tell_of_expired(away, "late", TOPIC, metrics)
    assert metrics.value(ALERTS, alert="records_expired") == 0
