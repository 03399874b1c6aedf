"""Builds the audit of one process that applies, on connections of its own to the store and the log."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from index.port import CommitLog
from index.weaviate import open_index
from runtime.clock import Clock
from runtime.declarations import load_sources
from runtime.log_port import Log
from runtime.metrics import Metrics
from runtime.settings import Settings
from runtime.watched_files import WatchedFiles
from schemas.identity import Source, Tenant
from schemas.sources import Sources
from schemas.topics import Topics
from streams.audit import Audit, Scope
from streams.audit_log import KafkaAuditLog
from streams.auditing import Auditing, Means, Settler
from streams.generations import read_catalogue
from streams.repair import Repair
from streams.window import Crash

_LOOKS_SHARE = 0.1
"""Of counts and heads: a thousand tenants take a minute."""
_URGENT_SHARE = 0.5
_READ_SECONDS = 15.0


class Silences:
    """How long each source may say nothing, as sources.yaml states it now."""

    def __init__(self, file: Path, load: Callable[[], Sources], metrics: Metrics) -> None:
        self._kept = WatchedFiles((file,), lambda: silences(load()), metrics)

    def __call__(self, source: Source) -> timedelta | None:
        self._kept.reload()
        return self._kept.current.get(source)


def silences(sources: Sources) -> dict[Source, timedelta]:
    """Sources that may not be silent for longer."""
    return {
        source.source: timedelta(hours=source.max_silence_hours)
        for source in sources.sources
        if source.max_silence_hours is not None
    }


def auditing(
    settings: Settings,
    topics: Topics,
    log: Log,
    commits: CommitLog,
    *,
    owned: Callable[[Tenant], bool],
    begin_history: Callable[[Tenant], Awaitable[None]],
    keep: Callable[[Tenant], None],
    metrics: Metrics,
    clock: Clock,
    crash: Crash,
) -> tuple[Auditing, Callable[[], Awaitable[None]]]:
    """The audit, and what ends it with its connections."""
    index = open_index(settings, read_seconds=_READ_SECONDS)
    reads = KafkaAuditLog(settings, index.identity, settings.audit_share)
    silence = Silences(settings.sources_file, lambda: load_sources(settings), metrics)

    async def is_live() -> bool:
        live = (await asyncio.to_thread(read_catalogue, settings)).live
        return live is not None and live.identity == index.identity

    urgent = KafkaAuditLog(settings, index.identity, _URGENT_SHARE)
    means = Means(Repair(log, urgent, topics), urgent, commits, is_live, owned, begin_history, keep)
    running = Auditing(
        index,
        Audit(index, reads, topics, clock, Scope(owned, silence, settings.audit_share)),
        Audit(index, urgent, topics, clock, Scope(owned, share=_LOOKS_SHARE)),
        Audit(index, urgent, topics, clock, Scope(owned, share=_URGENT_SHARE)),
        Settler(index, means, metrics, clock),
        metrics,
        clock,
        crash,
        cycle_seconds=settings.audit_seconds,
    )

    async def stop() -> None:
        reads.stop()
        urgent.stop()
        await running.stop()
        await index.close()

    return running, stop
