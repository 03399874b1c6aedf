"""Builds each stage out of its parts. What only one stage needs is imported where that stage is built: a process
carries what it runs (prepare no store, apply no model and no parser).
"""

import asyncio
import os
from collections.abc import Iterator
from functools import partial

from runtime.aio_kafka import LogProducer
from runtime.clock import SystemClock
from runtime.declarations import load_sources, load_topics
from runtime.log_port import StoredRecord
from runtime.metrics import Metrics
from runtime.settings import Settings
from runtime.watched_files import WatchedFiles
from schemas.sources import SourceConfig, Sources
from schemas.topics import CHANGES, DLQ, GENERATIONS, HIDES, mutations_topic
from streams.agents import hide_agent, prepare_agent
from streams.commit_log import LastingLog
from streams.groups import HIDE_GROUP, capture_group, prepare_group
from streams.hide import Hider
from streams.journal import Journal
from streams.parse.limits import Limits
from streams.process import Activity, Runs, StageProcess
from streams.stage_parts import APPLY, CAPTURE, HIDE, PREPARE, open_letters, stage_app, stage_process
from streams.startup import check_generation, check_topics, tell_of_expired

_PARSERS = 2
"""So that a document that takes long to read does not hold back the others."""


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
    letters = open_letters(settings, log, topics, CAPTURE, clock, lambda: app.window.finished)
    journal = Journal(CAPTURE, metrics, clock)
    work = capture_agent(capturer, letters, journal, metrics, lambda: lane.stop.set())
    group = capture_group(source.name)
    app = stage_app(settings, group, topic, work, is_barrier=is_barrier)
    # Of the topics that stages read, this one alone has a retention.
    starts = (partial(tell_of_expired, settings, group, topic, metrics), producer.start)
    stops = (producer.stop, rows.close)
    lane = stage_process(settings, name, topic, app, metrics, clock, activity, starts, stops)
    return lane


async def _hide(settings: Settings, metrics: Metrics, clock: SystemClock) -> StageProcess:
    topics = load_topics(settings)
    await asyncio.to_thread(check_topics, settings, topics, (CHANGES, HIDES))
    producer = LogProducer(settings)
    hider = Hider(LastingLog(producer), topics, clock)
    app = stage_app(settings, HIDE_GROUP, CHANGES, hide_agent(hider, Journal(HIDE, metrics, clock)))
    return stage_process(settings, HIDE, CHANGES, app, metrics, clock, Activity(), (producer.start,), (producer.stop,))


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
        found_unread=journal.found_unread,
    )
    letters = open_letters(settings, log, topics, PREPARE, clock, lambda: app.window.finished)
    work = prepare_agent(pipeline, log, target, letters, journal)

    async def warm_up() -> None:
        await vectors.of([("", "The first text a model embeds takes longer than the others.")])

    async def close_vectors() -> None:
        await asyncio.to_thread(vectors.close)

    app = stage_app(settings, prepare_group(settings.generation), CHANGES, work)
    starts, stops = (producer.start, warm_up), (parser.close, close_vectors, producer.stop)
    return stage_process(settings, PREPARE, CHANGES, app, metrics, clock, activity, starts, stops)


async def _apply(settings: Settings, metrics: Metrics, clock: SystemClock) -> StageProcess:
    from streams.apply_stage import build_apply

    return await build_apply(settings, metrics, clock)
