"""kill -9 of any one process, and its restart, lose nothing and duplicate nothing."""

import asyncio
import os
import signal
from collections.abc import Sequence

import pytest

from infra.local.status import LAUNCHER_LOCK, PROCESSES_LOCK, UnitStatus, lock_is_held
from schemas.identity import Tenant
from tests.acceptance.index_check import Fault, StoreKills, check_index
from tests.acceptance.installation import Installation, eventually
from tests.acceptance.ledger import Writer, Writers
from tests.integration.parts.traces import processes_left

ROUNDS = (("apply", "prepare", "hide", "capture", "builds", "api", "ingest"), ("kafka",))
"""What is killed, one after the other, before it is waited for: a stage comes back only after its consumer group's
session timeout, and apply is killed first, so that prepare still has work when its turn comes. The store: see
test_crashes.
"""
UNDER_WAY = 12
"""Events acknowledged between two kills, so that each meets work."""


@pytest.fixture(scope="module")
def writers(installation: Installation) -> list[Writer]:
    """Three systems that write: two ordered by the log, of two companies, and one with versions of its own."""
    return [
        Writer(installation, "helpdesk", "aurora", ("public",)),
        Writer(installation, "notices", "harbor", ("public",)),
        Writer(installation, "inventory", "aurora", ("sales", "support"), numbered=True),
    ]


def await_events(at_work: Writers) -> None:
    """Wait until some more events are acknowledged."""
    enough = at_work.acknowledged() + UNDER_WAY
    eventually("events are acknowledged", lambda: at_work.acknowledged() >= enough)


def kill(installation: Installation, name: str) -> UnitStatus:
    """kill -9 of one process; how it was before."""
    unit = installation.unit(name)
    assert unit.pid is not None
    os.kill(unit.pid, signal.SIGKILL)
    return unit


def faults(installation: Installation, writers: Sequence[Writer]) -> list[Fault]:
    """What differs between the index and what was acknowledged."""
    installation.settle()
    found: list[Fault] = []
    for tenant in ("aurora", "harbor"):
        written = [each for writer in writers if writer.tenant == tenant for each in writer.documents()]
        found += asyncio.run(check_index(installation.settings, Tenant(tenant), written, StoreKills()))
    return found


@pytest.mark.soak
def test_any_process_killed_while_events_come_in_loses_and_duplicates_nothing(
    installation: Installation, writers: list[Writer]
) -> None:
    with Writers(writers) as at_work:
        for names in ROUNDS:
            before = []
            for name in names:
                await_events(at_work)
                before.append(kill(installation, name))
            for unit in before:
                eventually(
                    f"{unit.name} runs again", lambda unit=unit: installation.runs_again(unit.name, unit.restarts)
                )
        await_events(at_work)
    assert faults(installation, writers) == []


def test_a_killed_launcher_leaves_no_process_and_up_serves_the_same_again(
    installation: Installation, writers: list[Writer]
) -> None:
    launcher = installation.status().launcher
    assert launcher is not None
    with Writers(writers) as at_work:
        await_events(at_work)
        os.kill(launcher, signal.SIGKILL)
        assert processes_left(installation.folder, 60.0) == []
        assert not lock_is_held(installation.state_dir / LAUNCHER_LOCK)
        assert not lock_is_held(installation.state_dir / PROCESSES_LOCK)
        assert not installation.status().running
        down = installation.millstream("ask", "Anything?", "-t", "aurora", exit_code=1)
        assert "millstream up" in down.err
        installation.millstream("up")
    assert faults(installation, writers) == []
