"""The rules of the answer cache: first in small tables, then whole histories of writers that crash, are superseded and
tell late, a store that is restored, and two replicas that read the log each at its own pace. The oracle computes every
answer anew at the head that the question read; a hit that differs is stale.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.identity import Tenant
from serving.core.cache_rules import REMEMBERED, CacheKey, CacheRules, Hit, Lookup, Place, Purge, Stored, Told

ACME = Tenant("acme")
STAFF = frozenset({"public", "staff"})
BOARD = frozenset({"public", "board"})


def key(principals: frozenset[str] = STAFF, question: str = "q", tenant: Tenant = ACME) -> CacheKey:
    return CacheKey(tenant, principals, (), 8, "lookup", "c", question)


def told(seq: int, *acl: str, epoch: int = 1, tenant: Tenant = ACME) -> Told:
    return Told(tenant, epoch, seq, frozenset(acl))


def rules(*commits: Told, capacity: int = 1000) -> CacheRules[str]:
    made: CacheRules[str] = CacheRules(capacity)
    for commit in commits:
        made.commit(commit)
    return made


def stored_at(seq: int, *commits: Told) -> CacheRules[str]:
    """Rules that were told of commits, with an answer to staff computed at `seq`."""
    made = rules(*commits)
    assert made.store(key(), Place(1, seq), "a", 10) is Stored.STORED
    return made


HIT = Hit("a")


def test_an_answer_is_right_at_the_head_it_was_computed_at_though_nothing_was_ever_told() -> None:
    assert stored_at(7).lookup(key(), Place(1, 7)) == HIT


def test_an_answer_waits_for_the_commits_up_to_a_newer_head() -> None:
    made = stored_at(7, told(7))
    assert made.lookup(key(), Place(1, 8)) is Lookup.BEHIND
    made.commit(told(8, "board"))
    assert made.lookup(key(), Place(1, 8)) == HIT
    assert made.lookup(key(), Place(1, 9)) is Lookup.BEHIND


def test_a_head_read_before_the_newest_commit_was_told_is_answered_as_well() -> None:
    made = stored_at(7, told(7))
    made.commit(told(8, "board"))
    made.commit(told(9, "board"))
    assert made.lookup(key(), Place(1, 8)) == HIT


@pytest.mark.parametrize(("acl", "stays"), [(("staff",), False), (("board",), True), (("public",), False), ((), True)])
def test_a_commit_purges_those_who_could_or_can_read_its_document(acl: tuple[str, ...], stays: bool) -> None:
    made = stored_at(7, told(7))
    made.commit(told(8, *acl))
    assert made.lookup(key(), Place(1, 8)) == (HIT if stays else Lookup.MISS)
    assert made.take_dropped() == ({} if stays else {Purge.COMMIT: 1})


def test_a_commit_that_an_answer_contains_already_leaves_it_alone() -> None:
    made = stored_at(8, told(7))
    made.commit(told(8, "staff"))
    assert made.lookup(key(), Place(1, 8)) == HIT


def test_another_tenants_commits_change_nothing() -> None:
    made = stored_at(7, told(7))
    made.commit(told(8, "staff", tenant=Tenant("umbrella")))
    assert made.lookup(key(), Place(1, 7)) == HIT


def test_an_answer_overtaken_while_it_was_computed_is_not_stored() -> None:
    made = rules(told(7), told(8, "staff"))
    assert made.store(key(), Place(1, 7), "a", 10) is Stored.OVERTAKEN
    assert made.store(key(BOARD), Place(1, 7), "a", 10) is Stored.STORED


def test_an_answer_from_before_a_gap_is_dropped_and_none_is_stored() -> None:
    made = stored_at(7, told(7))
    made.commit(told(9, "board"))
    assert made.lookup(key(), Place(1, 9)) is Lookup.MISS
    assert made.store(key(), Place(1, 7), "a", 10) is Stored.OVERTAKEN
    assert made.store(key(), Place(1, 8), "a", 10) is Stored.STORED
    assert made.lookup(key(), Place(1, 9)) == HIT


def test_the_first_commit_told_says_nothing_about_those_before_it() -> None:
    made = stored_at(6)
    made.commit(told(8, "board"))
    assert made.lookup(key(), Place(1, 8)) is Lookup.MISS


def test_a_commit_of_a_dead_writer_purges_and_counts_for_nothing() -> None:
    made = rules(told(7))
    made.take_over(ACME, 2)
    made.store(key(), Place(2, 7), "a", 10)
    made.store(key(BOARD), Place(2, 7), "a", 10)
    made.commit(told(8, "board", epoch=1))
    assert made.lookup(key(), Place(2, 8)) is Lookup.BEHIND
    assert made.lookup(key(BOARD), Place(2, 8)) is Lookup.MISS


def test_a_take_over_drops_the_answers_of_lower_epochs_and_keeps_its_own() -> None:
    made = stored_at(7, told(7))
    made.store(key(BOARD), Place(2, 7), "a", 10)
    made.take_over(ACME, 2)
    assert made.lookup(key(), Place(1, 7)) is Lookup.MISS
    assert made.lookup(key(BOARD), Place(2, 7)) == HIT
    assert made.store(key(), Place(1, 7), "a", 10) is Stored.OVERTAKEN


def test_a_lost_record_drops_everything() -> None:
    made = stored_at(7, told(7))
    made.forget()
    assert (len(made), made.size) == (0, 0)
    assert made.lookup(key(), Place(1, 7)) is Lookup.MISS


def test_the_least_recently_used_answers_make_room() -> None:
    made = rules(capacity=30)
    for question in "abc":
        made.store(key(question=question), Place(1, 1), question, 10)
    made.lookup(key(question="a"), Place(1, 1))
    made.store(key(question="d"), Place(1, 1), "d", 20)
    kept = [question for question in "abcd" if made.lookup(key(question=question), Place(1, 1)) is not Lookup.MISS]
    assert (kept, made.size) == (["a", "d"], 30)
    assert made.take_dropped() == {Purge.ROOM: 2}


def test_an_answer_larger_than_the_cache_is_not_stored() -> None:
    assert rules(capacity=30).store(key(), Place(1, 1), "a", 31) is Stored.TOO_LARGE


def test_an_older_answer_never_replaces_a_newer_one() -> None:
    made = stored_at(8)
    assert made.store(key(), Place(1, 7), "b", 10) is Stored.OVERTAKEN
    assert made.lookup(key(), Place(1, 8)) == HIT


def test_what_is_remembered_is_bounded_and_older_answers_are_not_stored() -> None:
    made = rules(*(told(seq, "board") for seq in range(1, REMEMBERED + 12)))
    assert made.store(key(), Place(1, 10), "a", 10) is Stored.OVERTAKEN
    assert made.store(key(), Place(1, 11), "a", 10) is Stored.STORED


Value = frozenset[int]
"""An answer of the model: the changes it contains of those its principals can see."""

AUDIENCES = (frozenset({"public", "a"}), frozenset({"public", "b"}), frozenset({"public"}))
ACLS = (frozenset({"a"}), frozenset({"b"}), frozenset({"c"}), frozenset({"public"}), frozenset[str]())


@dataclass(frozen=True)
class Change:
    """A published change."""

    number: int
    told: Told


@dataclass
class Flying:
    """A question between reading the head and being answered."""

    audience: int
    head: Place
    right: Value


@dataclass
class Replica:
    position: int
    rules: CacheRules[Value] = field(default_factory=lambda: CacheRules(12))
    flying: list[Flying] = field(default_factory=list)
    computed: list[Flying] = field(default_factory=list)


@dataclass
class World:
    """One tenant: what is published, the log, and two replicas. A writer is its epoch; the log's offsets give those."""

    changes: list[Change] = field(default_factory=list)
    log: list[Told | int] = field(default_factory=list)
    epoch: int = 0
    shown: int = 0
    """The epoch that heads show: that of the writer, once its take-over is that far."""
    untold: list[Told] = field(default_factory=list)
    """Published by the writer, not told yet."""
    owed: list[Told] = field(default_factory=list)
    """Published by dead writers: told when their redelivery, or they themselves, get round to it. Perhaps twice."""
    numbers: "count[int]" = field(default_factory=count)
    replicas: list[Replica] = field(default_factory=lambda: [Replica(0), Replica(0)])
    seen: Counter[str] = field(default_factory=Counter[str])

    def step(self, kind: int, which: int, amount: int) -> None:
        replica = self.replicas[which % 2]
        match kind:
            case 0 | 1 if not self.untold and self.shown == self.epoch:
                self._publish(which, amount)
            case 2 | 3:
                self.log += self.untold
                self.untold = []
            case 4:
                self._take_over()
            case 5 if self.owed:
                self.log.append(self.owed[amount % len(self.owed)])
                if which:
                    self.owed.pop(amount % len(self.owed))
            case 6 if self.epoch:
                self.log.append(Told(ACME, which % self.epoch, len(self.changes) + amount - 2, ACLS[which % 5]))
            case 7 if self.changes:
                self._restore(which)
            case 8 | 9 | 10:
                self._consume(replica, amount)
            case 11 if amount == 0:
                replica.position = len(self.log)
                replica.rules.forget()
            case 11 if amount == 1 and isinstance(next(iter(self.log[replica.position :]), 0), Told):
                replica.position += 1  # a commit is lost, and nobody noticed
            case 12 if amount == 0:
                self.replicas[which % 2] = Replica(len(self.log))
            case 13 | 14 | 15:
                replica.flying.append(Flying(which % 3, self._head(), self._value(which % 3)))
            case 16 | 17 | 18 if replica.flying:
                self._answer(replica, replica.flying.pop(amount % len(replica.flying)))
            case 19 | 20 if replica.computed:
                done = replica.computed.pop(amount % len(replica.computed))
                replica.rules.store(key(AUDIENCES[done.audience]), done.head, done.right, 1 + amount % 2)
            case _:
                pass

    def _head(self) -> Place:
        return Place(self.shown, len(self.changes))

    def _value(self, audience: int) -> Value:
        seen = (change for change in self.changes if change.told.acl & AUDIENCES[audience])
        return frozenset(change.number for change in seen)

    def _publish(self, which: int, amount: int) -> None:
        for place in range(1 + amount % 3):
            commit = Told(ACME, self.epoch, len(self.changes) + 1, ACLS[(which + place) % len(ACLS)])
            self.changes.append(Change(next(self.numbers), commit))
            self.untold.append(commit)

    def _take_over(self) -> None:
        """First the record, then - the next time - the head."""
        if self.shown < self.epoch:
            self.shown = self.epoch
            return
        self.owed += self.untold
        self.untold = []
        self.epoch = len(self.log) + 1
        self.log.append(self.epoch)

    def _restore(self, which: int) -> None:
        """The store comes back as it was some changes ago; its writer was stopped for that, and another takes over."""
        self.changes = self.changes[: -1 - which]
        self.untold, self.owed = [], []
        self.epoch = len(self.log) + 1
        self.log.append(self.epoch)
        self.shown = self.epoch

    def _consume(self, replica: Replica, amount: int) -> None:
        for record in self.log[replica.position : replica.position + 1 + amount]:
            replica.position += 1
            if isinstance(record, int):
                replica.rules.take_over(ACME, record)
            else:
                replica.rules.commit(record)

    def _answer(self, replica: Replica, asked: Flying) -> None:
        match replica.rules.lookup(key(AUDIENCES[asked.audience]), asked.head):
            case Hit(value=value):
                assert value == asked.right, "stale"
                self.seen["hit"] += 1
            case other:
                replica.computed.append(asked)
                self.seen[str(other)] += 1


Step = st.tuples(st.integers(0, 20), st.integers(0, 5), st.integers(0, 3))


@settings(max_examples=1500, deadline=None)
@given(st.lists(Step, max_size=80))
def test_no_history_gives_a_stale_answer(steps: list[tuple[int, int, int]]) -> None:
    world = World()
    for step in steps:
        world.step(*step)


def test_long_histories_give_none_either_and_hit_often() -> None:
    seen: Counter[str] = Counter()
    for seed in range(300):
        chance, world = Random(seed), World()
        weights = [chance.choice([0.3, 1, 2, 6]) * (1 if kind < 8 else 2) for kind in range(21)]
        for lazy in (2, 3, 8, 9, 10):
            weights[lazy] *= chance.choice([0.1, 0.5, 1])
        for rare in (4, 6, 7, 11, 12):
            weights[rare] = chance.choice([0.005, 0.02, 0.1, 1])
        for kind in chance.choices(range(21), weights, k=1000):
            world.step(kind, chance.randrange(6), chance.randrange(4))
        seen += world.seen
    assert seen["hit"] > 2_000, seen
    assert seen["behind"] > 1_000, seen
