"""What an audit asks of the store, and what it finds of each divergence, on each adapter."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from index.audit.findings import Finding, Kind
from index.audit.walk import StoreWalk
from index.manifest import ChunkId
from index.memory_log import MemoryCommitLog
from index.model import DocumentRow, Published, RowId
from index.port import VersionedIndex
from index.reader import Reader
from index.rows import PositionedMutation
from index.states import states_at
from index.sweeper import SweepPolicy
from index.writer import TenantWriter
from runtime.clock import ManualClock, SystemClock
from schemas.headers import Again
from schemas.identity import Document, Tenant
from schemas.versions import Op
from tests.unit.index.fakes import doc, mutation

pytestmark = pytest.mark.parts
TEXTS = ("the opening hours of the hotline", "the prices of the tariff")


class World:
    """A tenant with a writer that sweeps at once, and no history."""

    def __init__(self, index: VersionedIndex, tenant: Tenant) -> None:
        self.index = index
        self.tenant = tenant
        self.walk = StoreWalk(index)
        self.clock = ManualClock(SystemClock().now())
        self.log = MemoryCommitLog()
        sweep = SweepPolicy(history=lambda: timedelta(0), wait_seconds=0.0, gap_seconds=0.0)
        self.writer = TenantWriter(index, self.log, tenant, self.clock, name="w", sweep=sweep)
        self.offset = 0

    def document(self, name: str) -> Document:
        return doc(name, self.tenant)

    async def write(self, name: str, *texts: str, op: Op = Op.UPSERT, version: int | None = None) -> PositionedMutation:
        self.offset += 1
        item = mutation(self.offset, name, *texts, op=op, version=version, tenant=self.tenant)
        await self.writer.commit([item])
        return item

    async def swept(self) -> None:
        for _ in range(6):
            self.clock.advance(2.0)
            await self.writer.sweep(lambda: 60.0)

    async def repair(self, item: PositionedMutation) -> None:
        self.offset += 1
        at = item.at.model_copy(update={"offset": self.offset})
        await self.writer.commit([PositionedMutation(item.mutation, at, Again.REPAIR)])

    async def published(self) -> Published:
        return await Reader(self.index, self.clock).position(self.tenant)

    async def state(self, name: str) -> DocumentRow:
        published, document = await self.published(), self.document(name)
        return (await states_at(self.index, published, self.tenant, [document], published.seq))[document]

    async def found(self) -> list[Finding]:
        published = await self.published()
        walked = await self.walk.stretch(published, 0, published.seq)
        return [*walked.findings, *await self.walk.seqs(published, 0, published.seq)]

    async def kinds(self) -> set[tuple[Kind, str | None]]:
        return {(one.kind, one.document.doc_id if one.document else None) for one in await self.found()}


@pytest.fixture
async def world(index: VersionedIndex, tenant: Tenant) -> World:
    return World(index, tenant)


async def test_nothing_differs_in_what_writers_and_sweeps_have_made(world: World) -> None:
    await world.write("a", *TEXTS)
    await world.write("b", "another")
    await world.write("a", TEXTS[0], "a new paragraph")
    await world.write("b", op=Op.DELETE)
    assert await world.found() == []
    await world.swept()
    assert await world.found() == []
    published = await world.published()
    assert await world.walk.shortfall(published) == 0
    assert await world.walk.dead_rows(published) == []


async def test_a_missing_chunk_row_is_found_and_written_anew_by_a_repair(world: World) -> None:
    item = await world.write("a", *TEXTS)
    await world.write("b", *TEXTS)
    row = await world.state("a")
    await world.index.remove_chunks(world.tenant, [row.manifest[1].chunk_id])
    assert await world.kinds() == {(Kind.MISSING_CHUNK, "a")}
    await world.repair(item)
    assert await world.found() == []
    again = await world.state("a")
    assert again.content_version == row.content_version
    assert again.chunk_ids().isdisjoint(row.chunk_ids())
    assert set(again.superseded) == row.chunk_ids()


async def test_a_repair_that_comes_again_changes_nothing(world: World) -> None:
    item = await world.write("a", *TEXTS)
    await world.repair(item)
    seq = (await world.published()).seq
    world.offset -= 1
    await world.repair(item)
    assert (await world.published()).seq == seq


async def test_a_repair_of_an_older_version_changes_nothing(world: World) -> None:
    item = await world.write("a", *TEXTS)
    await world.write("a", "newer")
    seq = (await world.published()).seq
    await world.repair(item)
    assert (await world.published()).seq == seq
    assert len((await world.state("a")).manifest) == 1


async def test_a_chunk_row_that_is_another_one_is_found(world: World) -> None:
    await world.write("a", *TEXTS)
    row = await world.state("a")
    id_ = row.manifest[0].chunk_id
    chunk = (await world.index.chunks(world.tenant, [id_], vectors=True))[id_]
    await world.index.remove_chunks(world.tenant, [id_])
    await world.index.insert_chunks(world.tenant, [replace(chunk, text="something else altogether")])
    assert await world.kinds() == {(Kind.WRONG_CHUNK, "a")}


async def test_a_listed_chunk_row_that_is_closed_is_found(world: World) -> None:
    await world.write("a", *TEXTS)
    row = await world.state("a")
    await world.index.close_chunks(world.tenant, {row.manifest[0].chunk_id: 1})
    assert (Kind.CLOSED_CHUNK, "a") in await world.kinds()


async def test_an_extra_chunk_row_is_found_once_nothing_waits_for_the_sweep_and_swept_after_a_repair(
    world: World,
) -> None:
    await world.write("b", "another")
    item = await world.write("a", *TEXTS)
    await world.swept()
    row = await world.state("a")
    one = (await world.index.chunks(world.tenant, row.chunk_ids(), vectors=True))[row.manifest[0].chunk_id]
    extra = replace(one, id=ChunkId(str(uuid.uuid4())))
    await world.index.insert_chunks(world.tenant, [extra])
    assert await world.kinds() == {(Kind.EXTRA_CHUNK, "a")}
    await world.repair(item)
    await world.swept()
    assert await world.found() == []
    assert extra.id not in await world.index.chunks(world.tenant, [extra.id])


async def test_what_a_dead_writer_left_is_no_extra_row_but_is_counted_until_it_is_collected(world: World) -> None:
    await world.write("a", *TEXTS)
    await world.swept()
    row = await world.state("a")
    one = (await world.index.chunks(world.tenant, row.chunk_ids(), vectors=True))[row.manifest[0].chunk_id]
    head = (await world.published()).head
    dead = replace(one, id=ChunkId(str(uuid.uuid4())), epoch=head.epoch - 1, from_seq=9)
    await world.index.insert_chunks(world.tenant, [dead])
    published = await world.published()
    if head.epoch > 1:
        assert [(one.kind, one.rows) for one in await world.walk.dead_rows(published)] == [(Kind.DEAD_ROW, 1)]
    assert await world.found() == []
    world.clock.advance(601.0)
    await world.swept()
    assert await world.walk.dead_rows(await world.published()) == []


async def test_a_head_ahead_of_its_rows_and_a_seq_with_two_rows_are_found(world: World) -> None:
    await world.write("a", *TEXTS)
    await world.write("b", "another")
    published = await world.published()
    twin = replace(await world.state("a"), id=RowId(str(uuid.uuid4())), from_seq=2)
    await world.index.insert_documents(world.tenant, [twin])
    await world.index.put_head(replace(published.head, seq=3))
    found = await world.walk.seqs(await world.published(), 0, 3)
    assert [(one.kind, one.seq) for one in found] == [(Kind.MISSING_ROW, 3), (Kind.DOUBLE_ROW, 2)]


async def test_rows_are_found_by_words_that_the_store_lowers_in_its_own_way(world: World) -> None:
    await world.write("a", "İnternet", "ΟΔΟΣ", "STRASSE", "ﬁnale")
    assert await world.found() == []


async def test_the_search_indexes_know_the_rows_that_are_there(world: World) -> None:
    await world.write("a", *TEXTS)
    row = await world.state("a")
    ids, absent = row.chunk_ids(), ChunkId(str(uuid.uuid4()))
    assert await world.index.in_graph(world.tenant, {*ids, absent}) == ids
    first, second = (entry.chunk_id for entry in row.manifest)
    words = {first: "hotline", second: "nowhere", absent: "hotline"}
    assert await world.index.in_words(world.tenant, words) == {first}
    found = await world.index.open_chunks([world.document("a"), world.document("b")], limit=10)
    assert {chunk.id for chunk in found} == ids
    assert {(chunk.document, chunk.from_seq) for chunk in found} == {(world.document("a"), 1)}
    assert await world.index.count_documents(world.tenant) == 1
