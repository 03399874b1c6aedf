"""Random histories of one tenant with commits, crashes, take-overs and sweeps at any point, and as-of reads that go on
meanwhile: every kept position reads as it always did, nothing live is touched, and no garbage is left at the end.

Workers and readers stop before and after every call to the store; the test moves them on, one at a time. The store
drops a row from its lists while it is being closed, as the real one does.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from index import undisturbed
from index.manifest import ChunkId
from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import ChunkRow, DocumentRow, Published, RowId, Seq, first_head
from index.moments import HistoryUnavailableError
from index.port import IndexRecord
from index.reader import Reader
from index.sweeper import SweepPolicy
from index.writer import TenantWriter
from runtime.clock import ManualClock
from schemas.errors import AmbiguousWriteError, TransientError
from schemas.identity import Document, Tenant
from schemas.versions import Op
from tests.unit.index.fakes import DIMENSION, IDENTITY, START, TENANT, Tapped, mutation, question

_KEEPS = 100.0
"""Seconds of history."""
_NAMES = "abc"
_WORDS = ("tea", "milk", "corn", "rye", "oats")


class Flickering(MemoryIndex):
    """A twin whose rows are away while they are being closed, and that remembers all it was ever given."""

    def __init__(self) -> None:
        super().__init__(IDENTITY)
        self.all_chunks: dict[ChunkId, ChunkRow] = {}
        self.all_documents: dict[RowId, DocumentRow] = {}
        self.pause: Callable[[], Awaitable[Any]] | None = None

    async def insert_chunks(self, tenant: Tenant, rows: Any) -> None:
        self.all_chunks |= {row.id: row for row in rows}
        await super().insert_chunks(tenant, rows)

    async def insert_documents(self, tenant: Tenant, rows: Any) -> None:
        self.all_documents |= {row.id: row for row in rows}
        await super().insert_documents(tenant, rows)

    async def close_chunks(self, tenant: Tenant, closings: Mapping[ChunkId, Seq]) -> None:
        await self._flicker(self._shards[tenant].chunks, closings)
        await super().close_chunks(tenant, closings)

    async def close_documents(self, tenant: Tenant, closings: Mapping[RowId, Seq]) -> None:
        await self._flicker(self._shards[tenant].documents, closings)
        await super().close_documents(tenant, closings)

    async def _flicker(self, rows: dict[Any, Any], closings: Mapping[Any, Seq]) -> None:
        away = {id_: rows.pop(id_) for id_ in closings if id_ in rows}
        try:
            if self.pause is not None:
                await self.pause()
        finally:
            rows.update(away)


@dataclass
class Steps:
    """Who waits to be moved on."""

    waiting: dict[str, list["asyncio.Future[bool]"]] = field(default_factory=lambda: defaultdict(list))

    async def turn(self, who: str) -> None:
        """Wait to be moved on; whoever is told to fails."""
        moved = asyncio.get_running_loop().create_future()
        self.waiting[who].append(moved)
        if not await moved:
            raise AmbiguousWriteError("cut off")

    async def move(self, who: str, *, well: bool = True) -> None:
        if self.waiting[who]:
            self.waiting[who].pop(0).set_result(well)
        for _ in range(12):
            await asyncio.sleep(0)


@dataclass
class World:
    index: Flickering
    steps: Steps = field(default_factory=Steps)
    log: MemoryCommitLog = field(default_factory=MemoryCommitLog)
    clock: ManualClock = field(default_factory=ManualClock)
    offset: int = 0
    workers: int = 0
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    writer: TenantWriter | None = None
    answers: int = 0

    def new_writer(self) -> None:
        """Another worker owns the tenant; those before do not know."""
        self.workers += 1
        name = f"w{self.workers}"

        async def around(_called: str, call: Callable[[], Awaitable[Any]]) -> Any:
            await self.steps.turn(name)
            result = await call()
            await self.steps.turn(name)
            return result

        policy = SweepPolicy(history=lambda: timedelta(seconds=_KEEPS), rows=2, history_seconds=5.0)
        self.writer = TenantWriter(
            Tapped(self.index, around),
            self.log,
            TENANT,
            self.clock,
            name=name,
            sweep=policy,
        )

    def start(self, work: Awaitable[Any]) -> None:
        async def run() -> None:
            try:
                await work
            except (TransientError, HistoryUnavailableError):
                return

        self.tasks.append(asyncio.ensure_future(run()))

    def commit(self, name: str, words: tuple[str, ...], acl_moves: bool) -> None:
        assert self.writer is not None
        op = Op.UPSERT if words else Op.DELETE
        acl = ["public", f"group{self.offset}"] if acl_moves and words else None
        item = mutation(self.offset, name, *words, op=op, acl=acl)
        self.offset += 1
        self.start(self.writer.commit([item]))

    def read(self, back: int) -> None:
        """An as-of read, moved on call by call; what it finds is checked against all that was ever written."""

        async def around(_called: str, call: Callable[[], Awaitable[Any]]) -> Any:
            await self.steps.turn("reader")
            return await call()

        async def read() -> None:
            quiet = Reader(self.index, self.clock)
            seq = max(0, (await quiet.position(TENANT)).seq - back)
            reader = Reader(Tapped(self.index, around), self.clock)
            found = await reader.retrieve(question("tea milk", as_of=seq, history=True, leg_size=200))
            self.check_answer({hit.chunk_id for hit in found.vector}, found.at.seq, await quiet.position(TENANT))
            _, row = await reader.document(mutation(0, "a").mutation.document, frozenset({"public"}), as_of=seq)
            self.answers += 1
            wanted = self.state(await quiet.position(TENANT), row.document, seq) if row is not None else None
            assert (row.id if row else None) == (wanted.id if wanted and row else None)

        self.start(read())

    def state(self, published: Published, document: Document, seq: Seq) -> DocumentRow | None:
        rows = [row for row in self.index.all_documents.values() if row.document == document]
        return published.state_at(rows, seq)

    def check_answer(self, found: set[ChunkId], seq: Seq, published: Published) -> None:
        wanted: set[ChunkId] = set()
        for name in _NAMES:
            state = self.state(published, mutation(0, name).mutation.document, seq)
            wanted |= state.chunk_ids() if state is not None and state.is_present else set()
        assert found == wanted, f"position {seq} reads otherwise"

    async def check_store(self) -> None:
        """Every row that some kept position or today needs is there, as it was written."""
        published = await Reader(self.index, self.clock).position(TENANT)
        chunks, documents = self.index._shards[TENANT].chunks, self.index._shards[TENANT].documents
        for row in self.index.all_documents.values():
            if published.is_valid(row):
                assert row.id in documents, "a row of the audit trail is gone"
        for seq in range(published.head.history_from, published.seq + 1):
            for name in _NAMES:
                document = mutation(0, name).mutation.document
                state = self.state(published, document, seq)
                if state is None:
                    continue
                assert documents[state.id].from_seq <= seq < documents[state.id].to_seq
                for id_ in state.chunk_ids():
                    assert chunks[id_].from_seq <= seq < chunks[id_].to_seq, f"{id_} is closed too early"

    async def check_no_garbage(self) -> None:
        """Only valid document rows, and chunk rows that one of a kept position lists."""
        published = await Reader(self.index, self.clock).position(TENANT)
        rows = [row for row in self.index.all_documents.values() if published.is_valid(row)]
        assert set(self.index._shards[TENANT].documents) == {row.id for row in rows}
        listed: set[ChunkId] = set()
        for name in _NAMES:
            for seq in range(published.head.history_from, published.seq + 1):
                state = self.state(published, mutation(0, name).mutation.document, seq)
                listed |= state.chunk_ids() if state is not None else set()
        assert set(self.index._shards[TENANT].chunks) == listed

    async def settle(self) -> None:
        """Everybody who waits is let go on; then a last worker commits and sweeps all there is."""
        for _ in range(4000):
            if all(task.done() for task in self.tasks):
                break
            for who in list(self.steps.waiting):
                await self.steps.move(who)
            self.clock.advance(0.05)
        assert all(task.done() for task in self.tasks), "somebody waits for ever"
        for task in self.tasks:
            task.result()
        self.index.pause = None
        policy = SweepPolicy(history=lambda: timedelta(seconds=_KEEPS), rows=2, history_seconds=5.0)
        last = TenantWriter(self.index, self.log, TENANT, self.clock, name="last", sweep=policy)
        await last.commit([mutation(self.offset, "a", "tea", "barley")])
        await self.check_store()
        for seconds in (0.0, 20.0, 30.0, 700.0, 40.0):
            self.clock.advance(seconds)
            for _ in range(300):
                wait = (await last.sweep()).next_in
                if wait > 1.0:
                    break
                self.clock.advance(wait)
            await self.check_store()
        await self.check_no_garbage()


Event = tuple[str, int, tuple[str, ...]]
_EVENTS: st.SearchStrategy[Event] = st.tuples(
    st.sampled_from(
        ["commit"] * 6 + ["sweep"] * 6 + ["move"] * 12 + ["read"] * 3 + ["wait"] * 6 + ["new", "fail", "meet", "meet"]
    ),
    st.integers(0, 30),
    st.lists(st.sampled_from(_WORDS), max_size=3).map(tuple),
)


async def _play(events: list[Event]) -> int:
    index = Flickering()
    await index.create(IndexRecord(IDENTITY, {}, {}, DIMENSION, START))
    await index.create_tenant(first_head(TENANT, START))
    world = World(index)
    world.new_writer()

    async def away() -> None:
        await world.steps.turn("store")

    index.pause = away
    for kind, number, words in events:
        newest = f"w{world.workers}"
        match kind:
            case "commit":
                if not _busy(world):
                    world.commit(_NAMES[number % 3], words, number % 5 == 0)
                    await _run(world, newest, number * 3)
            case "sweep":
                if not _busy(world):
                    assert world.writer is not None
                    world.start(world.writer.sweep())
                    await _run(world, newest, number)
            case "move":
                await _run(
                    world, ("reader", "store", newest, f"w{max(1, world.workers - 1)}")[number % 4], 1 + number // 3
                )
            case "read":
                world.read(number % 7)
                await _run(world, "reader", number)
            case "meet":
                await _meet(world, newest, number)
            case "wait":
                world.clock.advance(float(number))
            case "new":
                world.new_writer()
            case _:
                await world.steps.move(newest, well=False)
    await world.settle()
    return world.answers


async def _meet(world: World, newest: str, number: int) -> None:
    """A read of history begins before rows are being closed, and goes on while they are away."""
    await _finish(world, newest)
    name = _NAMES[number % 3]
    for word in (_WORDS[number % 5], _WORDS[(number + 1) % 5]):
        world.commit(name, (word, "barley"), acl_moves=False)
        await _finish(world, newest)
    world.clock.advance(20.0)
    world.read(1 + number % 2)
    await _run(world, "reader", number % 8)
    assert world.writer is not None
    world.start(world.writer.sweep())
    for _ in range(150):
        if world.steps.waiting["store"]:
            break
        await world.steps.move(newest)
    await _run(world, "reader", 20)


async def _finish(world: World, newest: str) -> None:
    for _ in range(400):
        await world.steps.move("nobody")  # what was started has begun
        if not _busy(world):
            return
        await world.steps.move(newest)
        await world.steps.move("store")


async def _run(world: World, who: str, times: int) -> None:
    for _ in range(times):
        await world.steps.move(who)
        if who.startswith("w") and world.steps.waiting["store"] and times > 15:
            await world.steps.move("store")


def _busy(world: World) -> bool:
    """Whether the newest writer has a call under way: it takes no two at a time."""
    return bool(world.steps.waiting[f"w{world.workers}"]) or bool(world.steps.waiting["store"])


_A_HANGING_STORE: list[Event] = [
    ("commit", 0, ()),
    ("commit", 0, ()),
    ("meet", 2, ()),
    ("wait", 5, ()),
    ("read", 6, ()),
]


@example(events=_A_HANGING_STORE)
@given(events=st.lists(_EVENTS, min_size=5, max_size=60))
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_whatever_happens_every_kept_position_reads_as_it_always_did(
    monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    monkeypatch.setattr(undisturbed, "_POLL_SECONDS", 0.0)
    asyncio.run(_play(events))
