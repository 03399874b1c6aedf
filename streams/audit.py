"""Audits one build: the store against itself, against documents.changes and against index.commits (design §5).

Everything is looked at twice, some seconds apart: what differs both times is no work under way. It only reads; what is
found is repaired through the log, by the tenant's writer (`streams.repair`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from index.audit.changes import Changes
from index.audit.compare import Registers, Told, commit_findings, register_findings
from index.audit.findings import Finding, Kind
from index.audit.walk import SEQS_AT_ONCE, STRETCH, StoreWalk, Walked
from index.model import DocumentRow, Head, Published, RowId, Seq
from index.newest_position import NewestPosition
from index.port import VersionedIndex
from runtime.clock import Clock
from runtime.log_port import StoredRecord
from schemas.errors import TransientError
from schemas.identity import DocId, Document, Source, Tenant
from schemas.topics import CHANGES, DLQ, Topics, mutations_topic
from streams.audit_log import AuditLog, commits_of
from streams.dead_letters import read_letters

SECOND_LOOK_SECONDS = 5.0
LEFT_OVER_SECONDS = 1200.0
"""How long rows of dead writers may lie: twice what the sweep takes to look for them."""
_APPLIED_WITHIN_SECONDS = 60.0
_POLL_SECONDS = 0.25
_RECENT_STRETCHES = 400

T = TypeVar("T")


@dataclass(slots=True)
class Tally:
    """How far an audit is, and what it has looked at."""

    step: str = ""
    tenant: str = ""
    seq: Seq = 0
    of: Seq = 0
    documents: int = 0
    chunks: int = 0
    records: int = 0
    not_compared: str | None = None
    """Why the log was left out."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an audit looks at, and how hard. `share`: of its time it is at work."""

    owned: Callable[[Tenant], bool] = lambda _tenant: True
    silence: Callable[[Source], timedelta | None] = lambda _source: None
    """How long a source may say nothing; None: for ever."""
    share: float = 1.0
    second_look_seconds: float = SECOND_LOOK_SECONDS
    left_over_seconds: float = LEFT_OVER_SECONDS


_EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class _View:
    """The log as it was read: registers, and documents whose newest change became a dead letter."""

    changes: Changes
    lettered: frozenset[tuple[int, int]]
    """(partition, offset) in documents.changes."""
    refused: frozenset[Document]
    """A mutation of theirs became a dead letter."""


@dataclass(slots=True)
class _Candidates:
    """What differed at the first look."""

    documents: set[Document] = field(default_factory=set)
    seqs: dict[Tenant, set[Seq]] = field(default_factory=lambda: defaultdict(set))
    found: set[Finding] = field(default_factory=set)

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.found.add(finding)
            if finding.document is not None:
                self.documents.add(finding.document)
            elif finding.seq is not None:
                self.seqs[finding.tenant].add(finding.seq)


class Audit:
    """Of one build, by one process. Errors are the port's and the log's."""

    def __init__(
        self, index: VersionedIndex, log: AuditLog, topics: Topics, clock: Clock, scope: Scope = _EVERYTHING
    ) -> None:
        self._index = index
        self._log = log
        self._topics = topics
        self._clock = clock
        self._scope = scope
        self._walk = StoreWalk(index)
        self._position = NewestPosition(index).read
        self._looked: dict[Tenant, Seq] = {}
        self._epochs: dict[tuple[Tenant, int], float] = {}
        """When a writer's epoch was first seen."""
        self._short: dict[Tenant, int] = {}
        """Document rows fewer than seqs, as known."""
        self._told: dict[Tenant, Told] = {}
        self._told_to: dict[int, int] = {}
        """Partition of index.commits -> the next offset to read."""
        self.tally = Tally()

    async def look(self) -> list[Finding]:
        """Counts and heads, and the newest seqs of each tenant precisely."""
        candidates = _Candidates()
        for tenant in await self.tenants():
            published = await self._paced(self._position(tenant))
            after = max(self._looked.get(tenant, 0), published.seq - SEQS_AT_ONCE)
            self._short.setdefault(tenant, await self._paced(self._walk.shortfall(published)))
            candidates.add(await self._counts(published))
            candidates.add(await self._paced(self._walk.seqs(published, after, published.seq)))
            self._looked[tenant] = published.seq
        confirmed = await self._confirmed(candidates, None)
        for finding in confirmed:
            if finding.seq is None:
                self._short[finding.tenant] += finding.rows
        return confirmed

    async def _counts(self, published: Published) -> list[Finding]:
        """More rows missing than at the first look: what was lost before history began stays lost."""
        tenant = published.head.tenant
        if tenant not in self._short:
            return []
        short = await self._paced(self._walk.shortfall(published)) - self._short[tenant]
        return [Finding(Kind.MISSING_ROW, tenant, rows=short)] if short > 0 else []

    async def recent(self, tenant: Tenant, span: timedelta) -> list[Finding]:
        """What was written within `span` of a tenant's newest row, newest first: what a store that was killed may have
        lost.
        """
        candidates = _Candidates()
        published = await self._paced(self._position(tenant))
        high, since = published.seq, published.head.published_at - span
        for _ in range(_RECENT_STRETCHES):
            low = max(0, high - STRETCH)
            walked = await self._paced(self._walk.stretch(published, low, high))
            self._count(walked)
            candidates.add(walked.findings)
            written = [row.committed_at for row in walked.states.values()]
            high = low
            if low == 0 or (written and max(written) < since):
                break
        return await self._confirmed(candidates, None)

    async def cycle(self) -> list[Finding]:
        """Everything once, but for index.commits."""
        self.tally = Tally()
        # Tenants come and go while the log is read: of one that is whose only for some of it, half would be missing.
        tenants = await self.tenants()
        view = await self._log_or_none(tenants)
        candidates = _Candidates()
        for tenant in tenants:
            if self._scope.owned(tenant):
                candidates.add(await self._tenant(tenant, view))
        confirmed = await self._confirmed(candidates, view)
        return confirmed if view is None else [*confirmed, *self._silent(view)]

    async def told(self) -> list[Finding]:
        """index.commits against the heads: all of it at first, then what came since."""
        candidates = _Candidates()
        candidates.add(await self._commits())
        return await self._confirmed(candidates, None)

    async def _tenant(self, tenant: Tenant, view: _View | None) -> list[Finding]:
        """Up to the head that it begins with, or it would never end beside a writer that is faster."""
        self.tally.step, self.tally.tenant = "rows", tenant
        findings: list[Finding] = []
        seen: set[Document] = set()
        after, published = 0, await self._paced(self._position(tenant))
        end = published.seq
        while after < end:
            upto = min(after + STRETCH, end)
            walked = await self._paced(self._walk.stretch(published, after, upto))
            self._count(walked)
            findings += walked.findings
            findings += self._registers(view, walked.states)
            seen |= walked.states.keys()
            self.tally.seq, self.tally.of = upto, end
            after, published = upto, await self._paced(self._position(tenant))
        known = () if view is None else view.changes.registers
        missing = [one for one in known if one.tenant == tenant and one not in seen]
        for start in range(0, len(missing), STRETCH):
            some = missing[start : start + STRETCH]
            states = await self._paced(self._walk.states(published, some))
            findings += self._registers(view, {document: states.get(document) for document in some})
        for after in range(published.head.history_from, published.seq, SEQS_AT_ONCE):
            upto = min(after + SEQS_AT_ONCE, published.seq)
            findings += await self._paced(self._walk.seqs(published, after, upto))
        return findings + await self._left_over(published)

    def _count(self, walked: Walked) -> None:
        self.tally.documents += len(walked.states)
        self.tally.chunks += walked.chunks

    def _registers(self, view: _View | None, states: Mapping[Document, DocumentRow | None]) -> list[Finding]:
        """Log against index; what became a dead letter is known to differ."""
        if view is None:
            return []
        findings: list[Finding] = []
        for document, row in states.items():
            partition = self._topics.partition(CHANGES, document=document)
            registers = view.changes.registers.get(document)
            if not _is_lettered(view, document, registers, partition):
                findings += register_findings(document, registers, row, view.changes.ends.get(partition, 0))
        return findings

    async def _left_over(self, published: Published) -> list[Finding]:
        """Rows of dead writers, once they have lain for longer than the sweep lets them."""
        writer, now = (published.head.tenant, published.head.epoch), self._clock.monotonic()
        if now - self._epochs.setdefault(writer, now) < self._scope.left_over_seconds:
            return []
        return await self._paced(self._walk.dead_rows(published))

    async def _commits(self) -> list[Finding]:
        """index.commits against the heads, which are read first: what was published then is told since."""
        self.tally.step = "commits"
        heads = {tenant: (await self._paced(self._position(tenant))).head for tenant in await self.tenants()}
        if not heads.keys() <= self._told.keys():
            self._told, self._told_to = {tenant: Told() for tenant in heads}, {}
        await asyncio.to_thread(self._read_commits)
        lost = [
            finding for tenant, head in heads.items() for finding in commit_findings(tenant, self._told[tenant], head)
        ]
        return [finding for finding in lost if await self._has_row(heads[finding.tenant], finding.seq)]

    def _read_commits(self) -> None:
        for record in self._log.commits(self._told_to):
            at = record.coordinates
            for commit in commits_of([record], self._index.identity):
                if commit.tenant in self._told:
                    self._told[commit.tenant].add(commit.seq)
            self._told_to[at.partition] = at.offset + 1

    async def _has_row(self, head: Head, seq: Seq | None) -> bool:
        """What has no row can be told by nobody: that it is missing is another finding."""
        assert seq is not None
        places = await self._paced(self._index.places(head.tenant, after=seq - 1, at_most=seq))
        return any(Published(head).is_valid(place) for place in places)

    async def _log_or_none(self, tenants: Collection[Tenant]) -> _View | None:
        """The store can be compared with itself while the log cannot be read, or has not been applied."""
        try:
            return await self._read_log(tenants)
        except TransientError as error:
            self.tally.not_compared = str(error)
            return None

    async def _read_log(self, tenants: Collection[Tenant]) -> _View:
        """Waits until the index has applied what is read. Raises TransientError where it does not within a minute."""
        self.tally.step = "log"
        ends = await asyncio.to_thread(self._log.prepared)
        mutations = await asyncio.to_thread(self._log.mutation_ends)
        changes = Changes(ends=ends)
        looked_at = frozenset(tenants)
        await asyncio.to_thread(
            lambda: changes.take(self._tallied(self._log.changes()), lambda document: document.tenant in looked_at)
        )
        letters = await asyncio.to_thread(lambda: [letter.letter for letter in read_letters(self._log.letters())])
        await self._until_applied(mutations)
        return _View(
            changes,
            frozenset((one.origin.partition, one.origin.offset) for one in letters if one.origin.topic == CHANGES),
            frozenset(
                Document(Tenant(one.tenant), Source(one.source), DocId(one.doc_id))
                for one in letters
                # a settlement is about a letter: what became of that is no loss of its document's
                if one.origin.topic not in (CHANGES, DLQ) and one.tenant and one.source and one.doc_id
            ),
        )

    def _tallied(self, records: Iterable[StoredRecord]) -> Iterator[StoredRecord]:
        for record in records:
            self.tally.records += 1
            yield record

    async def _until_applied(self, wanted: Mapping[int, int]) -> None:
        topic = mutations_topic(self._index.identity.generation)
        own = {self._topics.partition(topic, tenant=tenant) for tenant in await self.tenants()}
        until = self._clock.monotonic() + _APPLIED_WITHIN_SECONDS
        while True:
            offsets = (await self._index.acknowledged()).offsets
            if all(offsets.get(partition, 0) >= end for partition, end in wanted.items() if partition in own):
                return
            if self._clock.monotonic() > until:
                raise TransientError("the index has not applied for a minute what the log holds: is `apply` running?")
            await asyncio.sleep(_POLL_SECONDS)

    def _silent(self, view: _View) -> list[Finding]:
        now, findings = self._clock.now(), []
        owner = {document.source: document.tenant for document in view.changes.registers}
        for source, heard in view.changes.last_heard.items():
            longest = self._scope.silence(source)
            if longest is not None and now - heard > longest:
                findings.append(Finding(Kind.SILENT_SOURCE, owner[source], source=source))
        return findings

    async def _confirmed(self, candidates: _Candidates, view: _View | None) -> list[Finding]:
        """Those that differ at a second look, too."""
        if not candidates.found:
            return []
        await asyncio.sleep(self._scope.second_look_seconds)
        again: set[Finding] = set()
        for tenant in sorted({finding.tenant for finding in candidates.found}):
            published = await self._paced(self._position(tenant))
            again.update(await self._second_look(published, candidates, view))
        if any(finding.kind is Kind.LOST_COMMIT for finding in candidates.found):
            again.update(await self._commits())
        keys = {finding.key for finding in candidates.found}
        return sorted((finding for finding in again if finding.key in keys), key=lambda finding: str(finding.key))

    async def _second_look(self, published: Published, candidates: _Candidates, view: _View | None) -> list[Finding]:
        tenant = published.head.tenant
        documents = sorted(document for document in candidates.documents if document.tenant == tenant)
        findings = await self._counts(published)
        for start in range(0, len(documents), STRETCH):
            findings += await self._documents_again(tenant, documents[start : start + STRETCH], view)
        for seq in sorted(candidates.seqs[tenant]):
            findings += await self._paced(self._walk.seqs(published, seq - 1, seq))
        if any(finding.kind is Kind.DEAD_ROW for finding in candidates.found):
            findings += await self._paced(self._walk.dead_rows(published))
        return findings

    async def _documents_again(
        self, tenant: Tenant, documents: Collection[Document], view: _View | None
    ) -> list[Finding]:
        """But for those that were written meanwhile: of what their states listed the sweep may have taken some away."""
        published = await self._paced(self._position(tenant))
        states = await self._paced(self._walk.states(published, documents))
        findings = [*(await self._paced(self._walk.documents(published, states))).findings]
        findings += self._registers(view, {document: states.get(document) for document in documents})
        now = await self._walk.states(await self._position(tenant), documents)
        stand = {document for document in documents if _id(now.get(document)) == _id(states.get(document))}
        return [finding for finding in findings if finding.document in stand]

    async def tenants(self) -> list[Tenant]:
        """Those it looks at."""
        return sorted(tenant for tenant in await self._index.tenants() if self._scope.owned(tenant))

    async def _paced(self, step: Awaitable[T]) -> T:
        """A step, and a pause in proportion to what it took."""
        began = self._clock.monotonic()
        result = await step
        await asyncio.sleep((self._clock.monotonic() - began) * (1 / self._scope.share - 1))
        return result


def _id(row: DocumentRow | None) -> RowId | None:
    return None if row is None else row.id


def _is_lettered(view: _View, document: Document, registers: Registers | None, partition: int) -> bool:
    if document in view.refused:
        return True
    places = () if registers is None else (registers.content_at, registers.acl_at)
    return any((partition, offset) in view.lettered for offset in places)
