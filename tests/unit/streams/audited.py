"""An installation of twins to be audited: its log, both stages, and what settles what an audit finds."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from index.audit.findings import Finding, Kind
from index.model import DocumentRow, Head, newest_head
from index.reader import Reader
from index.states import states_at
from runtime.log_port import StoredRecord
from schemas.codec import encode
from schemas.headers import headers_of
from schemas.identity import Tenant
from schemas.records import DocumentChange
from schemas.topics import CHANGES, COMMITS, DLQ
from schemas.versions import Op
from streams.audit import Audit, Scope
from streams.auditing import Means, Settler
from streams.commit_log import LogCommits
from streams.repair import Repair
from streams.window import Window, Work
from tests.unit.streams.records import MUTATIONS, change, topics
from tests.unit.streams.test_flow import TENANT, Installation, delivered


class TwinLog:
    """`AuditLog` on a memory log that both stages have read to its end."""

    def __init__(self, here: Installation) -> None:
        self.here = here

    def prepared(self) -> Mapping[int, int]:
        return self.ends(CHANGES)

    def mutation_ends(self) -> Mapping[int, int]:
        return self.ends(MUTATIONS)

    def ends(self, topic: str) -> dict[int, int]:
        found: dict[int, int] = {}
        for record in self.here.log.records(topic):
            found[record.coordinates.partition] = record.coordinates.offset + 1
        return found

    def changes(self, partitions: Iterable[int] | None = None) -> Iterator[StoredRecord]:
        for record in self.here.log.records(CHANGES):
            if partitions is None or record.coordinates.partition in set(partitions):
                yield record

    def commits(self, begins: Mapping[int, int] | None = None) -> Iterator[StoredRecord]:
        for record in self.here.log.records(COMMITS):
            if record.coordinates.offset >= (begins or {}).get(record.coordinates.partition, 0):
                yield record

    def letters(self) -> Iterator[StoredRecord]:
        return self.here.log.records(DLQ)


@dataclass
class World:
    here: Installation
    seen: set[str] = field(default_factory=set)
    begun: list[Tenant] = field(default_factory=list)
    kept: list[Tenant] = field(default_factory=list)
    owned: set[Tenant] = field(default_factory=lambda: {TENANT})

    @property
    def log(self) -> TwinLog:
        return TwinLog(self.here)

    async def post(self, *records: DocumentChange) -> None:
        for record in records:
            partition = topics().partition(CHANGES, document=record.document)
            await self.here.log.append(CHANGES, partition, record.key, encode(record), headers_of(record))
        await self.run()

    async def run(self) -> None:
        """Both stages, over what they have not seen."""
        await self.stage(self.here.prepare(), CHANGES)
        await self.stage(self.here.apply(), MUTATIONS)
        for partition, end in self.log.mutation_ends().items():
            await self.here.index.put_acknowledged(partition, end)

    async def stage(self, work: Work, topic: str) -> None:
        crashes: list[BaseException] = []
        window = Window(work, crashes.append, records=8, max_bytes=1_000_000)
        for record in list(self.here.log.records(topic)):
            if str(record.coordinates) not in self.seen:
                self.seen.add(str(record.coordinates))
                await window.put(delivered(record))
        while len(window) and not crashes:
            await asyncio.sleep(0)
        assert crashes == []

    def audit(self, **scope: object) -> Audit:
        fields: dict[str, object] = {"second_look_seconds": 0.0, **scope}
        return Audit(self.here.index, self.log, topics(), self.here.clock, Scope(**fields))  # type: ignore[arg-type]

    async def found(self, **scope: object) -> list[tuple[Kind, str | None]]:
        audit = self.audit(**scope)
        findings = [*await audit.cycle(), *await audit.told()]
        return [(one.kind, one.document.doc_id if one.document else None) for one in findings]

    def settler(self, *, is_live: bool = True) -> Settler:
        async def live() -> bool:
            return is_live

        async def begin(tenant: Tenant) -> None:
            self.begun.append(tenant)

        repair = Repair(self.here.log, self.log, topics())
        commits = LogCommits(self.here.log, topics())
        means = Means(repair, self.log, commits, live, lambda tenant: tenant in self.owned, begin, self.kept.append)
        return Settler(self.here.index, means, self.here.metrics, self.here.clock)

    async def repaired(self, *findings: Finding) -> None:
        audit = self.audit()
        await self.settler().settle(findings or [*await audit.cycle(), *await audit.told()])
        await self.run()

    async def state(self, name: str) -> DocumentRow:
        published = await Reader(self.here.index, self.here.clock).position(TENANT)
        document = change(doc=name).document
        return (await states_at(self.here.index, published, TENANT, [document], published.seq))[document]

    async def head(self) -> Head:
        head = newest_head(await self.here.index.heads(TENANT))
        assert head is not None
        return head


async def new_world() -> World:
    """Three documents, one deleted, one with an acl of its own."""
    one = World(await Installation.create())
    await one.post(change(doc="a"), change(doc="b", body=b"The price of the tariff."), change(doc="c"))
    await one.post(change(Op.DELETE, doc="c"), change(Op.ACL, doc="b", acl=("staff",)))
    return one
