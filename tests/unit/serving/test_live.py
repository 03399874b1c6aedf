"""Which build a replica answers from: switches, switches back, and what it does when it cannot look."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from index.embedding.words import HashedWordsEmbedder
from index.memory import MemoryIndex
from index.model import SCHEMA, IndexIdentity
from index.port import IndexRecord, VersionedIndex
from runtime.clock import SystemClock
from runtime.freshness_token import TokenKey
from runtime.log_port import StoredRecord
from runtime.metrics import Metrics
from schemas.codec import encode
from schemas.errors import ConfigError, TransientError
from schemas.records import Coordinates, Generation, GenerationState
from schemas.topics import GENERATIONS
from serving.auth import build_authenticator
from serving.core.threshold import Thresholds
from serving.limit import Limits
from serving.live import Live, Opened
from serving.problems import ProblemError
from serving.reach import Ends
from serving.readiness import Readiness
from serving.views import Served
from serving.wiring import Desk, Outside
from tests.unit.serving.world import settings

AT = datetime(2026, 1, 1, tzinfo=UTC)
BUILDING, LIVE, RETIRED = GenerationState.BUILDING, GenerationState.LIVE, GenerationState.RETIRED
FIRST, SECOND = IndexIdentity("g1", "i1"), IndexIdentity("g1", "i2")


@dataclass
class Log:
    """How far the log is and what each build has of index.hides; `asked` counts."""

    mutations: dict[int, int] = field(default_factory=dict)
    hides: dict[int, int] = field(default_factory=dict)
    have: dict[IndexIdentity, dict[int, int]] = field(default_factory=dict)
    asked: int = 0
    after_asking: dict[int, int] = field(default_factory=dict)
    """How often its end was asked -> mutations that come right after."""

    def ends(self, _build: IndexIdentity) -> Ends:
        ends = Ends(dict(self.mutations), dict(self.hides))
        self.asked += 1
        self.mutations[0] = self.mutations.get(0, 0) + self.after_asking.get(self.asked, 0)
        return ends

    def hides_of(self, build: IndexIdentity) -> Mapping[int, int]:
        return self.have.get(build, {})


@dataclass
class Replica:
    """A replica's `Live` on twins; `records` is index.generations."""

    records: list[StoredRecord] = field(default_factory=list)
    embedder: HashedWordsEmbedder = field(default_factory=lambda: HashedWordsEmbedder(dimension=8))
    indexes: dict[IndexIdentity, MemoryIndex] = field(default_factory=dict)
    served: dict[int, IndexIdentity] = field(default_factory=dict)
    log: Log = field(default_factory=Log)
    is_away: bool = False
    is_refused: bool = False
    restored: set[IndexIdentity] = field(default_factory=set)
    """Builds whose store stands where a backup did, and whose writer has not said so yet."""
    hold_seconds: float = 30.0

    def __post_init__(self) -> None:
        clock = SystemClock()
        outside = Outside(self.embedder, build_authenticator(settings(), clock), TokenKey(b"k" * 32), clock, Metrics())
        self.desk = Desk(outside, Limits(), Thresholds())
        self.live = Live(self.read, self.open, self.log, self.went_back, hold_seconds=self.hold_seconds)

    async def went_back(self, index: VersionedIndex) -> bool:
        return index.identity in self.restored

    def read(self) -> list[StoredRecord]:
        if self.is_away:
            raise TransientError("no broker")
        if self.is_refused:
            raise ConfigError("no such topic")
        return self.records

    def open(self, identity: IndexIdentity) -> Opened:
        index = self.indexes[identity]
        served = self.desk.serve(index)
        self.served[id(served)] = identity
        return Opened(index, Readiness(index, self.embedder), served)

    async def add(self, identity: IndexIdentity, schema: str = SCHEMA) -> None:
        index = self.indexes[identity] = MemoryIndex(identity)
        recipe = {"embedder": self.embedder.fingerprint, "schema": schema}
        await index.create(IndexRecord(identity, recipe, {}, 8, AT))

    def say(self, identity: IndexIdentity, state: GenerationState, **acknowledged: int) -> None:
        value = Generation(
            name=identity.generation,
            incarnation=identity.incarnation,
            state=state,
            recipe="r",
            acknowledged=acknowledged,
            at=AT,
        )
        at = Coordinates(topic=GENERATIONS, partition=0, offset=len(self.records))
        self.records.append(StoredRecord(at, str(identity), encode(value)))

    async def answers_from(self) -> IndexIdentity:
        return self.served[id(await self.live.served())]


async def replica(hold_seconds: float = 30.0) -> Replica:
    """One that answers from the first build; the second exists."""
    one = Replica(hold_seconds=hold_seconds)
    await one.add(FIRST)
    await one.add(SECOND)
    one.say(FIRST, LIVE)
    await one.live.look()
    return one


async def test_a_switch_is_followed_once_the_build_covers_what_it_asks_and_back_likewise() -> None:
    one = await replica()
    assert await one.answers_from() == FIRST
    one.say(SECOND, BUILDING, **{"index.mutations.g1/0": 3})
    one.say(SECOND, LIVE, **{"index.mutations.g1/0": 5, "index.hides/0": 9})
    await one.indexes[SECOND].put_acknowledged(0, 4)
    await one.live.look()
    assert await one.answers_from() == FIRST
    await one.indexes[SECOND].put_acknowledged(0, 5)
    await one.live.look()
    assert await one.answers_from() == SECOND
    assert await one.live.not_ready() == ()
    one.say(FIRST, LIVE, **{"index.mutations.g1/0": 7})
    await one.live.look()
    assert await one.answers_from() == SECOND
    await one.indexes[FIRST].put_acknowledged(0, 7)
    await one.live.look()
    assert await one.answers_from() == FIRST
    await one.live.close()


async def test_a_replica_that_cannot_look_goes_on_with_the_build_it_knows_and_follows_when_it_can() -> None:
    one = await replica()
    one.is_away = True
    one.say(SECOND, LIVE)
    for _ in range(3):
        await one.live.look()
    assert await one.answers_from() == FIRST
    assert await one.live.not_ready() == ()
    one.is_away = False
    await one.live.look()
    assert await one.answers_from() == SECOND
    await one.live.close()


async def test_a_switch_waits_for_the_log_end_seen_by_the_replica_itself() -> None:
    one = await replica()
    one.log.mutations[0], one.log.hides[2] = 7, 4
    one.say(SECOND, LIVE, **{"index.mutations.g1/0": 5})
    await one.indexes[SECOND].put_acknowledged(0, 5)
    await one.live.look()
    assert await one.answers_from() == FIRST, "the build before may have shown what was applied since"
    await one.indexes[SECOND].put_acknowledged(0, 7)
    await one.live.look()
    assert await one.answers_from() == FIRST, "a delete that ran ahead is not there yet"
    one.log.have[SECOND] = {2: 4}
    await one.live.look()
    assert await one.answers_from() == SECOND
    await one.live.close()


async def test_requests_that_come_during_a_switch_wait_for_the_new_build() -> None:
    one = await replica()
    one.say(SECOND, LIVE)
    one.log.mutations[0] = 3
    await one.indexes[SECOND].put_acknowledged(0, 3)
    one.log.after_asking = {1: 1}
    looking = asyncio.create_task(one.live.look())
    while one.log.asked < 2:
        await asyncio.sleep(0.001)
    asked = asyncio.create_task(one.live.served())
    await asyncio.sleep(0.01)
    assert not asked.done()
    await one.indexes[SECOND].put_acknowledged(0, 4)
    await looking
    assert one.served[id(await asked)] == SECOND
    await one.live.close()


async def test_a_switch_that_does_not_come_about_in_time_lets_requests_go_on() -> None:
    one = await replica(hold_seconds=0.05)
    one.say(SECOND, LIVE)
    one.log.after_asking = {1: 1}
    await one.live.look()
    assert one.log.asked == 2
    assert await one.answers_from() == FIRST
    await one.indexes[SECOND].put_acknowledged(0, 1)
    await one.live.look()
    assert await one.answers_from() == SECOND
    await one.live.close()


async def test_a_replica_that_waits_for_a_switch_sees_what_is_said_meanwhile() -> None:
    one = await replica()
    one.log.mutations[0] = 3
    one.say(SECOND, LIVE)
    await one.live.look()
    one.say(FIRST, BUILDING, **{"restored/0": 1})
    await one.live.look()
    with pytest.raises(ProblemError):
        await one.live.served()
    await one.live.close()


async def test_a_store_that_is_put_back_while_its_end_is_waited_for_is_not_answered_from() -> None:
    one = await replica()
    one.say(SECOND, LIVE)
    one.log.after_asking = {1: 3}
    looking = asyncio.create_task(one.live.look())
    while one.log.asked < 2:
        await asyncio.sleep(0.001)
    one.restored.add(SECOND)
    one.indexes[SECOND].connection += 1
    await one.indexes[SECOND].put_acknowledged(0, 3)
    await looking
    assert await one.answers_from() == FIRST
    one.restored.clear()
    await one.live.look()
    assert await one.answers_from() == SECOND
    await one.live.close()


async def test_where_everything_takes_long_each_attempt_to_switch_waits_longer() -> None:
    one = await replica(hold_seconds=0.01)
    one.say(SECOND, LIVE)
    one.log.after_asking = dict.fromkeys(range(1, 99), 1)

    async def slowly() -> None:
        while True:
            ends = one.log.mutations.get(0, 0)
            await asyncio.sleep(0.1)
            await one.indexes[SECOND].put_acknowledged(0, ends)

    applying = asyncio.create_task(slowly())
    await one.live.look()
    assert await one.answers_from() == FIRST
    looks = 0
    while await one.answers_from() == FIRST:
        looks += 1
        assert looks < 100
        await asyncio.sleep(0.02)
        await one.live.look()
    applying.cancel()
    await one.live.close()


async def test_a_broker_that_does_not_know_the_topic_ends_a_start_and_no_replica_that_answers() -> None:
    one = await replica()
    one.is_refused = True
    await one.live.look()
    assert await one.answers_from() == FIRST
    await one.live.close()
    with pytest.raises(ConfigError):
        await Replica(is_refused=True).live.look()


async def test_a_replica_that_starts_on_a_store_put_back_answers_nothing_before_its_writer_has_noticed() -> None:
    one = Replica(restored={FIRST})
    await one.add(FIRST)
    one.say(FIRST, LIVE)
    await one.live.look()
    with pytest.raises(ProblemError):
        await one.live.served()
    one.restored.clear()
    await one.live.look()
    assert await one.answers_from() == FIRST
    await one.live.close()


async def test_a_store_put_back_while_a_replica_answers_is_noticed_with_its_connection() -> None:
    one = await replica()
    one.restored.add(FIRST)
    await one.live.look()
    assert await one.answers_from() == FIRST  # not asked while the connection holds
    one.indexes[FIRST].connection += 1
    await one.live.look()
    with pytest.raises(ProblemError):
        await one.live.served()
    assert "restored" in "".join(await one.live.not_ready())
    before = dict(one.served)
    one.restored.clear()
    await one.live.look()
    assert await one.answers_from() == FIRST
    assert len(one.served) == len(before) + 1, "answered anew: what was kept is of another index"


async def test_a_replica_that_starts_without_a_broker_answers_nothing_until_it_knows() -> None:
    one = Replica(is_away=True)
    await one.live.look()
    with pytest.raises(ProblemError) as refused:
        await one.live.served()
    assert refused.value.problem.status == 503
    assert await one.live.not_ready()
    await one.live.close()


async def test_where_nothing_is_live_or_the_live_build_is_of_another_schema_the_process_ends_with_one_line() -> None:
    with pytest.raises(ConfigError, match="millstream up"):
        await Replica().live.look()
    one = await replica()
    three = IndexIdentity("g2", "i1")
    await one.add(three, schema="another")
    one.say(three, LIVE)
    with pytest.raises(ConfigError, match="schema"):
        await one.live.look()


async def test_streams_of_the_build_before_end_and_requests_under_way_do_not() -> None:
    one = await replica()
    before: Served = await one.live.served()
    ended = asyncio.Event()
    held = one.live._current
    assert held is not None
    one.live._current = Opened(
        held.index, held.readiness, Served(before.answering, before.documents, before.changes, ended.set)
    )
    one.say(SECOND, LIVE)
    await one.live.look()
    assert ended.is_set()
    assert await one.indexes[FIRST].ready(), "it stays open for requests under way"
    await one.live.close()
    assert not await one.indexes[FIRST].ready()


async def test_a_restored_build_answers_nobody_until_it_has_caught_up_and_then_anew() -> None:
    one = await replica()
    before = await one.live.served()
    one.say(FIRST, LIVE, **{"index.mutations.g1/0": 5, "restored/0": 1})
    await one.live.look()
    with pytest.raises(ProblemError):
        await one.live.served()
    assert "backup" in (await one.live.not_ready())[0]
    one.say(FIRST, LIVE, **{"index.mutations.g1/0": 5})
    await one.live.look()
    assert await one.answers_from() == FIRST
    assert await one.live.served() is not before, "caches and positions are of another index"
    await one.live.close()


async def test_a_restored_build_that_a_switch_leaves_answers_nobody_until_the_new_one_does() -> None:
    one = await replica()
    one.say(FIRST, LIVE, **{"index.mutations.g1/0": 5, "restored/0": 1})
    await one.live.look()
    one.say(SECOND, LIVE, **{"index.mutations.g1/0": 7})
    await one.live.look()
    with pytest.raises(ProblemError):
        await one.live.served()
    await one.indexes[SECOND].put_acknowledged(0, 7)
    await one.live.look()
    assert await one.answers_from() == SECOND
    assert not await one.live.not_ready()
    await one.live.close()


async def test_a_build_that_a_switch_leaves_while_its_store_is_restored_answers_nobody() -> None:
    one = await replica()
    one.say(SECOND, LIVE, **{"index.mutations.g1/0": 7})
    await one.live.look()
    assert await one.answers_from() == FIRST
    one.say(FIRST, BUILDING, **{"index.mutations.g1/0": 5, "restored/0": 1})
    await one.live.look()
    with pytest.raises(ProblemError):
        await one.live.served()
    await one.live.close()
