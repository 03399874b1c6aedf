"""One audit of the live build, and its repair through the log. Repairs are written by the process that applies."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cli.live import live_build
from index.audit.findings import OF_CONTENT, Finding
from index.weaviate import open_build
from runtime.aio_kafka import LogProducer
from runtime.clock import SystemClock
from runtime.declarations import load_sources, load_topics
from runtime.settings import Settings
from schemas.errors import ConfigError, TransientError
from schemas.identity import Document, Tenant
from schemas.records import Coordinates
from streams.audit import Audit, Scope, Tally
from streams.audit_log import KafkaAuditLog
from streams.audit_parts import silences
from streams.repair import Repair

_READ_SECONDS = 30.0
_PREPARED_SECONDS = 120.0
_POLL_SECONDS = 0.2


@dataclass(slots=True)
class Reported:
    """How far it is."""

    tally: Tally = field(default_factory=Tally)

    def line(self) -> str:
        """For a person."""
        one = self.tally
        where = f"{one.tenant} {one.seq}/{one.of}" if one.step == "rows" else f"{one.records} records"
        return f"{one.step}: {where}, {one.documents} documents, {one.chunks} chunks"


@dataclass(frozen=True, slots=True)
class Audited:
    """What came of it."""

    build: str
    documents: int
    chunks: int
    records: int
    seconds: float
    findings: Sequence[Finding]
    repaired: int
    not_compared: str | None
    """Why the log was left out."""
    left: Sequence[Finding]
    """What differs now: after a repair, at another look."""


async def run_audit(settings: Settings, tenant: str | None, reported: Reported, *, repair: bool) -> Audited:
    """Audit the live build once; with `repair`, append what differs again and audit once more. Raises ConfigError,
    TransientError.
    """
    began = time.monotonic()
    live = await live_build(settings)
    index, reads = (
        open_build(settings, live, read_seconds=_READ_SECONDS),
        KafkaAuditLog(settings, live),
    )
    silent = silences(load_sources(settings))
    try:
        if tenant is not None and Tenant(tenant) not in await index.tenants():
            raise ConfigError(f"there is no tenant {tenant} in {live}")
        scope = Scope(owned=lambda one: tenant in (None, one), silence=silent.get)
        audit = Audit(index, reads, load_topics(settings), SystemClock(), scope)
        findings = await _cycle(audit, reported)
        tally, left = audit.tally, findings
        appended: Mapping[Document, Coordinates] = {}
        if repair and any(one.kind in OF_CONTENT for one in findings):
            appended = await _repaired(settings, reads, findings)
            left = await _cycle(audit, reported)
    finally:
        await index.close()
    seconds = round(time.monotonic() - began, 3)
    return Audited(
        build=str(live),
        documents=tally.documents,
        chunks=tally.chunks,
        records=tally.records,
        seconds=seconds,
        findings=findings,
        repaired=len(appended),
        not_compared=audit.tally.not_compared,
        left=left,
    )


async def _cycle(audit: Audit, reported: Reported) -> Sequence[Finding]:
    running = asyncio.create_task(audit.cycle())
    await asyncio.sleep(0)
    reported.tally = audit.tally
    return [*await running, *await audit.told()]


async def _repaired(
    settings: Settings, reads: KafkaAuditLog, findings: Sequence[Finding]
) -> Mapping[Document, Coordinates]:
    """Append, and wait until the stage `prepare` has passed it on. Raises TransientError."""
    wanted = {one.document for one in findings if one.kind in OF_CONTENT and one.document is not None}
    log = LogProducer(settings)
    await log.start()
    try:
        appended = await Repair(log, reads, load_topics(settings)).documents(wanted)
    finally:
        await log.stop()
    until = time.monotonic() + _PREPARED_SECONDS
    while True:
        prepared = await asyncio.to_thread(reads.prepared)
        if all(prepared.get(at.partition, 0) > at.offset for at in appended.values()):
            return appended
        if time.monotonic() > until:
            raise TransientError("what was appended again is not prepared within two minutes: is `prepare` running?")
        await asyncio.sleep(_POLL_SECONDS)
