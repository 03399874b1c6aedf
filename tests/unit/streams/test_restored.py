"""A store that stands where a backup did: noticed by what index.commits tells, and gone back for."""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from index.catalogue import Build, Catalogue, restored
from index.memory import MemoryIndex
from index.memory_log import MemoryCommitLog
from index.model import Head, IndexIdentity, first_head
from index.reader import Reader
from index.rows import PositionedMutation
from index.went_back import heads_of, lost_commits, lost_offsets, published_first, published_last
from runtime.clock import ManualClock
from runtime.log_port import MemoryLog, StoredRecord
from schemas.codec import encode
from schemas.errors import TransientError
from schemas.identity import Tenant
from schemas.records import Coordinates, Generation, GenerationState, Record
from schemas.topics import GENERATIONS, mutations_topic
from streams.restored import ConfirmedCommits, Restoration, StoreWatch, StoreWentBackError, confirmed, stands_at
from tests.unit.index.fakes import IDENTITY, TENANT, hide, mutation, new_index, writer_on
from tests.unit.streams.records import topics

AT = datetime(2026, 1, 1, tzinfo=UTC)
FIRST, SECOND = IndexIdentity("g1", "i1"), IndexIdentity("g1", "i2")
MUTATIONS = mutations_topic("g1")


class Store:
    """A twin whose state is put aside as a backup, and back."""

    def __init__(self, index: MemoryIndex) -> None:
        self.index = index
        self.backup = copy.deepcopy(index._shards)

    def put_back(self) -> None:
        self.index._shards = copy.deepcopy(self.backup)
        self.index.connection += 1


async def written(index: MemoryIndex, log: MemoryCommitLog, items: Collection[PositionedMutation]) -> None:
    writer = writer_on(index, log)
    for item in items:
        await writer.commit([item])


def tenants_behind(heads: Mapping[Tenant, Head], told: Iterable[Record], identity: IndexIdentity) -> set[Tenant]:
    return {commit.tenant for commit in lost_commits(heads, told, identity)}


async def test_a_head_behind_what_was_told_means_that_the_store_went_back() -> None:
    index, log = await new_index(), MemoryCommitLog()
    await written(index, log, [mutation(1, "a", "one")])
    store = Store(index)
    assert tenants_behind(await heads_of(index), log.records, IDENTITY) == set()
    await written(index, log, [mutation(2, "a", "two")])
    assert tenants_behind(await heads_of(index), log.records, IDENTITY) == set()
    store.put_back()
    assert tenants_behind(await heads_of(index), log.records, IDENTITY) == {TENANT}
    assert tenants_behind(await heads_of(index), log.records, IndexIdentity("g1", "other")) == set()


async def test_a_tenant_whose_shard_is_not_in_the_backup_went_back_too() -> None:
    index, log = await new_index(), MemoryCommitLog()
    await written(index, log, [mutation(3, "a", "one")])
    assert tenants_behind({}, log.records, IDENTITY) == {TENANT}


def test_an_empty_store_was_never_published_to() -> None:
    head = first_head(TENANT, AT)
    assert published_last([head]) is None
    later = replace(head, seq=3, published_at=datetime(2026, 2, 1, tzinfo=UTC))
    assert published_last([head, later]) == published_first([head, later]) == later.published_at
    assert published_first([replace(later, published_at=AT), later]) == AT


async def test_a_writer_takes_over_again_once_the_connection_was_lost() -> None:
    index, log = await new_index(), MemoryCommitLog()
    writer = writer_on(index, log)
    await writer.commit([mutation(4, "a", "one")])
    await writer.commit([mutation(5, "a", "two")])
    index.connection += 1
    await writer.commit([mutation(6, "a", "three")])
    assert [type(record).__name__ for record in log.records] == ["TakeOver", "Commit", "Commit", "TakeOver", "Commit"]


async def test_nothing_is_taken_over_and_no_offset_told_where_the_store_went_back() -> None:
    index, log = await new_index(), MemoryCommitLog()

    async def went_back() -> bool:
        return bool(tenants_behind(await heads_of(index), log.records, IDENTITY))

    store, watch = Store(index), StoreWatch(index, went_back)
    writer = writer_on(index, ConfirmedCommits(log, watch))
    await writer.commit([mutation(7, "a", "one")])
    index.connection += 1
    await watch.confirm()  # a restart alone
    before = len(log.records)
    store.put_back()
    with pytest.raises(StoreWentBackError):
        await writer.commit([mutation(8, "a", "two")])
    with pytest.raises(TransientError):
        await confirmed(index.put_acknowledged, watch)(0, 7)
    assert len(log.records) == before
    assert (await index.acknowledged()).offsets == {}


async def test_an_offset_that_comes_to_the_store_put_back_loses_nothing_that_was_told() -> None:
    """A connection that is being made takes calls already: only once one has gone through is it known to be another."""
    index, log = await new_index(), MemoryCommitLog()

    async def went_back() -> bool:
        return bool(tenants_behind(await heads_of(index), log.records, IDENTITY))

    writer = writer_on(index, log)
    await writer.commit([mutation(7, "a", "one")])
    await index.put_acknowledged(0, 8)
    store, watch = Store(index), StoreWatch(index, went_back)
    await writer.commit([mutation(9, "a", "two")])
    await writer.commit([mutation(11, "b", "three")])
    await writer.commit([hide(90, "b", version=12)])

    async def put(partition: int, offset: int) -> None:
        store.put_back()
        await index.put_acknowledged(partition, offset)

    await confirmed(put, watch)(0, 12)
    stored = (await index.acknowledged()).offsets
    assert stored == {0: 12}
    lost = lost_offsets(await heads_of(index), log.records, IDENTITY)
    assert lost == {0: 9}
    assert stands_at(stored, lost) == {0: 9}
    assert stands_at({0: 8, 1: 4}, lost) == {0: 8, 1: 4}


async def test_a_store_that_lost_a_hide_alone_went_back_and_lacks_no_mutation() -> None:
    index, log = await new_index(), MemoryCommitLog()
    store = Store(index)
    writer = writer_on(index, log)
    await writer.commit([hide(1, "a", version=12)])
    assert lost_offsets(await heads_of(index), log.records, IDENTITY) is None
    store.put_back()
    assert lost_offsets(await heads_of(index), log.records, IDENTITY) == {}


async def test_a_reader_refuses_a_store_that_shows_less_than_it_has_seen() -> None:
    index, log = await new_index(), MemoryCommitLog()
    reader = Reader(index, ManualClock())
    store = Store(index)
    await written(index, log, [mutation(9, "a", "one")])
    assert (await reader.position(TENANT)).seq == 1
    store.put_back()
    with pytest.raises(TransientError, match="older than it was"):
        await reader.position(TENANT)
    await written(index, log, [mutation(10, "a", "again")])
    assert (await reader.position(TENANT)).seq == 1


def test_a_restored_build_is_marked_for_each_partition_beside_what_it_needs() -> None:
    record = Generation(name="g1", incarnation="i1", state=GenerationState.LIVE, recipe="r", at=AT)
    assert Build(record, 0).restored == set()
    asked = {"index.mutations.g1/0": 5, **restored({0, 3})}
    assert Build(record.model_copy(update={"acknowledged": asked}), 1).restored == {0, 3}


def test_tenants_are_told_apart() -> None:
    assert tenants_behind({Tenant("other"): first_head(Tenant("other"), AT)}, [], IDENTITY) == set()


@dataclass
class Builds:
    """index.generations, and a process that applies the first of two builds; `on_ends` runs while it looks at the ends
    of the log.
    """

    log: MemoryLog = field(default_factory=MemoryLog)
    on_ends: Callable[[], None] = lambda: None
    begun: list[Tenant] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.index = MemoryIndex(FIRST)
        self.restoration = Restoration(
            self.index,
            self.catalogue,
            self,
            topics(),
            self.log,
            now=lambda: AT,
            assigned=lambda: frozenset({0}),
            begin_history=self.begin_history,
        )
        self.say(FIRST, GenerationState.LIVE)
        self.say(SECOND, GenerationState.BUILDING)

    def say(self, identity: IndexIdentity, state: GenerationState) -> None:
        record = Generation(
            name=identity.generation, incarnation=identity.incarnation, state=state, recipe="r", at=AT, acknowledged={}
        )
        records = self.log._partitions[GENERATIONS, 0]
        at = Coordinates(topic=GENERATIONS, partition=0, offset=len(records))
        records.append(StoredRecord(at, str(identity), encode(record)))

    def catalogue(self) -> Catalogue:
        return Catalogue().extended(self.log.records(GENERATIONS))

    def live(self) -> IndexIdentity | None:
        live = self.catalogue().live
        return None if live is None else live.identity

    def end_offsets(self, _topic: str) -> dict[int, int]:
        self.on_ends()
        return {0: 5}

    def reached(self, _group: str, _topic: str) -> dict[int, int]:
        return {0: 5}

    async def begin_history(self, tenant: Tenant) -> None:
        self.begun.append(tenant)


async def test_a_restored_build_answers_again_once_it_has_caught_up() -> None:
    builds = Builds()
    await builds.index.create_tenant(first_head(TENANT, AT))
    await builds.restoration.announce()
    assert builds.catalogue().builds[FIRST].restored
    await builds.index.put_acknowledged(0, 5)
    assert not await builds.restoration.look()
    assert await builds.restoration.look()
    assert builds.live() == FIRST
    assert builds.begun == [TENANT] * (topics().partition(MUTATIONS, tenant=TENANT) == 0)


async def test_a_restored_build_that_was_left_meanwhile_does_not_become_live_again_when_it_has_caught_up() -> None:
    builds = Builds()
    await builds.restoration.announce()
    builds.say(SECOND, GenerationState.LIVE)
    await builds.index.put_acknowledged(0, 5)
    await builds.restoration.look()
    assert builds.live() == SECOND
    assert not builds.catalogue().builds[FIRST].restored


async def test_a_switch_while_a_restored_build_is_announced_holds() -> None:
    builds = Builds()
    read = builds.catalogue

    def switched() -> Catalogue:
        before = read()
        builds.say(SECOND, GenerationState.LIVE)
        builds.restoration._read = read
        return before

    builds.restoration._read = switched
    await builds.restoration.announce()
    assert builds.live() == SECOND
    assert builds.catalogue().builds[FIRST].restored
