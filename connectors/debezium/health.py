"""Looks at every captured source, for `millstream status` and `doctor`, and for the process that watches them.

Looking changes nothing; watching starts a task again that failed for a passing reason, and says what turned bad and
what turned good: one log line and one count of ALERTS each.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import structlog

from connectors.debezium.connect_client import ConnectClient, unanswered
from connectors.debezium.names import capture_topic, connector_name, slot_name
from connectors.debezium.postgres import SourceDatabase, dsn_of
from connectors.debezium.tables import TableFacts, check_table
from connectors.debezium.wellness import STALE_SECONDS, Seen, SourceFinding, judge, restart_due, turn
from runtime.clock import Clock
from runtime.kafka import KafkaAdmin
from runtime.metrics import ALERTS, Metrics
from runtime.settings import Settings
from schemas.errors import ConfigError, MillstreamError, TransientError
from schemas.sources import PostgresTable, SourceConfig, Sources

LOOK_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
"""A database that went silent keeps the others from being looked at no longer."""
FORGIVEN_SECONDS = 900.0
"""A task that ran for so long is started again at once when it fails."""

log = structlog.get_logger("millstream.connectors")


class SourceHealth:
    """The captured sources of one installation, and where to look. Holds nothing open."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], sources: Sources, clock: Clock) -> None:
        """`environment`: has the variables that sources name for their DSNs."""
        self._settings = settings
        self._environment = environment
        self._sources = sources
        self._clock = clock
        self._kafka = KafkaAdmin(settings)

    async def look(self) -> tuple[SourceFinding, ...]:
        """Findings about every source, in their order. Never raises for what is outside: that is a finding."""
        if not self._sources.captured:
            return ()
        async with ConnectClient(self._settings.connect_url) as connect:
            try:
                seen = await asyncio.gather(*(self._see(connect, source) for source in self._sources.captured))
            except MillstreamError:
                return (SourceFinding("", "connect", False, unanswered(self._settings.connect_url)),)
        return tuple(finding for one in seen for finding in judge(one))

    async def restart(self, source: str) -> None:
        """Start a source's failed task again. Raises TransientError, ConfigError."""
        async with ConnectClient(self._settings.connect_url) as connect:
            await connect.restart(connector_name(self._settings.kafka_topic_prefix, source), only_failed=True)

    async def _see(self, connect: ConnectClient, source: SourceConfig) -> Seen:
        name = connector_name(self._settings.kafka_topic_prefix, source.name)
        slot = slot_name(self._settings.kafka_topic_prefix, source.name)
        config = await connect.config(name)
        assert source.postgres is not None
        seen = Seen(
            source.name,
            source.postgres.table,
            config=config,
            state=None if config is None else await connect.state(name),
            position=None if config is None else await connect.position(name),
            heard=None if config is None else await asyncio.to_thread(self._heard, source),
        )
        return await self._see_database(seen, source, source.postgres, slot)

    def _heard(self, source: SourceConfig) -> bool | None:
        since = self._clock.now() - timedelta(seconds=STALE_SECONDS)
        topic = capture_topic(source.name)
        try:
            first = self._kafka.offsets_at(topic, int(since.timestamp() * 1000))[0]
            return first < self._kafka.end_offsets(topic)[0]
        except MillstreamError:
            return None

    async def _see_database(self, seen: Seen, source: SourceConfig, table: PostgresTable, slot: str) -> Seen:
        try:
            database = SourceDatabase(dsn_of(source, self._environment), source.name)
            async with asyncio.timeout(_ANSWER_SECONDS):
                facts = await database.table_facts(table, slot)
                found = await database.slot(slot)
        except TimeoutError:
            return replace(seen, database_fault=f"Postgres did not answer for {_ANSWER_SECONDS:.0f} s")
        except (ConfigError, TransientError) as error:
            return replace(seen, database_fault=str(error))
        return replace(seen, facts=facts, slot=found, table_fault=_table_fault(source, facts, slot))


def _table_fault(source: SourceConfig, facts: TableFacts, slot: str) -> str:
    try:
        check_table(source, replace(facts, publication=None), slot)
    except ConfigError as error:
        return str(error)
    return ""


class SourceWatch:
    """Watches from one process; several may, and then each says what it sees."""

    def __init__(self, health: SourceHealth, metrics: Metrics, clock: Clock) -> None:
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._bad: Mapping[tuple[str, str], int] = {}
        self._restarts: dict[str, list[float]] = {}

    async def step(self) -> tuple[SourceFinding, ...]:
        """Look once, say what turned, and start again what may be; the findings."""
        findings = await self._health.look()
        turns = turn(self._bad, findings)
        self._bad = turns.bad
        for finding in turns.turned_bad:
            self._metrics.count(ALERTS, alert=f"source_{finding.name}")
            log.error("source_unwell", **_fields(finding))
        for finding in turns.turned_good:
            log.info("source_well_again", **_fields(finding))
        for finding in findings:
            if not finding.ok and finding.transient:
                await self._start_again(finding)
        return findings

    async def _start_again(self, finding: SourceFinding) -> None:
        now = self._clock.monotonic()
        recent = [at for at in self._restarts.get(finding.source, []) if now - at < FORGIVEN_SECONDS]
        if not restart_due(recent, now):
            return
        self._restarts[finding.source] = [*recent, now]
        try:
            await self._health.restart(finding.source)
        except MillstreamError as error:
            log.warning("source_not_restarted", source=finding.source, reason=str(error))
            return
        log.warning("source_restarted", source=finding.source, reason=finding.what)


async def watch(health: SourceHealth, metrics: Metrics, clock: Clock, *, every_seconds: float = LOOK_SECONDS) -> None:
    """Watch until cancelled."""
    watching = SourceWatch(health, metrics, clock)
    while True:
        await watching.step()
        await asyncio.sleep(every_seconds)


def _fields(finding: SourceFinding) -> dict[str, str]:
    return {"source": finding.source, "finding": finding.name, "what": finding.what, "remedy": finding.remedy}
