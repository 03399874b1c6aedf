"""When a stored answer may be given again: decided from the head just read and the commits told so far. Pure.

An answer computed at head T is right at every later head up to H if each commit in (T, H] was told and none of them
meets the principals it was given to. Within one writer epoch seqs are dense and told in order, so "each was told" is
one number, the greatest counted seq. Everything else ends what was known of the tenant:

- A later epoch: answers of lower epochs are dropped; a restored store may give their seqs again.
- A seq that is not the next: answers from before the gap are dropped, and none is stored any more (the floor).
- A commit of a lower epoch (a dead writer's, told late by its successor) purges, but counts for nothing.

A head equal to the one an answer was computed at needs no log at all: nothing was published in between.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from schemas.identity import Tenant

V = TypeVar("V")

REMEMBERED = 1024
"""Commits of a tenant that an answer under way is tested against; one computed before the oldest is not stored."""


class Place(NamedTuple):
    """A published head: its writer's epoch and its seq."""

    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What an answer at one position depends on, beside the constants of a process. Principals hold user:<sub>, too:
    an acl may name it. Scopes do not change an answer at the head.
    """

    tenant: Tenant
    principals: frozenset[str]
    filters: Hashable
    top_k: int
    route: str
    composer: str
    question: str
    """As it is embedded and searched: normalised at the door. Case stays: it tells codes and names from words."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a commit says to a cache."""

    tenant: Tenant
    epoch: int
    seq: int
    acl: frozenset[str]
    """Everyone who could or can read the document: its acl before and after."""


@dataclass(frozen=True, slots=True)
class Hit(Generic[V]):
    """Right at the head asked for."""

    value: V


class Lookup(StrEnum):
    """There is no answer to give."""

    MISS = "miss"
    BEHIND = "behind"
    """There is one, and it is right if the commits up to the head, yet to be told, leave it alone."""


class Stored(StrEnum):
    """What became of an answer."""

    STORED = "stored"
    OVERTAKEN = "overtaken"
    """A commit that it does not contain meets its principals, or may; or a newer answer is there."""
    TOO_LARGE = "too_large"


class Purge(StrEnum):
    """Why an answer was dropped."""

    COMMIT = "commit"
    TAKE_OVER = "take_over"
    GAP = "gap"
    ROOM = "room"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    at: Place
    value: V
    size: int


@dataclass(slots=True)
class _Tenant:
    """What is known of one tenant's commits."""

    epoch: int = -1
    """The highest told."""
    counted: int | None = None
    """Every commit of `epoch` from `floor` + 1 up to this seq was told."""
    floor: int = 0
    """Nothing computed before it is stored."""
    recent: deque[Told] = field(default_factory=deque)
    audiences: dict[frozenset[str], set[CacheKey]] = field(default_factory=dict)


class CacheRules(Generic[V]):
    """The answers of one incarnation, least recently used first, and what is known of each tenant's commits.

    `capacity` and sizes are in bytes, as the caller measures them.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[CacheKey, _Entry[V]] = OrderedDict()
        self._tenants: dict[Tenant, _Tenant] = {}
        self._size = 0
        self._dropped: Counter[Purge] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of all answers."""
        return self._size

    def take_dropped(self) -> Mapping[Purge, int]:
        """How many answers were dropped since this was last asked, by reason."""
        dropped, self._dropped = self._dropped, Counter()
        return dropped

    def lookup(self, key: CacheKey, head: Place) -> Hit[V] | Lookup:
        """The answer to give at `head`, which was read after the question came."""
        entry = self._entries.get(key)
        if entry is None or entry.at.epoch != head.epoch or entry.at.seq > head.seq:
            return Lookup.MISS
        if entry.at.seq < head.seq:
            known = self._tenants.get(key.tenant)
            if known is None or known.epoch != head.epoch or known.counted is None or known.counted < head.seq:
                return Lookup.BEHIND
        self._entries.move_to_end(key)
        return Hit(entry.value)

    def store(self, key: CacheKey, at: Place, value: V, size: int) -> Stored:
        """Keep what was computed at `at`, unless a commit told since then could have changed it."""
        if size > self._capacity:
            return Stored.TOO_LARGE
        known = self._tenants.setdefault(key.tenant, _Tenant())
        if at.epoch < known.epoch or (at.epoch == known.epoch and _is_overtaken(known, key.principals, at.seq)):
            return Stored.OVERTAKEN
        if key in self._entries:
            if self._entries[key].at >= at:
                return Stored.OVERTAKEN
            self._drop(key, Purge.REPLACED)
        while self._size + size > self._capacity:
            self._drop(next(iter(self._entries)), Purge.ROOM)
        self._entries[key] = _Entry(at, value, size)
        self._size += size
        known.audiences.setdefault(key.principals, set()).add(key)
        return Stored.STORED

    def commit(self, told: Told) -> None:
        """A commit was told."""
        self.take_over(told.tenant, told.epoch)
        known = self._tenants[told.tenant]
        self._purge(known, told)
        if told.epoch == known.epoch:
            self._count(known, told.seq)

    def take_over(self, tenant: Tenant, epoch: int) -> None:
        """A writer of `epoch` was told of; nothing, unless it is the highest."""
        known = self._tenants.setdefault(tenant, _Tenant())
        if epoch <= known.epoch:
            return
        known.epoch, known.counted, known.floor = epoch, None, 0
        known.recent.clear()
        self._drop_all(known, lambda at: at.epoch < epoch, Purge.TAKE_OVER)

    def forget(self) -> None:
        """Commits were lost, nobody knows whose."""
        for known in self._tenants.values():
            self._drop_all(known, lambda _at: True, Purge.GAP)
        self._tenants.clear()

    def _purge(self, known: _Tenant, told: Told) -> None:
        """Drop what does not contain the commit and may be changed by it; remember it for answers under way."""
        known.recent.append(told)
        if len(known.recent) > REMEMBERED:
            known.floor = max(known.floor, known.recent.popleft().seq)
        for principals in [principals for principals in known.audiences if not told.acl.isdisjoint(principals)]:
            self._drop_from(known, principals, lambda at: at.seq < told.seq, Purge.COMMIT)

    def _count(self, known: _Tenant, seq: int) -> None:
        if known.counted is not None and seq <= known.counted:
            return
        if known.counted is None or seq > known.counted + 1:
            known.floor = max(known.floor, seq - 1)
            self._drop_all(known, lambda at: at.seq < seq - 1, Purge.GAP)
        known.counted = seq

    def _drop_all(self, known: _Tenant, condition: Callable[[Place], bool], reason: Purge) -> None:
        for principals in list(known.audiences):
            self._drop_from(known, principals, condition, reason)

    def _drop_from(
        self, known: _Tenant, principals: frozenset[str], condition: Callable[[Place], bool], reason: Purge
    ) -> None:
        for key in [key for key in known.audiences[principals] if condition(self._entries[key].at)]:
            self._drop(key, reason)

    def _drop(self, key: CacheKey, reason: Purge) -> None:
        self._size -= self._entries.pop(key).size
        self._dropped[reason] += 1
        audiences = self._tenants[key.tenant].audiences
        audiences[key.principals].remove(key)
        if not audiences[key.principals]:
            del audiences[key.principals]


def _is_overtaken(known: _Tenant, principals: frozenset[str], seq: int) -> bool:
    if seq < known.floor:
        return True
    return any(told.seq > seq and not told.acl.isdisjoint(principals) for told in known.recent)
