"""The log as the rest of Millstream sees it: append a record, learn its coordinates.

`Log` is the port; Kafka stands behind it twice (runtime.kafka for plain processes, runtime.aio_kafka for stages), and
`MemoryLog` is the twin that ships. All three pass one contract: records of one partition lie in the order in which
their `append` was entered, and coordinates come back only when the record is safe.

`LogTail` reads what is appended to one topic from now on, in every process that asks, each for itself: Kafka's is
`runtime.aio_kafka.KafkaTail`, the twin `MemoryTail`. `LogShare` reads some partitions on behalf of a group, from where
it has acknowledged to: `runtime.aio_kafka.KafkaShare` and `MemoryShare`. `LogSpan` reads a whole topic from offsets
that its caller keeps: `runtime.aio_kafka.KafkaSpan` and `MemorySpan`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.errors import TooLargeError, TransientError
from schemas.records import Coordinates

Headers = tuple[tuple[str, bytes], ...]
"""Record headers in order; a name may repeat."""

MAX_RECORD_BYTES = 16_777_216
"""What brokers and every client allow for one record (design: topics)."""

ENVELOPE_BYTES = 4096
"""Room for a record's framing, so that what passes the check here also passes the broker's check of the batch."""


_ALL = 2**31


class Log(Protocol):
    """Appends to the log."""

    async def append(self, topic: str, partition: int, key: str, value: bytes, headers: Headers = ()) -> Coordinates:
        """Append one record and return where it lies once every in-sync replica has it.

        `topic` is without the installation's prefix. Several appends may be under way; records of one partition keep
        the order in which the calls were entered, so create the tasks in the order wanted. A cancelled call may still
        append.

        Raises TooLargeError for a record no broker takes, and TransientError when the broker did not acknowledge in
        time (the record may or may not be in the log).
        """
        ...


def check_size(key: str, value: bytes, headers: Headers) -> None:
    """Raises TooLargeError for a record over the limit."""
    size = len(key.encode()) + len(value) + sum(len(name) + len(content) for name, content in headers)
    limit = MAX_RECORD_BYTES - ENVELOPE_BYTES
    if size > limit:
        raise TooLargeError(f"a record of {size} bytes is over the log's limit of {limit} bytes")


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it lies in the log."""

    coordinates: Coordinates
    key: str | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None

    def header(self, name: str) -> bytes | None:
        """The last header of that name."""
        return next((value for found, value in reversed(self.headers) if found == name), None)


class MemoryLog:
    """The in-memory twin of `Log`, with reading back.

    `refuse`, when given, is asked before each append and may return the error to raise instead: a broker that is down.
    """

    def __init__(self, refuse: Callable[[str, str], Exception | None] | None = None) -> None:
        self._partitions: dict[tuple[str, int], list[StoredRecord]] = defaultdict(list)
        self._refuse = refuse

    async def append(self, topic: str, partition: int, key: str, value: bytes, headers: Headers = ()) -> Coordinates:
        """See `Log.append`. The record is stored at entry; the acknowledgement comes a turn of the loop later."""
        check_size(key, value, headers)
        error = self._refuse(topic, key) if self._refuse is not None else None
        if error is not None:
            raise error
        records = self._partitions[topic, partition]
        coordinates = Coordinates(topic=topic, partition=partition, offset=len(records))
        records.append(StoredRecord(coordinates, key, value, headers))
        await asyncio.sleep(0)
        return coordinates

    def records(self, topic: str, partition: int | None = None) -> Iterator[StoredRecord]:
        """What a topic holds, partition after partition, each in order."""
        for name, number in sorted(self._partitions):
            if name == topic and partition in (None, number):
                yield from self._partitions[name, number]


class LostRecordsError(TransientError):
    """Records between what was read and what can be read are gone, or the topic is another one: start again."""


class LogTail(Protocol):
    """Every partition of one topic, from its end at `start` on. Not safe for concurrent calls."""

    async def start(self) -> Mapping[int, int]:
        """Find the end: partition -> the offset of the next record. Raises TransientError; may be called again."""
        ...

    async def read(self) -> Sequence[StoredRecord]:
        """What was appended since, each partition's records in order; waits for the first, but not for ever.

        Raises LostRecordsError, and TransientError; after either begin with `start` again.
        """
        ...

    def behind(self) -> int:
        """How many records lie in the topic that were not read, as far as is known."""
        ...

    async def stop(self) -> None:
        """Release connections."""
        ...


class _MemoryReading:
    """Reads on from where each partition was read to."""

    def __init__(self, log: MemoryLog, topic: str, *, batch: int, pause_seconds: float) -> None:
        self._log = log
        self._topic = topic
        self._batch = batch
        self._pause_seconds = pause_seconds
        self._next: dict[int, int] = {}

    async def read(self) -> Sequence[StoredRecord]:
        """At most `batch` records of each partition."""
        await asyncio.sleep(self._pause_seconds)
        found = [
            record
            for partition, offset in self._next.items()
            for record in list(self._log.records(self._topic, partition))[offset : offset + self._batch]
        ]
        self._next |= {record.coordinates.partition: record.coordinates.offset + 1 for record in found}
        return found

    async def stop(self) -> None:
        """Nothing is held."""

    def _ends(self) -> dict[int, int]:
        return {partition: sum(1 for _ in self._log.records(self._topic, partition)) for partition in self._next}


class MemoryTail(_MemoryReading):
    """The in-memory twin of `LogTail`, on a `MemoryLog`."""

    def __init__(self, log: MemoryLog, topic: str, partitions: int, *, pause_seconds: float = 0.001) -> None:
        super().__init__(log, topic, batch=_ALL, pause_seconds=pause_seconds)
        self._next = dict.fromkeys(range(partitions), 0)

    async def start(self) -> Mapping[int, int]:
        """See `LogTail.start`."""
        self._next = self._ends()
        return dict(self._next)

    def behind(self) -> int:
        """See `LogTail.behind`."""
        return sum(end - self._next[partition] for partition, end in self._ends().items())


class LogSpan(Protocol):
    """All partitions of one topic, from offsets that the caller keeps. Not safe for concurrent calls."""

    async def start(self, begins: Mapping[int, int]) -> Mapping[int, int]:
        """Begin at partition -> offset; a partition that is not named begins with its oldest record. Returns every
        partition's end as it is now. Raises TransientError.
        """
        ...

    async def read(self) -> Sequence[StoredRecord]:
        """What comes next, each partition's records in order; waits for the first, but not for ever.

        Raises TransientError.
        """
        ...

    async def stop(self) -> None:
        """Release connections."""
        ...


class MemorySpan(_MemoryReading):
    """The in-memory twin of `LogSpan`, on a `MemoryLog`."""

    def __init__(self, log: MemoryLog, topic: str, partitions: int, *, batch: int = 100) -> None:
        super().__init__(log, topic, batch=batch, pause_seconds=0.0)
        self._next = dict.fromkeys(range(partitions), 0)

    async def start(self, begins: Mapping[int, int]) -> Mapping[int, int]:
        """See `LogSpan.start`."""
        self._next |= begins
        return self._ends()


class LogShare(Protocol):
    """Partitions of one topic that this process has been given. Not safe for concurrent calls."""

    async def start(self, partitions: Collection[int]) -> None:
        """Begin with what the group has not acknowledged. Raises TransientError; may be called again."""
        ...

    async def read(self) -> Sequence[StoredRecord]:
        """What comes next, each partition's records in order; waits for the first, but not for ever.

        Raises TransientError: begin with `start` again.
        """
        ...

    async def acknowledge(self, offsets: Mapping[int, int]) -> None:
        """Partition -> the next offset the group has to read. Raises TransientError."""
        ...

    async def stop(self) -> None:
        """Release connections."""
        ...


class MemoryShare(_MemoryReading):
    """The in-memory twin of `LogShare`, on a `MemoryLog`; shares of a group have one mapping of acknowledgements."""

    def __init__(
        self, log: MemoryLog, topic: str, acknowledged: dict[int, int], *, pause_seconds: float = 0.001
    ) -> None:
        super().__init__(log, topic, batch=_ALL, pause_seconds=pause_seconds)
        self._acknowledged = acknowledged

    async def start(self, partitions: Collection[int]) -> None:
        """See `LogShare`."""
        self._next = {number: self._acknowledged.get(number, 0) for number in partitions}

    async def acknowledge(self, offsets: Mapping[int, int]) -> None:
        """See `LogShare`."""
        self._acknowledged.update(offsets)
