"""The webhook receiver's process: `python -m connectors.webhook`.

Reads settings and files, checks the topic, serves until SIGTERM or SIGINT, finishes what is under way, ends. A fault at
start-up is one line and exit code 1.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial

import structlog
import uvloop
from aiohttp import web

from connectors.webhook.app import build_app
from connectors.webhook.memory import EVENT_LIMIT, RECALLED, LoggedEvents, logged_events
from connectors.webhook.receiver import ACK_SECONDS, CONNECTOR, Limits, Receiver
from connectors.webhook.registry import Registry, load_senders
from runtime import logs
from runtime.clock import SystemClock
from runtime.declarations import load_topics
from runtime.faults import arm
from runtime.freshness_token import token_key
from runtime.kafka import KafkaAdmin, Producer, read_topic
from runtime.metrics import Metrics
from runtime.settings import Settings, load_settings
from schemas.errors import ConfigError, MillstreamError
from schemas.topics import CHANGES, Topics

SHUTDOWN_SECONDS = 20.0
FATAL_POLL_SECONDS = 1.0

log = structlog.get_logger("millstream.webhook")


def check_topic(admin: KafkaAdmin, topics: Topics) -> None:
    """Raises ConfigError unless documents.changes exists with the partition count of topics.yaml."""
    _, partitions = admin.topic_facts([CHANGES])[CHANGES]
    wanted = topics.partitions(CHANGES)
    if partitions != wanted:
        raise ConfigError(f"topic {CHANGES} has {partitions} partitions and topics.yaml says {wanted}")


def recall(settings: Settings, admin: KafkaAdmin, now: datetime) -> LoggedEvents:
    """The events of the last minutes before `now`, and since, from the end of the log. Raises TransientError."""
    since = admin.offsets_at(CHANGES, round((now - RECALLED).timestamp() * 1000))
    ends = admin.end_offsets(CHANGES)
    most = EVENT_LIMIT // len(ends)
    start = {partition: max(offset, ends[partition] - most) for partition, offset in since.items()}
    events = logged_events(read_topic(settings, CHANGES, start=start), CONNECTOR)
    log.info("events recalled", events=len(events))
    return events


async def serve(settings: Settings) -> None:
    """Run until told to stop. Raises MillstreamError when it cannot start or cannot go on."""
    metrics = Metrics()
    logs.configure(settings, "webhook", metrics)
    arm(settings.faults_dir, "ingest", settings.state_dir)
    logs.log_crashes()
    key = token_key(settings.token_key.get_secret_value())
    topics = load_topics(settings)
    registry = Registry(settings, partial(load_senders, settings, os.environ), metrics)
    admin = KafkaAdmin(settings, seconds=3.0)
    await asyncio.to_thread(check_topic, admin, topics)
    # Shorter than the wait of a request, so that most failures are told by Kafka and not by the clock.
    producer = Producer(settings, delivery_seconds=ACK_SECONDS - 1)
    clock = SystemClock()
    events = await asyncio.to_thread(recall, settings, admin, clock.now())
    receiver = Receiver(
        registry,
        producer,
        topics,
        key,
        Limits(settings.max_document_bytes),
        clock,
        metrics,
        events,
        partial(recall, settings, admin),
    )

    async def not_ready() -> Sequence[str]:
        reasons = [] if registry.fault is None else [registry.fault]
        if producer.fatal is not None:
            reasons.append("the Kafka producer cannot go on")
        if not await asyncio.to_thread(admin.ready):
            reasons.append("Kafka does not answer")
        return reasons

    runner = web.AppRunner(build_app(receiver, metrics, not_ready), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    watching = asyncio.create_task(registry.watch())
    try:
        await _listen(runner, settings)
        await _until_told(producer, watching)
    finally:
        watching.cancel()
        await runner.cleanup()
        await receiver.drain()
        left = await producer.close()
        log.info("stopped", unacknowledged=left)


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    site = web.TCPSite(runner, settings.ingest_host, settings.ingest_port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(f"cannot listen on {settings.ingest_host}:{settings.ingest_port}: {error.strerror}") from None
    log.info("listening", host=settings.ingest_host, port=runner.addresses[0][1])


async def _until_told(producer: Producer, watching: "asyncio.Task[None]") -> None:
    """Until a signal, until the producer is of no more use, or until nobody watches the sources any more."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    while not told.is_set():
        if producer.fatal is not None:
            raise MillstreamError(f"the Kafka producer cannot go on ({producer.fatal}): start this process again")
        if watching.done():
            watching.result()
            raise MillstreamError("the watch over the sources ended: start this process again")
        try:
            await asyncio.wait_for(told.wait(), FATAL_POLL_SECONDS)
        except TimeoutError:
            continue


def main() -> int:
    """Entry point; returns the exit code."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(load_settings()))
    except MillstreamError as error:
        print(f"connectors.webhook: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
