"""Builds one incarnation of the index from its mutations: an index is a function of the log.

It reads index.mutations.<generation> from where the store has acknowledged to, so that a build that was cut off goes
on, up to the end seen at its start. It embeds nothing, serves nothing, tells no commits, heals nothing and sends
nothing to the dead letters: a record that cannot be applied fails it, with its coordinates. Then the heads say that
history begins there, and a process of the stage `apply` goes on.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from index.outcomes import Outcome, Waiting
from index.port import CommitLog, VersionedIndex
from index.rows import Item
from index.sweeper import Swept
from index.writer import TenantWriter
from runtime.log_port import LogSpan, StoredRecord
from schemas.errors import MillstreamError, PermanentError
from schemas.identity import Tenant
from schemas.records import Commit, Coordinates, TakeOver
from schemas.topics import Topics
from streams.apply import Applier
from streams.store_offsets import StoreOffsets
from streams.tenant_queue import Bounds
from streams.window import Delivery, Lease, Window

_WINDOW_RECORDS = 2048
_WINDOW_BYTES = 96 * 1024 * 1024
_BATCH = Bounds(mutations=512, size=32 * 1024 * 1024)
ROWS_AT_ONCE = 2000
"""Chunk rows inserted together: no hide waits for a build."""
_DRAIN_SECONDS = 60.0
_UNSWEPT_SECONDS = 3600.0


class BuildFailedError(MillstreamError):
    """A record of the log cannot be applied: the build would not be the index that the log says."""


class SilentCommits:
    """A writer's log that takes epochs and tells nobody what becomes visible."""

    def __init__(self, commits: CommitLog) -> None:
        self._commits = commits

    async def take_over(self, record: TakeOver) -> int:
        """See `index.port.CommitLog`."""
        return await self._commits.take_over(record)

    async def emit(self, commits: Sequence[Commit]) -> None:
        """Nobody asks a build."""


class _Refusing:
    """Where an applier would keep dead letters."""

    async def put(self, delivery: Delivery, error: PermanentError, attempts: int) -> object:
        raise _failed(delivery.coordinates, error, attempts)


class _BuildWriter:
    """A tenant's writer that leaves sweeping to the process that goes on."""

    def __init__(self, writer: TenantWriter) -> None:
        self._writer = writer

    async def commit(self, batch: Sequence[Item], waiting: Waiting) -> Sequence[Outcome]:
        return await self._writer.commit(batch, waiting)

    async def sweep(self, seconds: Callable[[], float], *, take_over: bool) -> Swept:
        del seconds, take_over
        return Swept(_UNSWEPT_SECONDS)

    async def begin_history(self) -> None:
        await self._writer.begin_history()


@dataclass(slots=True)
class Span:
    """How far one partition is: offsets, which compaction leaves gaps between."""

    begin: int
    """Where the store stood at the start."""
    end: int
    """The log end seen at the start."""
    read: int
    applied: int

    @property
    def is_read(self) -> bool:
        """Whether everything up to the end seen at the start was read."""
        return self.read >= self.end


@dataclass(slots=True)
class Progress:
    """Of one build, as it runs."""

    spans: dict[int, Span] = field(default_factory=dict)
    records: int = 0
    """Read in this run."""
    chunks: int = 0
    """Chunk rows they carry."""


class Build:
    """One run of one build. `skipped`: records that an operator leaves out of it."""

    def __init__(
        self,
        index: VersionedIndex,
        span: LogSpan,
        writer_for: Callable[[Tenant], TenantWriter],
        topics: Topics,
        *,
        skipped: Collection[Coordinates] = (),
        bounds: Bounds = _BATCH,
    ) -> None:
        self._index = index
        self._span = span
        self._writer_for = writer_for
        self._writers: dict[Tenant, TenantWriter] = {}
        self._applier = Applier(self._open, _Refusing(), topics, bounds)
        self._skipped = frozenset(str(at) for at in skipped)
        self._failure: asyncio.Future[None] | None = None
        self._acknowledged = asyncio.Event()
        self.progress = Progress()

    async def run(self) -> Mapping[int, int]:
        """Partition -> the end that is covered now. Raises BuildFailedError, TransientError, and what nobody planned
        for. Cut off anywhere, another run goes on.
        """
        self._failure = asyncio.get_running_loop().create_future()
        offsets = StoreOffsets(self._index.put_acknowledged, self._fail)
        window = Window(
            self._apply, self._fail, records=_WINDOW_RECORDS, max_bytes=_WINDOW_BYTES, on_ack=self._noting(offsets)
        )
        feeding = asyncio.create_task(self._feed(window))
        try:
            await asyncio.wait({feeding, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            await feeding
        finally:
            feeding.cancel()
            await window.drain(_DRAIN_SECONDS)
            await offsets.flush()
            await self._span.stop()
        return await self._cover()

    async def _cover(self) -> Mapping[int, int]:
        """What was read to its end is acknowledged to its end, and history begins here."""
        for partition, span in self.progress.spans.items():
            await self._index.put_acknowledged(partition, max(span.begin, span.end))
            span.applied = max(span.begin, span.end)
        for tenant in sorted(await self._index.tenants()):
            await self._writer(tenant).begin_history()
        return {partition: span.applied for partition, span in self.progress.spans.items()}

    async def _feed(self, window: Window) -> None:
        """Returns when everything up to the end seen at the start was read and is visible."""
        acknowledged = (await self._index.acknowledged()).offsets
        ends = await self._span.start(acknowledged)
        for partition, end in ends.items():
            begin = acknowledged.get(partition, 0)
            self.progress.spans[partition] = Span(begin, end, begin, begin)
        while not all(span.is_read for span in self.progress.spans.values()):
            for record in await self._span.read():
                await self._admit(record, window)
        while len(window):
            self._acknowledged.clear()
            await self._acknowledged.wait()

    async def _admit(self, record: StoredRecord, window: Window) -> None:
        span = self.progress.spans[record.coordinates.partition]
        if record.coordinates.offset < span.end:
            await window.put(_delivery_of(record))
            self.progress.records += 1
        span.read = record.coordinates.offset + 1

    async def _apply(self, delivery: Delivery, lease: Lease) -> None:
        if str(delivery.coordinates) in self._skipped:
            return
        try:
            mutation, _ = await self._applier.apply(delivery, lease)
        except PermanentError as error:
            raise _failed(delivery.coordinates, error, 1) from error
        self.progress.chunks += len(mutation.content.chunks) if mutation.content else 0

    def _noting(self, offsets: StoreOffsets) -> Callable[[int, int], None]:
        def note(partition: int, offset: int) -> None:
            self.progress.spans[partition].applied = offset
            offsets.note(partition, offset)
            self._acknowledged.set()

        return note

    def _writer(self, tenant: Tenant) -> TenantWriter:
        if tenant not in self._writers:
            self._writers[tenant] = self._writer_for(tenant)
        return self._writers[tenant]

    def _open(self, tenant: Tenant) -> _BuildWriter:
        return _BuildWriter(self._writer(tenant))

    def _fail(self, error: BaseException) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)


def _failed(at: Coordinates, error: PermanentError, attempts: int) -> BuildFailedError:
    return BuildFailedError(
        f"the record at {at} cannot be applied ({error.reason}, after {attempts} attempts): {error}. "
        f"See `millstream dlq list`; to build without it: --skip {at}"
    )


def _delivery_of(record: StoredRecord) -> Delivery:
    key = None if record.key is None else record.key.encode(errors="replace")
    return Delivery(record.coordinates, key, record.value, record.headers)
