"""Whether a store stands where a backup did: its head is behind what index.commits tells.

A commit is told only after its position was published, and heads never go back. So a head behind a commit that was told
before the head was read means that the store is older than the log. A backup copies shard after shard: what the first
one has lost may be older than what the last one holds, by as long as a backup takes (`MILLSTREAM_BACKUP_MINUTES`).
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from index.model import Head, IndexIdentity, newest_head
from index.port import VersionedIndex
from runtime.kafka import KafkaAdmin, read_topic
from runtime.settings import Settings
from schemas.codec import decode_any
from schemas.errors import BrokenIndexError
from schemas.identity import Tenant
from schemas.records import Commit, Record
from schemas.topics import COMMITS, HIDES

_SLACK = timedelta(minutes=1)
"""Between the clocks of a writer and of a broker."""


async def went_back(index: VersionedIndex, settings: Settings) -> bool:
    """Whether the store is older than what index.commits tells of it. Raises TransientError."""
    return await lost_from(index, settings) is not None


async def lost_from(index: VersionedIndex, settings: Settings) -> Mapping[int, int] | None:
    """Of a store that is older than what index.commits tells of it: partition of its mutations -> offset of the first
    that was told and is not there. None where the store is not older. Raises TransientError.
    """
    # First of all: what is told after the heads were read may be published after it.
    ends = await asyncio.to_thread(KafkaAdmin(settings).end_offsets, COMMITS)
    heads = await heads_of(index)
    last, takes = published_last(heads.values()), timedelta(minutes=settings.backup_minutes)

    def look() -> Mapping[int, int] | None:
        since = None if last is None else last - takes
        if lost_offsets(heads, _told(settings, since, ends), index.identity) is None:
            return None
        return lost_offsets(heads, _told(settings, None, ends), index.identity)  # where one is, others may be older

    return await asyncio.to_thread(look)


async def heads_of(index: VersionedIndex) -> dict[Tenant, Head]:
    """The head that counts, of each tenant that has one: of a tenant that is being made the shard comes first.

    Raises TransientError.
    """
    found: dict[Tenant, Head] = {}
    for tenant in await index.tenants():
        try:
            head = newest_head(await index.heads(tenant))
        except BrokenIndexError:
            continue
        if head is not None:
            found[tenant] = head
    return found


def lost_offsets(
    heads: Mapping[Tenant, Head], told: Iterable[Record], identity: IndexIdentity
) -> Mapping[int, int] | None:
    """See `lost_from`. A hide that is lost has no offset here. Pure."""
    is_older, first = False, dict[int, int]()
    for commit in lost_commits(heads, told, identity):
        is_older, at = True, commit.mutation
        if at.topic != HIDES:
            first[at.partition] = min(at.offset, first.get(at.partition, at.offset))
    return first if is_older else None


def lost_commits(heads: Mapping[Tenant, Head], told: Iterable[Record], identity: IndexIdentity) -> Iterator[Commit]:
    """Commits of this build that a tenant's head is behind. Pure."""
    for commit in told:
        if (
            isinstance(commit, Commit)
            and IndexIdentity(commit.generation, commit.incarnation) == identity
            and (commit.tenant not in heads or commit.seq > heads[commit.tenant].seq)
        ):
            yield commit


def published_last(heads: Iterable[Head]) -> datetime | None:
    """When the last of these heads was published: whatever the store has lost was told later. None: nothing was."""
    return max((head.published_at for head in heads if head.seq > 0), default=None)


def published_first(heads: Iterable[Head]) -> datetime | None:
    """When the head was published that is the oldest of those that were. None: nothing was."""
    return min((head.published_at for head in heads if head.seq > 0), default=None)


def milliseconds(since: datetime) -> int:
    """A broker's time that is surely before what a writer did at `since`."""
    return max(0, round((since - _SLACK).timestamp() * 1000))


def _told(settings: Settings, since: datetime | None, ends: Mapping[int, int]) -> Iterable[Record]:
    """What index.commits has from about this time on and before `ends`; None: all of it. Blocks."""
    start = None if since is None else KafkaAdmin(settings).offsets_at(COMMITS, milliseconds(since))
    for stored in read_topic(settings, COMMITS, start=start):
        if stored.coordinates.offset < ends.get(stored.coordinates.partition, 0):
            yield decode_any(stored.value or b"")
