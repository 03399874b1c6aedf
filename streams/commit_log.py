"""The topic index.commits behind a writer's port: take-overs and commits of one stage process.

A producer that was not acknowledged in time is of no more use, so what it raises ends the process instead of being
retried.
"""

import asyncio
from collections.abc import Callable, Sequence

from runtime.log_port import Log
from schemas.codec import encode
from schemas.errors import MillstreamError, TransientError
from schemas.records import Commit, Coordinates, TakeOver
from schemas.topics import COMMITS, Topics


class LogLostError(MillstreamError):
    """The log does not acknowledge: start the process again, nothing was acknowledged that is not in the log."""


class LastingLog:
    """A `Log` whose failure ends the process: it raises LogLostError where the log beneath raises TransientError."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(
        self, topic: str, partition: int, key: str, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> Coordinates:
        """See `runtime.log_port.Log`."""
        try:
            return await self._log.append(topic, partition, key, value, headers)
        except TransientError as error:
            raise LogLostError(str(error)) from None


class LogCommits:
    """`index.port.CommitLog` on the log."""

    def __init__(self, log: Log, topics: Topics, on_take_over: Callable[[], None] = lambda: None) -> None:
        self._log = log
        self._topics = topics
        self._on_take_over = on_take_over

    async def take_over(self, record: TakeOver) -> int:
        """Append a take-over record and return its offset in the tenant's partition."""
        partition = self._topics.partition(COMMITS, tenant=record.tenant)
        at = await self._log.append(COMMITS, partition, record.tenant, encode(record))
        self._on_take_over()
        return at.offset

    async def emit(self, commits: Sequence[Commit]) -> None:
        """Append commits in order; the acknowledgements overlap, and all are in when it returns."""
        await asyncio.gather(*(self._append(commit) for commit in commits))

    async def _append(self, commit: Commit) -> None:
        partition = self._topics.partition(COMMITS, tenant=commit.tenant)
        await self._log.append(COMMITS, partition, commit.tenant, encode(commit))
