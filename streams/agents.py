"""The agents: what each stage does with one record, and how Faust's events reach the window.

An agent decodes through the flow, publishes the outcome, returns; the window acknowledges. A PermanentError becomes a
dead letter; anything else that is raised ends the process.
"""

from typing import cast

from faust import Stream, StreamT
from faust.types import EventT
from mode import CrashingSupervisor

from runtime.faults import Point, reach
from runtime.log_port import Log
from schemas.codec import encode
from schemas.errors import PermanentError
from schemas.headers import Again, headers_of, stated_again
from schemas.records import Coordinates, Mutation
from schemas.topics import Topics
from streams.app import StageApp
from streams.apply import Applier
from streams.dead_letters import DeadLetters
from streams.hide import Hider
from streams.journal import Journal
from streams.pipeline import Pipeline, prepare
from streams.window import Delivery, Lease, Work

_KafkaHeaders = list[tuple[str, bytes | None]]


def prepare_agent(pipeline: Pipeline, log: Log, topic: str, letters: DeadLetters, journal: Journal) -> Work:
    """documents.changes -> index.mutations.<generation>."""

    async def work(delivery: Delivery, _lease: Lease) -> None:
        with journal.record(delivery) as line:
            try:
                mutation = await prepare(delivery, pipeline)
                reach(Point.PREPARE_1)
                with journal.step("publish"):
                    await publish(mutation, log, topic, pipeline.topics, stated_again(delivery.headers))
                reach(Point.PREPARE_2)
                line.prepared(mutation)
            except PermanentError as error:
                await letters.put(delivery, error, attempts=1)
                line.dead_lettered(error.reason)

    return work


async def publish(mutation: Mutation, log: Log, topic: str, topics: Topics, again: Again | None = None) -> Coordinates:
    """Append a mutation to its tenant's partition, with its change's mark. Raises TooLargeError for one over the log's
    limit.
    """
    partition = topics.partition(topic, tenant=mutation.tenant)
    return await log.append(topic, partition, mutation.key, encode(mutation), headers_of(mutation, again))


def apply_agent(applier: Applier, letters: DeadLetters, journal: Journal) -> Work:
    """index.mutations.<generation> -> the index."""

    async def work(delivery: Delivery, lease: Lease) -> None:
        with journal.record(delivery) as line:
            try:
                mutation, outcome = await applier.apply(delivery, lease)
                line.applied(mutation, outcome)
            except PermanentError as error:
                await letters.put(delivery, error, attempts=1)
                line.dead_lettered(error.reason)

    return work


def hide_agent(hider: Hider, journal: Journal) -> Work:
    """documents.changes -> index.hides."""

    async def work(delivery: Delivery, lease: Lease) -> None:
        with journal.record(delivery) as line:
            line.passed(await hider.pass_on(delivery, lease))

    return work


def apply_hides_agent(applier: Applier, letters: DeadLetters, journal: Journal) -> Work:
    """index.hides -> the index."""

    async def work(delivery: Delivery, lease: Lease) -> None:
        with journal.record(delivery) as line:
            try:
                hide, outcome = await applier.hide(delivery, lease)
                line.hid(hide, outcome)
            except PermanentError as error:
                await letters.put(delivery, error, attempts=1)
                line.withdrawal_lost(error.reason)

    return work


def add_agent(app: StageApp, topic: str, prefix: str) -> None:
    """Feed the records of `topic` into the app's window."""
    channel = app.topic(prefix + topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(channel, name=topic, concurrency=1, supervisor_strategy=CrashingSupervisor)
    async def agent(stream: StreamT[bytes]) -> None:
        async for event in cast(Stream[bytes], stream).noack().events():
            await app.window.put(delivery_of(event, topic))


def delivery_of(event: EventT[bytes], topic: str) -> Delivery:
    """A Faust event as the window takes it; `topic` is without the installation's prefix."""
    message = event.message
    return Delivery(
        coordinates=Coordinates(topic=topic, partition=message.partition, offset=message.offset),
        key=message.key,
        value=message.value,
        # Kafka lets a header have no value.
        headers=tuple((name, value or b"") for name, value in cast(_KafkaHeaders, message.headers) or ()),
        ack=event.ack,
    )
