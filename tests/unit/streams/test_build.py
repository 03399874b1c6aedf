"""Builds from the log equal the serial reference, whatever was compacted and wherever they were cut off."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import IndexIdentity, first_head
from index.moments import HistoryUnavailableError
from index.port import IndexRecord, VersionedIndex
from index.reader import Reader
from index.rows import PositionedMutation
from index.writer import TenantWriter
from runtime.clock import ManualClock
from runtime.log_port import StoredRecord
from schemas.codec import encode
from schemas.records import Coordinates
from schemas.versions import Op
from streams.build import Build, BuildFailedError, SilentCommits
from streams.tenant_queue import Bounds
from tests.unit.index.fakes import DIMENSION, START, TENANT, Tapped, mutation, question, reference, states
from tests.unit.streams.records import MUTATIONS, topics

SECOND = IndexIdentity("g1", "i2")
PARTITION = topics().partition(MUTATIONS, tenant=TENANT)


class Records:
    """One partition of a compacted topic, as `LogSpan` reads it; the others are empty."""

    def __init__(self, records: Sequence[StoredRecord], end: int) -> None:
        self.records = records
        self.end = end
        self.begun: list[int] = []
        self._next = 0

    async def start(self, begins: Mapping[int, int]) -> Mapping[int, int]:
        self._next = begins.get(PARTITION, 0)
        self.begun.append(self._next)
        return {partition: self.end if partition == PARTITION else 0 for partition in range(4)}

    async def read(self) -> Sequence[StoredRecord]:
        await asyncio.sleep(0)
        found = [record for record in self.records if record.coordinates.offset >= self._next][:3]
        self._next = found[-1].coordinates.offset + 1 if found else self.end
        return found

    async def stop(self) -> None:
        return


def stored(mutations: Sequence[PositionedMutation]) -> list[StoredRecord]:
    """As the topic holds them."""
    return [
        StoredRecord(
            Coordinates(topic=MUTATIONS, partition=PARTITION, offset=item.at.offset),
            item.mutation.key,
            encode(item.mutation),
        )
        for item in mutations
    ]


def compacted(records: Sequence[StoredRecord], chance: Random) -> list[StoredRecord]:
    """Without some of the records that a later one of the same key makes unnecessary."""
    newest = {record.key: record for record in records}
    return [record for record in records if newest[record.key] is record or chance.random() < 0.5]


async def empty(identity: IndexIdentity = SECOND) -> MemoryIndex:
    index = MemoryIndex(identity)
    await index.create(IndexRecord(identity, {}, {}, DIMENSION, START))
    await index.create_tenant(first_head(TENANT, START))
    return index


def build(index: VersionedIndex, span: Records, log: MemoryCommitLog, skipped: Sequence[Coordinates] = ()) -> Build:
    return Build(
        index,
        span,
        lambda tenant: TenantWriter(index, SilentCommits(log), tenant, ManualClock(), name="build"),
        topics(),
        skipped=skipped,
        bounds=Bounds(4),
    )


def some_changes(chance: Random) -> list[PositionedMutation]:
    """Changes in the order of their versions, each acl with its copy, as prepare appends them."""
    found: list[PositionedMutation] = []
    for _ in range(chance.randint(1, 25)):
        op = chance.choice([Op.UPSERT, Op.UPSERT, Op.UPSERT, Op.DELETE, Op.ACL])
        acl = chance.sample(["public", "staff", "board"], chance.randint(0, 2))
        texts = chance.choices(("tea", "milk", "corn", "rye"), k=chance.randint(0, 3)) if op is Op.UPSERT else ()
        carries = op is Op.ACL or (op is Op.UPSERT and chance.random() < 0.5)
        one = mutation(len(found), chance.choice("abcd"), *texts, op=op, acl=acl if carries else None)
        found.append(one)
        if carries and op is Op.UPSERT:
            copy = one.mutation.model_copy(update={"op": Op.ACL, "content": None})
            found.append(PositionedMutation(copy, one.at.model_copy(update={"offset": len(found)})))
    return found


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_a_build_of_a_compacted_log_cut_off_anywhere_equals_the_reference(seed: int) -> None:
    asyncio.run(_build_and_compare(Random(seed)))


async def _build_and_compare(chance: Random) -> None:
    changes = some_changes(chance)
    records = compacted(stored(changes), chance)
    index, log = await empty(), MemoryCommitLog()
    span = Records(records, len(changes))
    fails_at = [chance.randint(1, 30) for _ in range(chance.randint(0, 3))]
    for calls in fails_at:
        left = calls

        async def around(name: str, call):
            nonlocal left
            left -= name in ("insert_chunks", "insert_documents", "put_head", "document_rows")
            if left == 0:
                raise KeyError("cut off")
            return await call()

        try:
            await build(Tapped(index, around), span, log).run()
        except KeyError:
            continue
    covered = await build(index, span, log).run()
    assert covered[PARTITION] == len(changes)
    assert (await index.acknowledged()).offsets[PARTITION] == len(changes)
    assert log.commits() == (), "a build tells nobody what becomes visible"
    published = await Reader(index, ManualClock()).position(TENANT)
    assert await states(index, published) == reference(changes)


async def test_a_build_goes_on_where_the_store_has_acknowledged_to() -> None:
    changes = [mutation(offset, f"d{offset}", "tea") for offset in range(6)]
    index, log = await empty(), MemoryCommitLog()
    await build(index, Records(stored(changes[:4]), 4), log).run()
    later = Records(stored(changes), 6)
    again = build(index, later, log)
    await again.run()
    assert later.begun == [4]
    assert again.progress.records == 2
    published = await Reader(index, ManualClock()).position(TENANT)
    assert await states(index, published) == reference(changes)


async def test_nothing_a_build_passed_through_can_be_asked_as_of() -> None:
    changes = [mutation(offset, "a", f"tea {offset}") for offset in range(3)]
    index = await empty()
    await build(index, Records(stored(changes), 3), MemoryCommitLog()).run()
    reader = Reader(index, ManualClock())
    published = await reader.position(TENANT)
    assert published.head.history_from == published.seq > 1
    with pytest.raises(HistoryUnavailableError):
        await reader.retrieve(question("tea", as_of=published.seq - 1))
    assert (await reader.retrieve(question("tea", as_of=published.seq))).at.seq == published.seq


async def test_a_record_that_cannot_be_applied_fails_the_build_with_its_coordinates() -> None:
    changes = [mutation(offset, f"d{offset}", "tea") for offset in range(3)]
    bad = StoredRecord(Coordinates(topic=MUTATIONS, partition=PARTITION, offset=3), "acme", b"no schema decodes this")
    index, log = await empty(), MemoryCommitLog()
    with pytest.raises(BuildFailedError, match=rf"{MUTATIONS}/{PARTITION}/3 cannot be applied \(undecodable"):
        await build(index, Records([*stored(changes), bad], 4), log).run()
    assert await build(index, Records([*stored(changes), bad], 4), log, [bad.coordinates]).run()
    published = await Reader(index, ManualClock()).position(TENANT)
    assert await states(index, published) == reference(changes)


async def test_a_record_of_a_tenant_without_a_shard_fails_the_build() -> None:
    index, log = MemoryIndex(SECOND), MemoryCommitLog()
    await index.create(IndexRecord(SECOND, {}, {}, DIMENSION, START))
    with pytest.raises(BuildFailedError, match=r"no_source.*source apply"):
        await build(index, Records(stored([mutation(0, "a", "tea")]), 1), log).run()
