"""The answer cache of one API process: what serving.core.cache_rules decides, fed by the commits that are told.

It never answers for the index: the head is read in the same request, before the cache is asked.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from index.model import IndexIdentity, Published
from runtime.clock import Clock
from runtime.metrics import CACHE, CACHE_BYPASSES, CACHE_BYTES, CACHE_ENTRIES, CACHE_PURGES, CACHE_STORES, Metrics
from schemas.records import Commit, TakeOver
from serving.commits import CommitFeed
from serving.core.cache_rules import CacheKey, CacheRules, Hit, Lookup, Place, Stored, Told
from serving.models import QueryResponse

WAIT_SECONDS = 0.01
"""How long a request waits for the commits up to the head it read: they are told a few milliseconds after it."""

_ENTRY_BYTES = 1024
"""What an entry takes beside its text, about."""


@dataclass(frozen=True, slots=True)
class CacheSize:
    """Bounds of one process."""

    bytes: int
    wait_seconds: float = WAIT_SECONDS


class AnswerCache:
    """Answers by what they depend on. One loop, no threads."""

    def __init__(
        self, feed: CommitFeed, identity: IndexIdentity, clock: Clock, metrics: Metrics, size: CacheSize
    ) -> None:
        self._feed = feed
        self._identity = identity
        self._clock = clock
        self._metrics = metrics
        self._wait_seconds = size.wait_seconds
        self._rules: CacheRules[QueryResponse] = CacheRules(size.bytes)
        self._told = asyncio.Event()
        self._unsubscribe = feed.listen(self._on_commit, on_take_over=self._on_take_over, on_gap=self._on_gap)

    def close(self) -> None:
        """Forget every answer and hear no more commits."""
        self._unsubscribe()
        self._on_gap()

    async def find(self, key: CacheKey, published: Published) -> QueryResponse | None:
        """The answer to give at the position just read; None: compute it."""
        head = _place(published)
        until = self._clock.monotonic() + self._wait_seconds
        while True:
            match self._rules.lookup(key, head):
                case Hit(value=response):
                    self._metrics.count(CACHE, outcome="hit")
                    return response
                case Lookup.MISS:
                    self._metrics.count(CACHE, outcome="miss")
                    return None
            if not self._feed.is_live or not await self._is_told_more(until):
                self.bypass("behind")
                return None

    def bypass(self, reason: str) -> None:
        """Count a question that is answered without the cache."""
        self._metrics.count(CACHE, outcome="bypass")
        self._metrics.count(CACHE_BYPASSES, reason=reason)

    def keep(self, key: CacheKey, published: Published, response: QueryResponse) -> None:
        """Store what was computed at `published`, unless a commit told meanwhile could have changed it."""
        size = _ENTRY_BYTES + len(key.question.encode()) + len(response.model_dump_json())
        stored: Stored = self._rules.store(key, _place(published), response, size)
        self._metrics.count(CACHE_STORES, outcome=stored.value)
        self._note()

    async def _is_told_more(self, until: float) -> bool:
        left = until - self._clock.monotonic()
        if left <= 0:
            return False
        self._told.clear()
        try:
            async with asyncio.timeout(left):
                await self._told.wait()
        except TimeoutError:
            return False
        return True

    def _on_commit(self, commit: Commit) -> None:
        if self._is_ours(commit):
            acl = frozenset((*(commit.acl_before or ()), *commit.acl_after))
            self._apply(lambda: self._rules.commit(Told(commit.tenant, commit.epoch, commit.seq, acl)))

    def _on_take_over(self, record: TakeOver, epoch: int) -> None:
        if self._is_ours(record):
            self._apply(lambda: self._rules.take_over(record.tenant, epoch))

    def _on_gap(self) -> None:
        self._apply(self._rules.forget)

    def _is_ours(self, record: Commit | TakeOver) -> bool:
        return (record.generation, record.incarnation) == (self._identity.generation, self._identity.incarnation)

    def _apply(self, change: Callable[[], None]) -> None:
        change()
        self._told.set()
        self._note()

    def _note(self) -> None:
        for reason, count in self._rules.take_dropped().items():
            self._metrics.count(CACHE_PURGES, count, reason=reason.value)
        self._metrics.set(CACHE_ENTRIES, len(self._rules))
        self._metrics.set(CACHE_BYTES, self._rules.size)


def _place(published: Published) -> Place:
    return Place(published.head.epoch, published.seq)
