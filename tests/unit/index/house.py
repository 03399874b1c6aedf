"""An index whose writer sweeps, on a clock that tests move."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from index.manifest import ChunkId
from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import ChunkRow, DocumentRow, Head, Published, RowId
from index.reader import Reader
from index.sweeper import SweepPolicy
from index.writer import TenantWriter
from runtime.clock import ManualClock
from schemas.identity import Document
from schemas.versions import Op
from tests.unit.index.fakes import TENANT, State, mutation, states

HOURS = timedelta(hours=24)
WAIT = 20.0
_AT_HAND = 0.06
AGES = 30 * 3600.0
"""Longer than history is kept."""


@dataclass
class House:
    """An index and its tenant's writer, on a clock that tests move."""

    index: MemoryIndex
    keeps: timedelta = HOURS

    def __post_init__(self) -> None:
        self.log = MemoryCommitLog()
        self.clock = ManualClock()
        self.offset = 0
        self.writer = self.new_writer()

    def new_writer(self, index: Any = None, **changes: Any) -> TenantWriter:
        policy = SweepPolicy(history=lambda: self.keeps, **changes)
        return TenantWriter(index or self.index, self.log, TENANT, self.clock, name="w", sweep=policy)

    async def put(self, *items: tuple[str, tuple[str, ...]]) -> None:
        """Commit documents of these chunks together; none: a delete."""
        batch = []
        for name, texts in items:
            batch.append(mutation(self.offset, name, *texts, op=Op.UPSERT if texts else Op.DELETE))
            self.offset += 1
        await self.writer.commit(batch)

    async def sweep(self, seconds: float = WAIT) -> None:
        """Let time pass, and sweep until there is nothing to do."""
        self.clock.advance(seconds)
        await drain(self.writer, self.clock)

    async def head(self) -> Head:
        return (await Reader(self.index, self.clock).position(TENANT)).head

    async def states(self, seq: int) -> dict[Document, State]:
        return await states(self.index, Published(await self.head()), seq)

    def chunks(self) -> dict[str, int]:
        """Text -> to_seq of every chunk row there is."""
        return {row.text: row.to_seq for row in self.index._shards[TENANT].chunks.values()}

    def rows(self) -> tuple[dict[ChunkId, ChunkRow], dict[RowId, DocumentRow]]:
        shard = self.index._shards[TENANT]
        return dict(shard.chunks), dict(shard.documents)


async def drain(writer: TenantWriter, clock: ManualClock) -> None:
    """Sweep for as long as there is work at hand."""
    for _ in range(100):
        wait = (await writer.sweep()).next_in
        if wait > _AT_HAND:
            return
        clock.advance(wait)
    raise AssertionError("a sweep that never ends")
