"""Hides that come in while a document of a thousand chunks is being committed, on each adapter of the index."""

import asyncio
from collections.abc import Sequence

from index.memory_log import MemoryCommitLog
from index.outcomes import Committed, Outcome
from index.port import VersionedIndex
from index.reader import Reader
from index.rows import PositionedHide
from runtime.clock import SystemClock
from schemas.identity import Tenant
from schemas.versions import Op
from tests.unit.index.fakes import doc, hide, mutation, question, writer_on

CHUNKS = 1000
HIDDEN = 8


class Coming:
    """One hide each time the writer looks after them (`index.writer.Waiting`)."""

    def __init__(self, hides: Sequence[PositionedHide]) -> None:
        self.left = list(hides)
        self.given = True
        self.outcomes: list[Outcome] = []

    def take(self) -> Sequence[PositionedHide]:
        self.given = not self.given
        return [] if self.given or not self.left else [self.left.pop(0)]

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes


async def test_what_is_hidden_is_gone_before_the_large_document_is_there(index: VersionedIndex, tenant: Tenant) -> None:
    log, reader = MemoryCommitLog(), Reader(index, SystemClock())
    writer = writer_on(index, log, tenant=tenant)
    await writer.commit([mutation(n, f"d{n}", f"tea {n}", tenant=tenant) for n in range(HIDDEN)])
    coming = Coming([hide(n, f"d{n}", version=100 + n, tenant=tenant) for n in range(HIDDEN)])
    large = mutation(50, "large", *(f"corn {n}" for n in range(CHUNKS)), tenant=tenant)
    seen: list[tuple[int, int, int]] = []

    async def watch() -> None:
        while not seen or seen[-1][2] == 0:
            before = len(coming.outcomes)
            found = await reader.retrieve(question("tea corn", tenant=tenant))
            rows = found.rows
            seen.append(
                (before, sum(f"d{n}" in {d.doc_id for d in rows} for n in range(HIDDEN)), doc("large", tenant) in rows)
            )
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    (outcome,) = await writer.commit([large], coming)
    await watching
    assert isinstance(outcome, Committed)
    assert len(coming.outcomes) == HIDDEN
    assert all(there <= HIDDEN - hidden for hidden, there, _ in seen), "what was settled was read again"
    published = await reader.position(tenant)
    assert published.seq == 2 * HIDDEN + 1
    assert [commit.seq for commit in log.commits(tenant)] == list(range(1, published.seq + 1))
    reached = await reader.reached(tenant, {doc("large", tenant): ("content", large.mutation.version)})
    assert reached == {doc("large", tenant)}
    assert [commit.op for commit in log.commits(tenant)[HIDDEN:]] == [Op.DELETE] * HIDDEN + [Op.UPSERT]
