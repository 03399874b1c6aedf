"""Builds each stage out of its parts. What only one stage needs is imported where that stage is built: a process
carries what it runs (prepare no store, apply no model and no parser).
"""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator, Sequence

from runtime.aio_kafka import KafkaShare, LogProducer
from runtime.clock import Clock, SystemClock
from runtime.declarations import load_sources, load_topics
from runtime.kafka import KafkaAdmin
from runtime.log_port import Log, StoredRecord
from runtime.metrics import Metrics
from runtime.settings import Settings
from runtime.watched_files import WatchedFiles
from schemas.errors import MillstreamError
from schemas.identity import Tenant
from schemas.records import Coordinates
from schemas.sources import SourceConfig, Sources
from schemas.topics import CHANGES, COMMITS, DLQ, GENERATIONS, HIDES, Topics, mutations_topic
from streams.agents import add_agent, apply_agent, apply_hides_agent, hide_agent, prepare_agent
from streams.app import StageApp, build_app
from streams.commit_log import LastingLog, LogCommits
from streams.core.letter_limit import LetterLimit
from streams.dead_letters import DeadLetters
from streams.groups import HIDE_GROUP, apply_group, capture_group, hides_group, prepare_group
from streams.hide import Hider
from streams.hide_feed import HideFeed
from streams.journal import Journal
from streams.parse.limits import Limits
from streams.process import Activity, Hook, Runs, StageProcess
from streams.startup import begin_where_the_store_stands, check_generation, check_index, check_topics
from streams.window import Delivery, OnAck, Window, Work

CAPTURE = "capture"
PREPARE = "prepare"
APPLY = "apply"
HIDE = "hide"
APPLY_HIDES = "apply.hides"
"""What `apply` does with index.hides, in metrics and log lines."""

_WINDOW_BYTES = 48 * 1024 * 1024
_PARSERS = 2
"""So that a document that takes long to read does not hold back the others."""


def _nobody(_partition: int, _offset: int) -> None:
    """Prepare has no store to tell its offsets."""


def _never(_delivery: Delivery) -> bool:
    return False


async def build(stage: str, settings: Settings, metrics: Metrics) -> Runs:
    """One stage, checked and ready to run. Raises ConfigError and TransientError."""
    clock = SystemClock()
    if stage == CAPTURE:
        return _capture(settings, metrics, clock)
    built = {PREPARE: _prepare, APPLY: _apply, HIDE: _hide}
    return await built[stage](settings, metrics, clock)


def _capture(settings: Settings, metrics: Metrics, clock: SystemClock) -> Runs:
    from connectors.debezium.health import SourceHealth, watch
    from streams.capture_lanes import CaptureProcess

    declared = WatchedFiles([settings.sources_file], lambda: load_sources(settings), metrics)

    async def build_lane(source: SourceConfig) -> StageProcess:
        return await _lane(source, declared, settings, metrics, clock)

    async def watch_connectors(sources: Sources) -> None:
        await watch(SourceHealth(settings, dict(os.environ), sources, clock), metrics, clock)

    return CaptureProcess(declared, build_lane, watch_connectors, metrics, settings.metrics_port)


async def _lane(
    source: SourceConfig, declared: WatchedFiles[Sources], settings: Settings, metrics: Metrics, clock: SystemClock
) -> StageProcess:
    """What captures one source."""
    from connectors.debezium.names import capture_topic
    from connectors.debezium.postgres import CurrentRows, SourceDatabase, dsn_of
    from runtime.kafka import read_topic
    from streams.capture import Capturer, is_barrier
    from streams.capture_lanes import capture_agent, lane_name

    topics, topic, name = load_topics(settings), capture_topic(source.name), lane_name(source)
    await asyncio.to_thread(check_topics, settings, topics, (topic, CHANGES, DLQ))
    activity, producer = Activity(), LogProducer(settings)
    log = LastingLog(producer)

    def read(wanted: str, first: int | None) -> Iterator[StoredRecord]:
        return read_topic(settings, wanted, start=None if first is None else {0: first})

    assert source.postgres is not None, "only sources of kind postgres are captured"
    rows = CurrentRows(lambda: SourceDatabase(dsn_of(source, os.environ), source.name), source.postgres)

    def declaration() -> SourceConfig | None:
        declared.reload()
        return declared.current.get(source.name)

    capturer = Capturer(
        source,
        log,
        topics,
        clock,
        read,
        max_bytes=settings.max_document_bytes,
        declared=declaration,
        current_row=rows,
        step=activity.stepped,
        waits_changed=activity.waits_changed,
    )
    letters = _letters(settings, log, topics, CAPTURE, clock, lambda: app.window.finished)
    journal = Journal(CAPTURE, metrics, clock)
    work = capture_agent(capturer, letters, journal, metrics, lambda: lane.stop.set())
    app = _app(settings, capture_group(source.name), topic, work, is_barrier=is_barrier)
    stops = (producer.stop, rows.close)
    lane = _process(settings, name, topic, app, metrics, clock, activity, (producer.start,), stops)
    return lane


async def _hide(settings: Settings, metrics: Metrics, clock: SystemClock) -> StageProcess:
    topics = load_topics(settings)
    await asyncio.to_thread(check_topics, settings, topics, (CHANGES, HIDES))
    producer = LogProducer(settings)
    hider = Hider(LastingLog(producer), topics, clock)
    app = _app(settings, HIDE_GROUP, CHANGES, hide_agent(hider, Journal(HIDE, metrics, clock)))
    return _process(settings, HIDE, CHANGES, app, metrics, clock, Activity(), (producer.start,), (producer.stop,))


def _limits(settings: Settings) -> Limits:
    return Limits(
        pages=settings.parse_pages,
        elements=settings.parse_elements,
        unpacked_mb=settings.parse_unpacked_mb,
        nesting=settings.parse_nesting,
    )


async def _prepare(settings: Settings, metrics: Metrics, clock: SystemClock) -> StageProcess:
    from index.embedding.choice import open_embedder
    from streams.core.recipe import recipe_fingerprint
    from streams.parse.pool import ParserPool
    from streams.pipeline import Pipeline
    from streams.recipe import recipe_of
    from streams.redact.policies import SourcePolicies
    from streams.vector_stores import open_vector_store
    from streams.vectors import Vectors

    topics = load_topics(settings)
    target = mutations_topic(settings.generation)
    await asyncio.to_thread(check_topics, settings, topics, (CHANGES, target, DLQ, GENERATIONS))
    key = settings.redaction_key.get_secret_value().encode()
    policies = SourcePolicies(settings.sources_file, lambda: load_sources(settings), key, metrics)
    parser = ParserPool(
        _PARSERS,
        seconds=settings.parse_seconds,
        memory_mb=settings.parse_memory_mb,
        kinds=policies.sought,
        limits=_limits(settings),
    )
    embedder, _ = await asyncio.gather(
        asyncio.to_thread(open_embedder, settings),
        parser.start(),
    )
    parts = recipe_of(embedder.fingerprint, settings.chunk_tokens)
    await asyncio.to_thread(check_generation, settings, parts)
    activity, producer = Activity(), LogProducer(settings)
    log = LastingLog(producer)
    journal = Journal(PREPARE, metrics, clock)
    store = open_vector_store(settings, embedder.fingerprint, embedder.dimension)
    vectors = Vectors(embedder, store=store, on_step=activity.stepped, on_answer=journal.embedded)
    pipeline = Pipeline(
        parser=parser,
        policies=policies,
        tokens=embedder,
        vectors=vectors,
        embedder=embedder.fingerprint,
        max_tokens=min(embedder.max_tokens, settings.chunk_tokens or embedder.max_tokens),
        recipe=recipe_fingerprint(parts),
        max_document_bytes=settings.max_document_bytes,
        topics=topics,
        clock=clock,
        step=journal.step,
        found_personal=journal.found_personal,
    )
    letters = _letters(settings, log, topics, PREPARE, clock, lambda: app.window.finished)
    work = prepare_agent(pipeline, log, target, letters, journal)

    async def warm_up() -> None:
        await vectors.of([("", "The first text a model embeds takes longer than the others.")])

    async def close_vectors() -> None:
        await asyncio.to_thread(vectors.close)

    app = _app(settings, prepare_group(settings.generation), CHANGES, work)
    starts, stops = (producer.start, warm_up), (parser.close, close_vectors, producer.stop)
    return _process(settings, PREPARE, CHANGES, app, metrics, clock, activity, starts, stops)


async def _apply(settings: Settings, metrics: Metrics, clock: SystemClock) -> StageProcess:
    from index.sweeper import SweepPolicy
    from index.weaviate import open_index
    from index.went_back import lost_from, went_back
    from index.writer import TenantWriter
    from runtime.kafka import RecordReader, read_topic
    from streams.apply import Applier
    from streams.audit_parts import auditing
    from streams.heal import Healer
    from streams.history import TenantHistory
    from streams.keeping import Keeper
    from streams.restored import (
        ConfirmedCommits,
        Restoration,
        StoreKeeping,
        StoreWatch,
        confirmed,
        go_back_with_the_store,
    )
    from streams.store_offsets import StoreOffsets
    from streams.tenant_queue import Bounds, Hooks

    topics = load_topics(settings)
    source = mutations_topic(settings.generation)
    facts = await asyncio.to_thread(check_topics, settings, topics, (CHANGES, source, HIDES, COMMITS, DLQ))
    history = TenantHistory(settings.sources_file, lambda: load_sources(settings), settings.history_hours, metrics)
    index = open_index(settings)
    await check_index(index, facts)
    group = apply_group(index.identity)
    lost = await lost_from(index, settings)
    if lost is not None:
        await go_back_with_the_store(index, KafkaAdmin(settings), lost)
    await begin_where_the_store_stands(index, KafkaAdmin(settings), group, source)
    watch = StoreWatch(index, lambda: went_back(index, settings))
    activity, producer = Activity(), LogProducer(settings)
    log = LastingLog(producer)
    journal = Journal(APPLY, metrics, clock)
    commits = ConfirmedCommits(LogCommits(log, topics, journal.took_over), watch)
    name = f"{socket.gethostname()}/{os.getpid()}"

    def writer_for(tenant: Tenant) -> TenantWriter:
        policy = SweepPolicy(history=lambda: history.kept_for(tenant))
        return TenantWriter(index, commits, tenant, clock, name=name, sweep=policy)

    letters = _letters(settings, log, topics, APPLY, clock, lambda: app.window.finished)
    hides = Journal(APPLY_HIDES, metrics, clock)

    def committed(items: int, seconds: float) -> None:
        activity.stepped()  # while hides go first, no mutation is acknowledged
        journal.committed(items, seconds)

    def sweep_failed(error: Exception) -> None:
        if isinstance(error, MillstreamError):
            journal.sweep_failed(error)
        else:
            app.crash_soon(error)

    records = RecordReader(settings)

    async def close_reader() -> None:
        await asyncio.to_thread(records.close)

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
    applier = Applier(
        writer_for, letters, topics, Bounds(settings.group_commit), hooks, Healer(index, log, records.at, read)
    )
    work = apply_agent(applier, letters, journal)
    offsets = StoreOffsets(confirmed(index.put_acknowledged, watch), lambda error: app.crash_soon(error))
    app = _app(settings, group, source, work, offsets.note)
    feed = HideFeed(
        KafkaShare(settings, HIDES, hides_group(index.identity)),
        apply_hides_agent(applier, letters, hides),
        app.assigned,
        lambda: app.window.lease,
        app.crash_soon,
    )
    keeper = Keeper(
        index,
        clock,
        owned=lambda tenant: topics.partition(source, tenant=tenant) in app.assigned(),
        lease=lambda: app.window.lease,
        kept_for=history.kept_for,
        keep=applier.keep,
        failed=sweep_failed,
        crash=app.crash_soon,
    )
    restoration = Restoration(
        index,
        settings,
        topics,
        log,
        now=clock.now,
        assigned=app.assigned,
        begin_history=lambda tenant: applier.begin_history(tenant, app.window.lease),
    )
    starts: list[Hook] = []
    stops: list[Hook] = []
    if settings.audit_share > 0:
        audit, end_audit = auditing(
            settings,
            topics,
            log,
            commits,
            owned=lambda tenant: topics.partition(source, tenant=tenant) in app.assigned(),
            begin_history=lambda tenant: applier.begin_history(tenant, app.window.lease),
            keep=lambda tenant: applier.keep(tenant, app.window.lease),
            metrics=metrics,
            clock=clock,
            crash=app.crash_soon,
        )
        starts, stops = [audit.start], [end_audit]
    keeping = StoreKeeping(index, watch, restoration, app.crash_soon, is_restored=lost is not None)
    starts = [producer.start, keeping.start, feed.start, keeper.start, *starts]
    stops += (keeping.stop, keeper.stop, feed.stop, offsets.flush, close_reader, producer.stop, index.close)
    return _process(settings, APPLY, source, app, metrics, clock, activity, starts, stops)


def _letters(
    settings: Settings, log: Log, topics: Topics, stage: str, clock: Clock, finished: Callable[[], int]
) -> DeadLetters:
    limit = LetterLimit(settings.dead_letter_burst, settings.dead_letter_share)
    return DeadLetters(log, topics, stage, clock, limit=limit, finished=finished)


def _app(
    settings: Settings,
    group: str,
    topic: str,
    work: Work,
    on_ack: OnAck = _nobody,
    is_barrier: Callable[[Delivery], bool] = _never,
) -> StageApp:
    app = build_app(settings, group)
    app.window = Window(
        work,
        app.crash_soon,
        records=settings.window,
        max_bytes=_WINDOW_BYTES,
        on_ack=on_ack,
        is_barrier=is_barrier,
    )
    add_agent(app, topic, settings.kafka_topic_prefix)
    return app


def _process(
    settings: Settings,
    stage: str,
    topic: str,
    app: StageApp,
    metrics: Metrics,
    clock: SystemClock,
    activity: Activity,
    starts: Sequence[Hook],
    stops: Sequence[Hook],
) -> StageProcess:
    return StageProcess(
        stage=stage,
        app=app,
        topic=settings.kafka_topic_prefix + topic,
        metrics=metrics,
        metrics_port=settings.metrics_port,
        clock=clock,
        activity=activity,
        starts=starts,
        stops=stops,
    )
