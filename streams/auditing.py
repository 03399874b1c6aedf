"""Audits the tenants of this process for as long as it applies, at a bounded rate, and repairs what it finds.

Counts and heads three times a minute; everything in turn, at `audit_share` of its time; the newest rows at once when
the connection to the store was lost, because a store that is killed may lose entries of its vector graph. Whatever is
found twice is an alert. Only the live build's findings are repaired: another one is built from the same log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import product

import structlog

from index.audit.findings import OF_CONTENT, OF_HISTORY, Finding, Kind
from index.model import Seq
from index.newest_position import NewestPosition
from index.port import CommitLog, VersionedIndex
from index.states import states_at
from runtime.cancellation import no_stray_cancellation
from runtime.clock import Clock
from runtime.metrics import ALERTS, AUDIT_CYCLE_SECONDS, AUDIT_FINDINGS, AUDIT_REPAIRS, Metrics
from schemas.errors import BrokenIndexError, MillstreamError, TransientError
from schemas.identity import Document, Tenant
from streams.audit import Audit
from streams.audit_log import AuditLog
from streams.background import Background
from streams.commit_log import LogLostError
from streams.repair import Repair, documents_at, tell_again
from streams.window import Crash, LeaseEndedError

LOOK_SECONDS = 20.0
RECENT = timedelta(minutes=15)
"""Before its newest row: what a killed store may have lost, many times over."""
_NEWEST = timedelta(minutes=1)
"""Of all tenants first: what a killed store has lost is mostly of its last seconds."""
_AGAIN_SECONDS = 600.0
"""Until a document is appended again, or an alert raised again, for the same finding; then twice as long, and so on."""
_LONGEST_SECONDS = 86_400.0
_AT_ONCE = 200
"""Documents appended again because of one audit: more than that is for an operator, or a rebuild."""
_COMMITS_SECONDS = 60.0
_POLL_SECONDS = 1.0
_CUT_OFF_SECONDS = 5.0

log = structlog.get_logger("millstream.streams")


@dataclass(frozen=True, slots=True)
class Means:
    """What findings are repaired with."""

    repair: Repair
    reads: AuditLog
    commits: CommitLog
    is_live: Callable[[], Awaitable[bool]]
    owned: Callable[[Tenant], bool]
    begin_history: Callable[[Tenant], Awaitable[None]]
    keep: Callable[[Tenant], None]
    """Have a tenant swept."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """A tenant whose history has to end once its repaired documents are in force, or nothing more comes of them."""

    documents: frozenset[Document]
    after: Seq
    until: float
    """Monotonic seconds: a repair that changes nothing, or is a dead letter, is not waited for any longer."""


@dataclass(frozen=True, slots=True)
class _Settled:
    """A finding that was told. `until`: when it is new again; `pause`: how long that was."""

    until: float
    pause: float


@dataclass(slots=True)
class Settler:
    """Tells what was found, and has it repaired."""

    index: VersionedIndex
    means: Means
    metrics: Metrics
    clock: Clock
    _settled: dict[object, _Settled] = field(default_factory=dict)
    _endings: dict[Tenant, _Ending] = field(default_factory=dict)

    async def settle(self, findings: Collection[Finding]) -> None:
        """Raises TransientError, LeaseEndedError."""
        before = dict(self._settled)
        new = [finding for finding in findings if self._is_new(finding.key)]
        for finding in new:
            self._tell(finding)
        try:
            if new and await self.means.is_live():
                await self._repair(new)
        except (TransientError, LeaseEndedError):
            self._settled = before
            raise
        await self._end_histories()

    def _is_new(self, key: object) -> bool:
        """What no repair helps is repaired ever more rarely: each costs a record of the log, and all rows anew."""
        now = self.clock.monotonic()
        self._settled = {name: one for name, one in self._settled.items() if now < one.until + _LONGEST_SECONDS}
        known = self._settled.get(key)
        if known is not None and now < known.until:
            return False
        pause = _AGAIN_SECONDS if known is None else min(2 * known.pause, _LONGEST_SECONDS)
        self._settled[key] = _Settled(now + pause, pause)
        return True

    def _tell(self, finding: Finding) -> None:
        self.metrics.count(AUDIT_FINDINGS, kind=finding.kind)
        self.metrics.count(ALERTS, alert=f"audit_{finding.kind}")
        source = finding.source or (finding.document.source if finding.document else None)
        log.error(
            "audit found",
            kind=finding.kind,
            tenant=finding.tenant,
            source=source,
            seq=finding.seq,
            rows=finding.rows,
        )

    async def _repair(self, findings: Collection[Finding]) -> None:
        documents = {one.document for one in findings if one.kind in OF_CONTENT and one.document is not None}
        for tenant in sorted({finding.tenant for finding in findings}):
            of_tenant = [finding for finding in findings if finding.tenant == tenant]
            documents |= await self._repair_tenant(tenant, of_tenant)
        sought = await self._next(documents)
        if len(documents) > len(sought):
            log.error("audit found much to repair", documents=len(documents), at_once=_AT_ONCE)
            self._put_off(findings, documents.difference(sought))
        appended = await self.means.repair.documents(sought) if sought else {}
        self._wait_no_more_for(document for document in sought if document not in appended)
        self.metrics.count(AUDIT_REPAIRS, len(appended))
        for document, at in appended.items():
            log.info("audit repairs", tenant=document.tenant, source=document.source, at=str(at))

    async def _repair_tenant(self, tenant: Tenant, findings: Collection[Finding]) -> set[Document]:
        """Documents to append again, because a row that was theirs is gone."""
        published = await NewestPosition(self.index).read(tenant)
        lost = [one.seq for one in findings if one.kind is Kind.LOST_COMMIT and one.seq is not None]
        broken = [one.seq for one in findings if one.kind in OF_HISTORY and one.seq is not None]
        told = [seq for seq in lost if seq not in broken]
        if told:
            try:
                again = await tell_again(self.index, self.means.commits, published, told)
                self.metrics.count(AUDIT_REPAIRS, len(again))
            except BrokenIndexError as error:
                log.error("lost commits cannot be told again", tenant=tenant, reason=str(error))
        if any(finding.kind is Kind.DEAD_ROW for finding in findings):
            self.means.keep(tenant)
        if not broken:
            return set()
        documents = await documents_at(self.means.reads, self.index, tenant, broken)
        known = self._endings.get(tenant)
        if known is None:
            until = self.clock.monotonic() + _AGAIN_SECONDS
            self._endings[tenant] = _Ending(frozenset(documents), published.seq, until)
        else:
            after = known.after if max(broken) <= known.after else published.seq
            self._endings[tenant] = replace(known, documents=known.documents | documents, after=after)
        return documents

    async def _next(self, documents: Collection[Document]) -> Sequence[Document]:
        """Those to append now: none of which the repair is in force already, as of a lost row that stays lost."""
        in_force = set[Document]()
        for tenant, ending in self._endings.items():
            own = [document for document in documents if document.tenant == tenant and document in ending.documents]
            if own:
                in_force |= await self._in_force(tenant, ending, own)
        return sorted(set(documents) - in_force)[:_AT_ONCE]

    async def _in_force(self, tenant: Tenant, ending: _Ending, documents: Collection[Document]) -> set[Document]:
        published = await NewestPosition(self.index).read(tenant)
        states = await states_at(self.index, published, tenant, documents, published.seq)
        return {document for document, state in states.items() if state.from_seq > ending.after}

    def _put_off(self, findings: Collection[Finding], documents: Collection[Document]) -> None:
        """What was not tried is new again at the next audit."""
        tenants = {tenant for tenant, ending in self._endings.items() if not ending.documents.isdisjoint(documents)}
        for finding in findings:
            if finding.document in documents or (finding.kind in OF_HISTORY and finding.tenant in tenants):
                self._settled.pop(finding.key, None)

    def _wait_no_more_for(self, lost: Iterable[Document]) -> None:
        """Of a document that the log does not know nothing comes: history begins where the others are repaired."""
        gone = frozenset(lost)
        for tenant, ending in self._endings.items():
            self._endings[tenant] = replace(ending, documents=ending.documents - gone)

    async def _end_histories(self) -> None:
        """What was in force between a lost row and its repair nobody can say: once it is repaired, history begins."""
        for tenant, ending in tuple(self._endings.items()):
            if not self.means.owned(tenant):  # whoever writes it now finds the same
                del self._endings[tenant]
                continue
            repaired = await self._in_force(tenant, ending, ending.documents)
            if repaired >= ending.documents or self.clock.monotonic() >= ending.until:
                await self.means.begin_history(tenant)
                del self._endings[tenant]
                log.warning("history begins anew", tenant=tenant)


class Auditing(Background):
    """One for each process that applies. `index` is its own connection, so that an audit is in nobody's way."""

    def __init__(
        self,
        index: VersionedIndex,
        audit: Audit,
        looks: Audit,
        newest: Audit,
        settler: Settler,
        metrics: Metrics,
        clock: Clock,
        crash: Crash,
        *,
        cycle_seconds: float,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`audit` looks at everything, `looks` at counts and heads, `newest` at what was written just before the store
        restarted: each at a rate of its own. `cycle_seconds`: from the begin of an audit of everything to the begin of
        the next, at least.
        """
        super().__init__(crash)
        self._index = index
        self._audit = audit
        self._looks = looks
        self._newest = newest
        self._settler = settler
        self._metrics = metrics
        self._clock = clock
        self._look_seconds = look_seconds
        self._cycle_seconds = cycle_seconds
        self._checked: dict[tuple[Tenant, timedelta], int] = {}
        """Tenant and span -> the connection that its newest rows were looked at by."""
        self._turn = asyncio.Lock()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again(self._look, self._look_seconds))
            tasks.create_task(self._again(self._look_after_restarts, _POLL_SECONDS))
            tasks.create_task(self._again(self._cycle, self._cycle_seconds))
            tasks.create_task(self._again(self._commits, min(self._cycle_seconds, _COMMITS_SECONDS)))

    async def _again(self, what: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            until = self._clock.monotonic() + seconds
            try:
                with no_stray_cancellation():
                    await what()
            except (TransientError, LeaseEndedError) as error:
                log.debug("audit cut off", reason=str(error))
                until = self._clock.monotonic() + min(seconds, _CUT_OFF_SECONDS)
            except LogLostError:
                raise
            except MillstreamError as error:
                self._metrics.count(ALERTS, alert="audit_broken")
                log.error("audit broken", reason=str(error))
            await asyncio.sleep(max(_POLL_SECONDS, until - self._clock.monotonic()))

    async def _settle(self, findings: Collection[Finding]) -> None:
        async with self._turn:
            await self._settler.settle(findings)

    async def _look(self) -> None:
        await self._settle(await self._looks.look())

    async def _look_after_restarts(self) -> None:
        if not await self._index.ready():
            return
        connection = self._index.connection
        failed: BrokenIndexError | None = None
        for span, tenant in product((_NEWEST, RECENT), await self._newest.tenants()):
            if self._checked.get((tenant, span)) == connection:
                continue
            try:
                await self._settle(await self._newest.recent(tenant, span))
                self._checked[tenant, span] = connection
            except BrokenIndexError as error:  # one tenant's: the others are looked at all the same
                failed = error
        if failed is not None:
            raise failed

    async def _commits(self) -> None:
        await self._settle(await self._audit.told())

    async def _cycle(self) -> None:
        if not await self._audit.tenants():
            raise TransientError("no tenant is this process's yet")
        began = self._clock.monotonic()
        await self._settle(await self._audit.cycle())
        self._metrics.set(AUDIT_CYCLE_SECONDS, self._clock.monotonic() - began)
