"""How an audit reads the log: with pauses, and no further than it is told to."""

import threading
from datetime import timedelta

import pytest

from index.model import IndexIdentity
from runtime.log_port import StoredRecord
from schemas.codec import encode
from schemas.errors import TransientError
from schemas.records import Coordinates, TakeOver
from schemas.sources import parse_sources
from streams.apply import Applier
from streams.audit_log import commits_of, paced
from streams.audit_parts import silences
from streams.commit_log import LogCommits
from streams.dead_letters import DeadLetters
from streams.tenant_queue import Bounds
from streams.window import Lease, LeaseEndedError
from tests.unit.streams.records import AT, MUTATIONS, change, topics
from tests.unit.streams.test_flow import TENANT, Installation, TenantWriter, both


def records(count: int) -> list[StoredRecord]:
    return [StoredRecord(Coordinates(topic="t", partition=0, offset=offset), "k", b"") for offset in range(count)]


def test_all_records_come_in_their_order_whatever_the_share() -> None:
    found = list(paced(records(450), 0.9, threading.Event()))
    assert [record.coordinates.offset for record in found] == list(range(450))


def test_what_is_stopped_ends_at_the_next_record() -> None:
    stopped = threading.Event()
    reading = paced(records(9), 0.03, stopped)
    next(reading)
    stopped.set()
    with pytest.raises(TransientError):
        next(reading)


async def test_only_commits_of_the_build_are_told() -> None:
    here = await Installation.create()
    await here.post(change())
    await both(here)
    stored = list(here.log.records("index.commits"))
    take_over = TakeOver(tenant=TENANT, generation="g1", incarnation="i1", writer="w", at=AT)
    stored.append(StoredRecord(Coordinates(topic="index.commits", partition=0, offset=99), "k", encode(take_over)))
    assert [commit.seq for commit in commits_of(stored, IndexIdentity("g1", "i1"))] == [1]
    assert list(commits_of(stored, IndexIdentity("g1", "i2"))) == []


def test_sources_state_how_long_they_may_be_silent() -> None:
    declared = parse_sources(
        "version: 1\nsources:\n"
        "  - {name: wiki, tenant: acme, kind: webhook, max_silence_hours: 1.5}\n"
        "  - {name: files, tenant: acme, kind: files}\n"
    )
    assert silences(declared) == {"wiki": timedelta(hours=1, minutes=30)}


async def test_history_begins_between_two_commits_and_not_after_the_lease() -> None:
    here = await Installation.create()
    commits, lease = LogCommits(here.log, topics()), Lease()
    applier = Applier(
        lambda tenant: TenantWriter(here.index, commits, tenant, here.clock, name="w"),
        DeadLetters(here.log, topics(), "apply", here.clock),
        topics(),
        Bounds(4),
    )
    await here.post(change())
    await here.run(here.prepare(), "documents.changes")
    await here.run(here.apply(), MUTATIONS)
    await applier.begin_history(TENANT, lease)
    (head,) = await here.index.heads(TENANT)
    assert (head.seq, head.history_from) == (1, 1)
    lease.end()
    with pytest.raises(LeaseEndedError):
        await applier.begin_history(TENANT, lease)
