"""What becomes visible, as it becomes visible: every API process reads all of index.commits itself, from the end on.

A commit is told after its position was published, in the order of the log: of one tenant mostly, not always, in the
order of seqs (what a dead writer published is told by its successor), and sometimes twice. Who needs more than that
decides by epoch and seq; the answer cache does so in serving.core.cache_rules.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from runtime.log_port import LogTail, LostRecordsError, StoredRecord
from runtime.metrics import COMMITS_FOLLOWED, COMMITS_LAG, COMMITS_READ, Metrics
from schemas.codec import decode_any
from schemas.errors import DecodeError, TransientError
from schemas.records import Commit, TakeOver

_RETRY_SECONDS = 1.0

log = structlog.get_logger("serving")


@dataclass(frozen=True, slots=True, eq=False)
class _Listener:
    on_commit: Callable[[Commit], None]
    on_take_over: Callable[[TakeOver, int], None]
    on_gap: Callable[[], None]


def _nothing(*_: object) -> None:
    return


class CommitFeed:
    """Reads index.commits and tells its listeners, each in the order of the log. One loop, no threads."""

    def __init__(self, tail: LogTail, metrics: Metrics, *, retry_seconds: float = _RETRY_SECONDS) -> None:
        self._tail = tail
        self._metrics = metrics
        self._retry_seconds = retry_seconds
        self._listeners: list[_Listener] = []
        self._next: dict[int, int] = {}
        self._is_live = False
        self._is_in_trouble = False

    @property
    def is_live(self) -> bool:
        """Whether every commit emitted from now on will be told; on_gap is called when that ends."""
        return self._is_live

    def listen(
        self,
        on_commit: Callable[[Commit], None],
        *,
        on_take_over: Callable[[TakeOver, int], None] = _nothing,
        on_gap: Callable[[], None] = _nothing,
    ) -> Callable[[], None]:
        """Be told from now on; returns what ends it. Listeners neither wait nor raise.

        Commits and take-overs of every generation and incarnation are told. `on_take_over` also gets the new writer's
        epoch. `on_gap`: some commits, of any tenant, will never be told; what was concluded from having been told all
        does not hold any more.
        """
        listener = _Listener(on_commit, on_take_over, on_gap)
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    async def run(self) -> None:
        """Read for ever. Raises DecodeError for a record that is neither commit nor take-over, after telling the gap;
        a log that does not answer is tried again.
        """
        try:
            while True:
                try:
                    await self._begin()
                    await self._follow()
                except TransientError as error:
                    self._tell_trouble(error)
                self._gap()
                await asyncio.sleep(self._retry_seconds)
        finally:
            self._gap()
            await self._tail.stop()

    async def _begin(self) -> None:
        self._next = dict(await self._tail.start())
        self._is_live, self._is_in_trouble = True, False
        self._metrics.set(COMMITS_FOLLOWED, 1)
        log.info("commits are read", partitions=len(self._next))

    def _tell_trouble(self, error: TransientError) -> None:
        """Once, until they are read again."""
        if not self._is_in_trouble:
            log.warning("commits are not read: fewer answers from the cache, no changes told", reason=str(error))
        self._is_in_trouble = True

    async def _follow(self) -> None:
        while True:
            self.take(await self._tail.read())
            self._metrics.set(COMMITS_LAG, self._tail.behind())

    def take(self, records: Sequence[StoredRecord]) -> None:
        """Tell of records as they lie in the log. Raises LostRecordsError, DecodeError."""
        for record in records:
            at = record.coordinates
            expected = self._next.get(at.partition, at.offset)
            if at.offset != expected:
                raise LostRecordsError(f"partition {at.partition} goes on at {at.offset} instead of {expected}")
            self._next[at.partition] = at.offset + 1
            self._tell(record)

    def _tell(self, stored: StoredRecord) -> None:
        record = decode_any(stored.value or b"")
        self._metrics.count(COMMITS_READ)
        match record:
            case Commit():
                for listener in tuple(self._listeners):
                    listener.on_commit(record)
            case TakeOver():
                for listener in tuple(self._listeners):
                    listener.on_take_over(record, stored.coordinates.offset + 1)
            case _:
                raise DecodeError(f"expected a commit or a take-over, found a {record.schema_name}")

    def _gap(self) -> None:
        if self._is_live:
            self._is_live = False
            self._metrics.set(COMMITS_FOLLOWED, 0)
            for listener in tuple(self._listeners):
                listener.on_gap()
