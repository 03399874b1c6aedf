"""Builds `apply`: one writer a tenant over mutations and hides, and what keeps the store right beside it."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Iterator, Mapping
from functools import partial

from index.port import VersionedIndex
from index.sweeper import SweepPolicy
from index.weaviate import open_index
from index.went_back import lost_from, went_back
from index.writer import TenantWriter
from runtime.aio_kafka import KafkaShare, LogProducer
from runtime.clock import Clock
from runtime.declarations import load_sources, load_topics
from runtime.kafka import KafkaAdmin, RecordReader, read_topic
from runtime.log_port import StoredRecord
from runtime.metrics import Metrics
from runtime.settings import Settings
from schemas.errors import MillstreamError
from schemas.identity import Tenant
from schemas.records import Coordinates
from schemas.topics import CHANGES, COMMITS, DLQ, HIDES, mutations_topic
from streams.agents import apply_agent, apply_hides_agent
from streams.apply import Applier
from streams.audit_parts import auditing
from streams.commit_log import LastingLog, LogCommits, LogLostError
from streams.generations import read_catalogue
from streams.groups import apply_group, hides_group
from streams.heal import Healer
from streams.hide_feed import HideFeed
from streams.hide_watch import HideWatch
from streams.history import TenantHistory
from streams.journal import Journal
from streams.keeping import Keeper
from streams.process import Activity, Hook, StageProcess
from streams.restored import (
    ConfirmedCommits,
    Restoration,
    StoreKeeping,
    StoreWatch,
    confirmed,
    go_back_with_the_store,
)
from streams.stage_parts import APPLY, open_letters, stage_app, stage_process
from streams.startup import TopicFacts, begin_where_the_store_stands, check_index, check_topics
from streams.store_offsets import OffsetKeeping, StoreOffsets
from streams.tenant_queue import Bounds, Hooks
from streams.window import Lease

_HIDES = "apply.hides"
"""What it does with index.hides, in metrics and log lines."""


async def build_apply(settings: Settings, metrics: Metrics, clock: Clock) -> StageProcess:
    """The stage, checked and ready to run. Raises ConfigError and TransientError."""
    topics = load_topics(settings)
    source = mutations_topic(settings.generation)
    facts = await asyncio.to_thread(check_topics, settings, topics, (CHANGES, source, HIDES, COMMITS, DLQ))
    history = TenantHistory(settings.sources_file, lambda: load_sources(settings), settings.history_hours, metrics)
    index = open_index(settings)
    group = apply_group(index.identity)
    lost = await _stand_where_the_store_does(index, settings, facts, group, source)

    activity, producer, records = Activity(), LogProducer(settings), RecordReader(settings)
    log = LastingLog(producer)
    journal, hides = Journal(APPLY, metrics, clock), Journal(_HIDES, metrics, clock)
    watch = StoreWatch(index, lambda: went_back(index, settings))
    commits = ConfirmedCommits(LogCommits(log, topics, journal.took_over), watch)
    name = f"{socket.gethostname()}/{os.getpid()}"

    def writer_for(tenant: Tenant) -> TenantWriter:
        policy = SweepPolicy(history=lambda: history.kept_for(tenant))
        return TenantWriter(index, commits, tenant, clock, name=name, sweep=policy)

    def committed(items: int, seconds: float) -> None:
        activity.stepped()  # while hides go first, no mutation is acknowledged
        journal.committed(items, seconds)

    def sweep_failed(error: Exception) -> None:
        if isinstance(error, MillstreamError) and not isinstance(error, LogLostError):
            journal.sweep_failed(error)
        else:
            app.crash_soon(error)

    def read(at: Coordinates) -> Iterator[StoredRecord]:
        return read_topic(settings, at.topic, start={at.partition: at.offset})

    hooks = Hooks(
        activity.waits_changed,
        journal.retried,
        committed,
        hides.hide_refused,
        journal.swept,
        sweep_failed,
        journal.healed,
    )
    letters = open_letters(settings, log, topics, APPLY, clock, lambda: app.window.finished)
    applier = Applier(
        writer_for, letters, topics, Bounds(settings.group_commit), hooks, Healer(index, log, records.at, read)
    )
    offsets = StoreOffsets(confirmed(index.put_acknowledged, watch), lambda error: app.crash_soon(error))
    app = stage_app(settings, group, source, apply_agent(applier, letters, journal), offsets.note)

    telling = OffsetKeeping(index, offsets, app.assigned, app.crash_soon)

    def lease() -> Lease:
        return app.window.lease

    def owned(tenant: Tenant) -> bool:
        return topics.partition(source, tenant=tenant) in app.assigned()

    def begin_history(tenant: Tenant) -> Awaitable[None]:
        return applier.begin_history(tenant, lease())

    feed = HideFeed(
        KafkaShare(settings, HIDES, hides_group(index.identity)),
        apply_hides_agent(applier, letters, hides),
        app.assigned,
        lease,
        app.crash_soon,
    )
    keeper = Keeper(
        index,
        clock,
        owned=owned,
        lease=lease,
        kept_for=history.kept_for,
        keep=applier.keep,
        failed=sweep_failed,
        crash=app.crash_soon,
    )
    admin = KafkaAdmin(settings)
    hide_watch = HideWatch(
        lambda: admin.lag(hides_group(index.identity), HIDES),
        lambda: feed.applied,
        app.assigned,
        activity,
        clock,
        app.crash_soon,
    )
    restoration = Restoration(
        index,
        partial(read_catalogue, settings),
        admin,
        topics,
        log,
        now=clock.now,
        assigned=app.assigned,
        begin_history=begin_history,
    )
    keeping = StoreKeeping(index, watch, restoration, app.crash_soon, is_restored=lost is not None)

    async def close_reader() -> None:
        await asyncio.to_thread(records.close)

    starts: list[Hook] = [producer.start, keeping.start, feed.start, hide_watch.start, keeper.start, telling.start]
    stops: list[Hook] = [
        keeping.stop,
        keeper.stop,
        hide_watch.stop,
        feed.stop,
        telling.stop,
        offsets.flush,
        close_reader,
        producer.stop,
        index.close,
    ]
    if settings.audit_share > 0:
        audit, end_audit = auditing(
            settings,
            topics,
            log,
            commits,
            owned=owned,
            begin_history=begin_history,
            keep=lambda tenant: applier.keep(tenant, lease()),
            metrics=metrics,
            clock=clock,
            crash=app.crash_soon,
        )
        starts.append(audit.start)
        stops.insert(0, end_audit)
    return stage_process(settings, APPLY, source, app, metrics, clock, activity, starts, stops)


async def _stand_where_the_store_does(
    index: VersionedIndex, settings: Settings, facts: TopicFacts, group: str, source: str
) -> Mapping[int, int] | None:
    """The group begins at what the store has acknowledged, and further back where a backup was put back: then what it
    lost is returned.
    """
    await check_index(index, facts)
    lost = await lost_from(index, settings)
    if lost is not None:
        await go_back_with_the_store(index, KafkaAdmin(settings), lost)
    await begin_where_the_store_stands(index, KafkaAdmin(settings), group, source)
    return lost
