"""What became visible, read from index.commits: when each stage was done with a change, and what it added."""

from collections.abc import Iterator
from dataclasses import dataclass

from runtime.declarations import load_topics
from runtime.kafka import KafkaAdmin, read_topic
from runtime.settings import Settings
from schemas.codec import decode_any
from schemas.identity import Source, Tenant
from schemas.records import Commit
from schemas.topics import COMMITS


class CommitReader:
    """The commits of one source, each once; every call goes on where the last one ended. Blocks."""

    def __init__(self, settings: Settings, tenant: Tenant, source: Source, *, from_now: bool) -> None:
        self._settings = settings
        self._tenant = tenant
        self._source = source
        self._partition = load_topics(settings).partition(COMMITS, tenant=tenant)
        admin = KafkaAdmin(settings)
        offsets = admin.end_offsets(COMMITS) if from_now else admin.begin_offsets(COMMITS)
        self._next = offsets[self._partition]

    def read(self) -> Iterator[Commit]:
        """Those that are there now. Raises TransientError, DecodeError."""
        for record in read_topic(self._settings, COMMITS, start={self._partition: self._next}):
            self._next = record.coordinates.offset + 1
            commit = decode_any(record.value or b"")
            if isinstance(commit, Commit) and (commit.tenant, commit.source) == (self._tenant, self._source):
                yield commit


@dataclass(frozen=True, slots=True)
class Moments:
    """When one posted change went by, in seconds since 1970 of the machine's one clock."""

    sent: float
    accepted: float
    """The 202 was read."""
    answered: float
    """The answer that was asked for with the 202's token was read."""


def stage_times(moments: Moments, commit: Commit) -> dict[str, float]:
    """Milliseconds between the moments of one change and those its commit states, in the order of its way.

    Both ends are wall-clock times of processes on one machine. `accepted_to_committed` may be negative: the broker has
    the record before its sender has read the 202.
    """
    received, prepared, committed = (
        at.timestamp() for at in (commit.received_at, commit.prepared_at, commit.committed_at)
    )
    spans = {
        "sent_to_accepted": moments.accepted - moments.sent,
        "received_to_prepared": prepared - received,
        "prepared_to_committed": committed - prepared,
        "committed_to_answered": moments.answered - committed,
        "accepted_to_committed": committed - moments.accepted,
        "sent_to_answered": moments.answered - moments.sent,
    }
    return {name: 1000 * seconds for name, seconds in spans.items()}
