"""A stage as a Faust app: with exactly the options that were proven to lose nothing (stack: Faust), and no others.

Faust reads, balances partitions and commits offsets. It decodes nothing, publishes nothing, serves no pages and never
acknowledges by itself. Before partitions are given up the window is drained; at the end of the process what it
acknowledged is committed.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, cast

import faust
import faust.streams
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalGenerationError, IllegalStateError, UnknownMemberIdError
from faust.auth import SASLCredentials, SSLCredentials
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from runtime.aio_kafka import ssl_context
from runtime.settings import Settings
from schemas.errors import ConfigError
from streams.window import Window

_FETCH_WAIT_MS = 100
"""aiokafka asks each broker once at a time, for the partitions it holds nothing of: a partition whose records were just
taken over waits for the question under way, with Faust's 1500 ms up to 1.5 s."""

_SESSION_SECONDS = 10
_HEARTBEAT_SECONDS = 1
_DRAIN_SECONDS = 3.0
"""A member hears with a heartbeat that another is gone, and a group goes on once its slowest member has let go: so a
take-over comes within the session and 5 s. What is not done by then is done again by whoever has the partition next.
"""
_OPTIONS: Mapping[str, object] = {
    "autodiscover": False,
    "topic_allow_declare": False,
    "topic_disable_leader": True,
    "web_enabled": False,
    # The window is drained before partitions are given up: what it drops must not be waited for.
    "stream_wait_empty": False,
    "worker_redirect_stdouts": False,
    "broker_session_timeout": _SESSION_SECONDS,
    "broker_heartbeat_interval": _HEARTBEAT_SECONDS,
    "broker_commit_interval": 0.3,
    # A member that has fetched nothing for so long leaves its group, and joins it only once it fetches again, which
    # Faust does only as a member: while a store is away for long nothing is fetched. The stage's own watch sees
    # whether anything moves.
    "broker_max_poll_interval": 100_000_000,
    # A leader whose broker did not know the topic yet, as after its start, gives its partitions to nobody until it asks
    # again: after five minutes, if it is not told otherwise.
    "consumer_metadata_max_age_ms": 5000,
    # Faust calls partitions that rested for five minutes stuck, many times a second, once something comes.
    "broker_commit_livelock_soft_timeout": 100_000_000,
    "stream_processing_timeout": 100_000_000,
    "broker_max_poll_records": 100,
    "stream_buffer_maxsize": 64,
    "producer_linger": 0,
    "consumer_auto_offset_reset": "earliest",
    "consumer_max_fetch_size": 4 * 1024 * 1024,
}


_LOGGER = logging.getLogger("faust.millstream")


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    logger = _LOGGER

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        return consumer

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        # One that is no member any more would write over whatever the group has been told meanwhile.
        if self._ensure_consumer()._coordinator.generation < 0:
            return False
        return bool(await super()._commit(offsets))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        return cast("Mapping[TP, int]", await self.call_thread(seek_to_acknowledged, self._ensure_consumer()))


async def seek_to_acknowledged(consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, int | None]:
    """Seek every partition to what its group has acknowledged, to its beginning where that is nothing.

    Faust throws away what it has fetched when a rebalance begins or has not ended yet, and seeks back; aiokafka leaves
    a partition of which nothing is acknowledged where it is, behind what was thrown away: those records were lost.
    """
    acknowledged = cast("dict[TopicPartition, int | None]", await consumer.seek_to_committed())
    never = {partition for partition, offset in acknowledged.items() if not offset} & consumer.assignment()
    if never:
        await consumer.seek_to_beginning(*never)
    return acknowledged


_IN_A_REBALANCE = (AssertionError, IllegalStateError, IllegalGenerationError, UnknownMemberIdError)
"""What a seek fails with when the partitions are somebody else's by now: the end of the rebalance seeks again."""
_SEEK_SECONDS = 60.0
"""Less than Faust gives a seek (broker_request_timeout): it would take the end of that for its own, and be silent."""


class _Consumer(driver.Consumer):
    logger = _LOGGER

    async def perform_seek(self) -> None:
        """Faust goes on where this fails, behind what it has thrown away: then the process ends.

        Raises IllegalStateError where another rebalance has begun meanwhile: Faust then waits for that one's end
        instead of letting records in during the seek that follows it.
        """
        app = cast("StageApp", self.app)
        began = app.rebalancing_count
        try:
            async with asyncio.timeout(_SEEK_SECONDS):
                await super().perform_seek()
        except _IN_A_REBALANCE:
            raise
        except Exception as error:
            app.crash_soon(error)
            raise
        if app.rebalancing_count != began:
            raise IllegalStateError("another rebalance began")

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):
    Consumer = _Consumer


class StageApp(faust.App):
    """One stage of one process. Give it its window before it starts."""

    logger = _LOGGER
    window: Window

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """None: they are for tables, which a stage does not have, and would lie in whatever folder it is started in."""

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self.let_go(_DRAIN_SECONDS)
        await super()._on_partitions_revoked(revoked)
        self.window.renew()

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Faust lets records in while it seeks if it had no partition before, and clears them from its queues then."""
        self.consumer.stop_flow()
        self.flow_control.suspend()
        await super()._on_partitions_assigned(assigned, generation_id)

    async def let_go(self, seconds: float) -> None:
        """Let running records finish, at most so long, and commit what they acknowledged, but in a rebalance: Faust has
        forgotten by then what it had not committed, and it comes again. Nothing is cancelled.
        """
        await self.window.drain(seconds)
        if self.assigned():
            await self.consumer.commit()

    def assigned(self) -> frozenset[int]:
        """Numbers of the partitions this process has now."""
        if not self.started or self.rebalancing or self.unassigned:
            return frozenset()
        try:
            return frozenset(tp.partition for tp in self.consumer.assignment())
        except ConsumerNotStarted:
            return frozenset()  # the app is starting

    @property
    def is_member(self) -> bool:
        """Whether its group knows this process, and no rebalance is under way. An error that aiokafka's coordinator has
        for its user waits for ever, for Faust does not ask for it; the process is out of its group meanwhile.
        """
        if not self.started or self.rebalancing:
            return False
        try:
            coordinator = cast(driver.Consumer, self.consumer)._thread._ensure_consumer()._coordinator
        except ConsumerNotStarted:
            return False
        return coordinator.generation >= 0 and coordinator._pending_exception is None

    def lag(self, topic: str) -> dict[int, int]:
        """Partition -> records not acknowledged, as far as the broker's answers so far tell."""
        committed = cast(driver.Consumer, self.consumer)._committed_offset
        lags: dict[int, int] = {}
        for number in self.assigned():
            try:
                end = self.consumer.highwater(TP(topic, number))
            except (AssertionError, AttributeError):
                break  # the consumer's thread began a rebalance meanwhile
            if end is not None:
                done = self.window.positions.get(number, committed[TP(topic, number)]) or 0
                lags[number] = max(0, end - done)
        return lags

    def crash_soon(self, error: BaseException) -> None:
        """End the process because of `error`; for callers that cannot wait."""
        self.add_future(self.crash(error))


def build_app(settings: Settings, group: str) -> StageApp:
    """An app whose consumer group is `group` with the installation's prefix. Connects to nothing yet.

    Raises ConfigError.
    """
    if getattr(faust.streams, "_CStreamIterator", None) is None:
        raise ConfigError(
            "faust-streaming was installed without its C extension, whose replacement acknowledges what it skips:"
            " install a wheel, and unset NO_CYTHON"
        )
    options: dict[str, Any] = dict(_OPTIONS)
    return StageApp(
        settings.kafka_topic_prefix + group,
        broker=[f"kafka://{server}" for server in settings.kafka_bootstrap.split(",")],
        broker_credentials=_credentials(settings),
        **options,
    )


def _credentials(settings: Settings) -> SASLCredentials | SSLCredentials | None:
    context = ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
            ssl_context=context,
            mechanism=settings.kafka_sasl_mechanism,
        )
    return SSLCredentials(context) if context is not None else None
