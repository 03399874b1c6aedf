"""The log as an audit reads it: to its end, at a bounded rate, in a thread; and where the stages are in it."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from index.model import IndexIdentity
from runtime.kafka import KafkaAdmin, read_topic
from runtime.log_port import StoredRecord
from runtime.settings import Settings
from schemas.codec import decode_any
from schemas.errors import TransientError
from schemas.records import Commit
from schemas.topics import CHANGES, COMMITS, DLQ, mutations_topic
from streams.groups import prepare_group

_RECORDS_BETWEEN_PAUSES = 200


class AuditLog(Protocol):
    """All calls may block. They raise TransientError."""

    def prepared(self) -> Mapping[int, int]:
        """Partition of documents.changes -> the end up to which the generation has mutations of it."""
        ...

    def mutation_ends(self) -> Mapping[int, int]:
        """Partition of the generation's mutations -> its end."""
        ...

    def changes(self, partitions: Iterable[int] | None = None) -> Iterator[StoredRecord]:
        """documents.changes, each partition in order; None: all partitions."""
        ...

    def commits(self, begins: Mapping[int, int] | None = None) -> Iterator[StoredRecord]:
        """index.commits, each partition in order, from these offsets on; None: all of it."""
        ...

    def letters(self) -> Iterator[StoredRecord]:
        """documents.dlq."""
        ...


class KafkaAuditLog:
    """`AuditLog` on Kafka. `share`: of its time at work, the rest it waits."""

    def __init__(self, settings: Settings, identity: IndexIdentity, share: float = 1.0) -> None:
        self._settings = settings
        self._identity = identity
        self._share = share
        self._admin = KafkaAdmin(settings)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """What reads in a thread ends with a TransientError."""
        self._stopped.set()

    def prepared(self) -> Mapping[int, int]:
        """See `AuditLog`."""
        return self._admin.group_offsets(prepare_group(self._identity.generation), CHANGES)

    def mutation_ends(self) -> Mapping[int, int]:
        """See `AuditLog`."""
        return self._admin.end_offsets(mutations_topic(self._identity.generation))

    def changes(self, partitions: Iterable[int] | None = None) -> Iterator[StoredRecord]:
        """See `AuditLog`."""
        start = None if partitions is None else dict.fromkeys(partitions, 0)
        return self._paced(read_topic(self._settings, CHANGES, start=start))

    def commits(self, begins: Mapping[int, int] | None = None) -> Iterator[StoredRecord]:
        """See `AuditLog`."""
        start = None if not begins else dict.fromkeys(self._admin.begin_offsets(COMMITS), 0) | dict(begins)
        return self._paced(read_topic(self._settings, COMMITS, start=start))

    def letters(self) -> Iterator[StoredRecord]:
        """See `AuditLog`."""
        return self._paced(read_topic(self._settings, DLQ))

    def _paced(self, records: Iterable[StoredRecord]) -> Iterator[StoredRecord]:
        return paced(records, self._share, self._stopped)


def paced(records: Iterable[StoredRecord], share: float, stopped: threading.Event) -> Iterator[StoredRecord]:
    """With pauses, so that whoever reads is at work for `share` of the time. Raises TransientError once `stopped`."""
    began = time.monotonic()
    for number, record in enumerate(records, start=1):
        yield record
        pause = 0.0
        if number % _RECORDS_BETWEEN_PAUSES == 0:
            pause = (time.monotonic() - began) * (1 / share - 1)
        if stopped.wait(pause) if pause else stopped.is_set():
            raise TransientError("the audit was stopped")
        if pause:
            began = time.monotonic()


def commits_of(records: Iterable[StoredRecord], identity: IndexIdentity) -> Iterator[Commit]:
    """The commits of one build among records of index.commits."""
    for record in records:
        commit = decode_any(record.value or b"")
        if isinstance(commit, Commit) and IndexIdentity(commit.generation, commit.incarnation) == identity:
            yield commit
