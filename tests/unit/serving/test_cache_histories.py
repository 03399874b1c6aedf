"""The cache rules behind real writers: workers that pause, die, lose calls and wake up after others took over, as in
tests/unit/index/test_writer_histories.py, and two replicas that are told what those really emit, each at its own pace.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from index.model import ContentState, Published
from index.reader import Reader
from runtime.clock import ManualClock
from schemas.identity import Document
from schemas.records import Commit
from schemas.versions import Version
from serving.core.cache_rules import CacheKey, CacheRules, Hit, Place, Told
from tests.unit.index import test_writer_histories as histories
from tests.unit.index.fakes import TENANT, new_index, states

AUDIENCES = (frozenset({"public", "staff"}), frozenset({"public", "board"}), frozenset({"board"}))
Value = frozenset[tuple[Document, Version | None, tuple[str, ...]]]


@dataclass
class Replica:
    rules: CacheRules[Value] = field(default_factory=lambda: CacheRules(100))
    position: int = 0
    asked: list[tuple[CacheKey, Published, Value]] = field(default_factory=list)


@dataclass
class Served(histories.World):
    """The world, with somebody asking. Questions come, are looked up, computed and stored at any later time."""

    chance: Random = field(default_factory=Random)
    replicas: list[Replica] = field(default_factory=lambda: [Replica(), Replica()])
    outcomes: Counter[str] = field(default_factory=Counter[str])

    def move(self, worker: histories.Worker, fate: histories.Fate) -> None:
        super().move(worker, fate)
        for replica in self.replicas:
            match self.chance.randrange(12):
                case 0 | 1:
                    self._consume(replica, self.chance.randrange(1, 4))
                case 2:
                    self._begin(replica)
                case 3 if replica.asked:
                    self._end(replica, self.chance.randrange(len(replica.asked)))
                case _:
                    pass

    def look(self) -> None:
        super().look()
        for replica in self.replicas:
            for _ in AUDIENCES:
                self._begin(replica)
                self._end(replica, -1)

    def _consume(self, replica: Replica, amount: int) -> None:
        for record in self.log.records[replica.position : replica.position + amount]:
            replica.position += 1
            if isinstance(record, Commit):
                acl = frozenset((*(record.acl_before or ()), *record.acl_after))
                replica.rules.commit(Told(record.tenant, record.epoch, record.seq, acl))
            else:
                replica.rules.take_over(record.tenant, replica.position)

    def _begin(self, replica: Replica) -> None:
        """A question reads the head."""
        audience = self.chance.choice(AUDIENCES)
        published = histories._finish(Reader(self.index, ManualClock()).position(TENANT))
        found = histories._finish(states(self.index, published))
        right = frozenset(
            (document, state.content_version, state.texts)
            for document, state in found.items()
            if state.content is ContentState.PRESENT and state.acl & audience
        )
        replica.asked.append((CacheKey(TENANT, audience, (), 8, "lookup", "c", "q"), published, right))

    def _end(self, replica: Replica, which: int) -> None:
        """It is looked up, or computed and stored."""
        key, published, right = replica.asked.pop(which)
        place = Place(published.head.epoch, published.seq)
        match replica.rules.lookup(key, place):
            case Hit(value=value):
                assert value == right, f"stale at {place}"
                self.outcomes["hit" if value else "hit nothing"] += 1
            case other:
                self.outcomes[f"{other}, then {replica.rules.store(key, place, right, 1)}"] += 1


def test_no_history_of_real_writers_gives_a_stale_answer() -> None:
    seen: Counter[str] = Counter()
    for seed in range(200):
        chance = Random(seed)
        world = Served(histories._finish(new_index()), histories._random_mutations(chance), chance=Random(seed))
        try:
            histories._play(world, histories._random_events(chance))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        seen += world.outcomes
    assert min(seen["hit"], seen["behind, then stored"], seen["miss, then overtaken"]) > 100, seen
