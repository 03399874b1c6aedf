"""Both stages over the twins: whatever is redelivered, and wherever a stage starts again, the index is the log's."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.embedding.words import HashedWordsEmbedder
from index.memory import MemoryIndex
from index.model import DocumentRow, IndexIdentity, Published, first_head, newest_head
from index.port import IndexRecord
from index.writer import TenantWriter
from runtime.clock import ManualClock
from runtime.log_port import MemoryLog, StoredRecord
from runtime.metrics import RECORDS, Metrics
from schemas.codec import decode_any, encode
from schemas.identity import Tenant
from schemas.records import Commit, DocumentChange
from schemas.topics import CHANGES, COMMITS, DLQ
from schemas.versions import Op
from streams.agents import apply_agent, prepare_agent
from streams.apply import Applier
from streams.commit_log import LogCommits
from streams.dead_letters import DeadLetters
from streams.journal import WITHDRAWAL_LOST, Journal
from streams.pipeline import Pipeline
from streams.tenant_queue import Bounds
from streams.vectors import Vectors
from streams.window import Delivery, Window, Work
from tests.unit.streams.records import AT, MUTATIONS, OnePolicy, PlainParser, change, topics

TENANT = Tenant("acme")


@dataclass
class Installation:
    """A log and an index in memory, and stages that may be started any number of times."""

    log: MemoryLog
    index: MemoryIndex
    clock: ManualClock
    metrics: Metrics

    @classmethod
    async def create(cls) -> "Installation":
        index = MemoryIndex(IndexIdentity("g1", "i1"))
        await index.create(IndexRecord(index.identity, {}, {}, 16, AT))
        await index.create_tenant(first_head(TENANT, AT))
        return cls(MemoryLog(), index, ManualClock(), Metrics())

    async def post(self, record: DocumentChange) -> None:
        partition = topics().partition(CHANGES, document=record.document)
        await self.log.append(CHANGES, partition, record.key, encode(record), (("ms-op", record.op.encode()),))

    def prepare(self) -> Work:
        model = HashedWordsEmbedder(dimension=16)
        pipeline = Pipeline(
            parser=PlainParser(),
            policies=OnePolicy(),
            tokens=model,
            vectors=Vectors(model),
            embedder=model.fingerprint,
            max_tokens=model.max_tokens,
            recipe="r1",
            max_document_bytes=10_000,
            topics=topics(),
            clock=self.clock,
        )
        letters = DeadLetters(self.log, topics(), "prepare", self.clock)
        return prepare_agent(pipeline, self.log, MUTATIONS, letters, Journal("prepare", self.metrics, self.clock))

    def apply(self) -> Work:
        commits = LogCommits(self.log, topics())

        def writer_for(tenant: Tenant) -> TenantWriter:
            return TenantWriter(self.index, commits, tenant, self.clock, name="test")

        letters = DeadLetters(self.log, topics(), "apply", self.clock)
        applier = Applier(writer_for, letters, topics(), Bounds(4))
        return apply_agent(applier, letters, Journal("apply", self.metrics, self.clock))

    async def run(self, work: Work, topic: str, skip: int = 0) -> int:
        """Run a freshly started stage over a topic, all but the first `skip` records; how many were acknowledged."""
        crashes: list[BaseException] = []
        window = Window(work, crashes.append, records=8, max_bytes=1_000_000)
        for record in list(self.log.records(topic))[skip:]:
            await window.put(delivered(record))
        while len(window) and not crashes:
            await asyncio.sleep(0)
        assert crashes == []
        return window.acknowledged

    async def rows(self) -> list[DocumentRow]:
        head = newest_head(await self.index.heads(TENANT))
        assert head is not None
        published = Published(head)
        rows = [row async for row in self.index.source_rows(TENANT, change().source) if published.is_valid(row)]
        return sorted(rows, key=lambda row: row.from_seq)

    async def state(self) -> dict[str, tuple[bool, str, tuple[str, ...]]]:
        """doc_id -> present, text, acl."""
        found: dict[str, tuple[bool, str, tuple[str, ...]]] = {}
        for row in await self.rows():
            chunks = await self.index.chunks(TENANT, row.chunk_ids())
            text = "".join(chunks[entry.chunk_id].text for entry in row.manifest)
            found[row.document.doc_id] = (row.is_present, text, row.acl)
        return found

    def commits(self) -> Iterator[Commit]:
        for record in self.log.records(COMMITS):
            commit = decode_any(record.value or b"")
            if isinstance(commit, Commit):
                yield commit


def delivered(record: StoredRecord) -> Delivery:
    return Delivery(record.coordinates, (record.key or "").encode(), record.value, record.headers)


async def both(installation: Installation) -> None:
    await installation.run(installation.prepare(), CHANGES)
    await installation.run(installation.apply(), MUTATIONS)


async def test_a_change_becomes_a_readable_document_and_a_commit() -> None:
    here = await Installation.create()
    await here.post(change(acl=("hr",)))
    await both(here)
    assert await here.state() == {"guides/setup.md": (True, "Turn the key.", ("hr",))}
    (commit,) = here.commits()
    assert (commit.seq, commit.op, commit.acl_after) == (1, Op.UPSERT, ("hr",))
    assert here.metrics.value(RECORDS, stage="apply", outcome="committed") == 1


async def test_a_delete_that_cannot_be_processed_is_an_alert_of_its_own() -> None:
    here = await Installation.create()
    await here.post(change(Op.DELETE, doc=" spaced"))
    await both(here)
    assert len(list(here.log.records(DLQ))) == 1
    assert here.metrics.value(RECORDS, stage="prepare", outcome=WITHDRAWAL_LOST) == 1


CHANGES_OF_THREE = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([Op.UPSERT, Op.DELETE, Op.ACL])),
    min_size=1,
    max_size=12,
)


def reference(made: list[DocumentChange]) -> dict[str, tuple[bool, str, tuple[str, ...]]]:
    """What the documents are, applied one by one in the order of the log."""
    state: dict[str, tuple[bool, str, tuple[str, ...]]] = {}
    stated: set[str] = set()
    for record in made:
        present, text, acl = state.get(record.doc_id, (False, "", ()))
        if record.op is Op.ACL:
            acl = record.acl or ()
            stated.add(record.doc_id)
        else:
            present, text = record.op is Op.UPSERT, (record.body or b"").decode()
            acl = acl if record.doc_id in stated else record.default_acl
        state[record.doc_id] = (present, text, acl)
    return state


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHANGES_OF_THREE, st.data())
def test_any_restart_with_any_redelivery_equals_the_serial_reference(
    made: list[tuple[str, Op]], data: st.DataObject
) -> None:
    records = [
        change(op, doc=doc, body=f"Edition {number}.".encode(), acl=(f"g{number}",) if op is Op.ACL else None)
        for number, (doc, op) in enumerate(made)
    ]
    restarts = data.draw(st.lists(st.integers(0, len(records)), max_size=3))

    async def run() -> None:
        here = await Installation.create()
        for record in records:
            await here.post(record)
        await both(here)
        for skip in restarts:
            await here.run(here.prepare(), CHANGES, skip)
            await here.run(here.apply(), MUTATIONS, skip)
        assert await here.state() == reference(records)
        rows = await here.rows()
        assert [row.from_seq for row in rows] == list(range(1, len(rows) + 1))
        assert len({row.change for row in rows}) == len(rows)
        assert {commit.seq for commit in here.commits()} == {row.from_seq for row in rows}

    asyncio.run(run())


async def test_a_second_run_over_everything_changes_nothing() -> None:
    here = await Installation.create()
    for doc in ("a", "b", "a"):
        await here.post(change(doc=doc))
    await both(here)
    before = await here.rows()
    await both(here)
    assert await here.rows() == before


@pytest.mark.parametrize("count", [1, 30])
async def test_every_record_is_acknowledged_once(count: int) -> None:
    here = await Installation.create()
    for number in range(count):
        await here.post(change(doc=f"d{number}"))
    assert await here.run(here.prepare(), CHANGES) == count
    assert await here.run(here.apply(), MUTATIONS) == count
