"""Which build a replica answers from: switches, switches back, and what it does when it cannot look."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from index.embedding.words import HashedWordsEmbedder
from index.memory import MemoryIndex
from index.model import SCHEMA, IndexIdentity
from index.port import IndexRecord
from runtime.clock import ManualClock, SystemClock
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
from serving.live import LOST_SECONDS, Live, Opened
from serving.problems import ProblemError
from serving.readiness import Readiness
from serving.views import Served
from serving.wiring import Desk, Outside
from tests.unit.serving.world import settings

AT = datetime(2026, 1, 1, tzinfo=UTC)
BUILDING, LIVE, RETIRED = GenerationState.BUILDING, GenerationState.LIVE, GenerationState.RETIRED
FIRST, SECOND = IndexIdentity("g1", "i1"), IndexIdentity("g1", "i2")


@dataclass
class Replica:
    """A replica's `Live` on twins; `records` is index.generations."""

    records: list[StoredRecord] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)
    embedder: HashedWordsEmbedder = field(default_factory=lambda: HashedWordsEmbedder(dimension=8))
    indexes: dict[IndexIdentity, MemoryIndex] = field(default_factory=dict)
    served: dict[int, IndexIdentity] = field(default_factory=dict)
    is_away: bool = False

    def __post_init__(self) -> None:
        clock = SystemClock()
        outside = Outside(self.embedder, build_authenticator(settings(), clock), TokenKey(b"k" * 32), clock, Metrics())
        self.desk = Desk(outside, Limits(), Thresholds())
        self.live = Live(self.read, self.open, self.clock)

    def read(self) -> list[StoredRecord]:
        if self.is_away:
            raise TransientError("no broker")
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

    def answers_from(self) -> IndexIdentity:
        return self.served[id(self.live.served())]


async def replica() -> Replica:
    """One that answers from the first build; the second exists."""
    one = Replica()
    await one.add(FIRST)
    await one.add(SECOND)
    one.say(FIRST, LIVE)
    await one.live.look()
    return one


async def test_a_switch_is_followed_once_the_build_covers_what_it_asks_and_back_likewise() -> None:
    one = await replica()
    assert one.answers_from() == FIRST
    one.say(SECOND, BUILDING, **{"index.mutations.g1/0": 3})
    one.say(SECOND, LIVE, **{"index.mutations.g1/0": 5, "index.hides/0": 9})
    await one.indexes[SECOND].put_acknowledged(0, 4)
    await one.live.look()
    assert one.answers_from() == FIRST
    await one.indexes[SECOND].put_acknowledged(0, 5)
    await one.live.look()
    assert one.answers_from() == SECOND
    assert await one.live.not_ready() == ()
    one.say(FIRST, LIVE, **{"index.mutations.g1/0": 7})
    await one.live.look()
    assert one.answers_from() == SECOND
    await one.indexes[FIRST].put_acknowledged(0, 7)
    await one.live.look()
    assert one.answers_from() == FIRST
    await one.live.close()


async def test_a_replica_that_cannot_look_answers_nothing_until_it_can_and_then_from_the_new_build() -> None:
    one = await replica()
    one.is_away = True
    one.say(SECOND, LIVE)
    one.clock.advance(LOST_SECONDS - 1)
    await one.live.look()
    assert one.answers_from() == FIRST
    one.clock.advance(2)
    await one.live.look()
    with pytest.raises(ProblemError) as refused:
        one.live.served()
    assert refused.value.problem.status == 503
    assert "switch" in (await one.live.not_ready())[0]
    one.is_away = False
    await one.live.look()
    assert one.answers_from() == SECOND
    await one.live.close()


async def test_a_replica_that_starts_without_a_broker_answers_nothing_until_it_knows() -> None:
    one = Replica(is_away=True)
    await one.live.look()
    with pytest.raises(ProblemError):
        one.live.served()
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
    before: Served = one.live.served()
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
