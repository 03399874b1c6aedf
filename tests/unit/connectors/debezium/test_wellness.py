"""Findings about captured sources: what is seen, what it means, when it is told."""

from dataclasses import replace

import pytest

from connectors.debezium.connect_client import ConnectorState, Position, TaskState
from connectors.debezium.failures import explain
from connectors.debezium.postgres import SlotFacts
from connectors.debezium.tables import PublicationFacts
from connectors.debezium.template import connector_config
from connectors.debezium.wellness import Seen, SourceFinding, judge, restart_due, turn
from tests.unit.connectors.debezium.declared import AROUND, FACTS, source

RUNS = ConnectorState("RUNNING", "", (TaskState(0, "RUNNING", ""),))
READS = Position(900, snapshot=False)
WELL = Seen(
    "articles",
    "public.articles",
    config=connector_config(source(), AROUND),
    state=RUNS,
    position=READS,
    slot=SlotFacts(True, "reserved", 1024),
    facts=FACTS,
    heard=True,
)


def failed(trace: str) -> ConnectorState:
    return ConnectorState("RUNNING", "", (TaskState(0, "FAILED", trace),))


def bad(seen: Seen) -> list[SourceFinding]:
    return [finding for finding in judge(seen) if not finding.ok]


def test_a_source_that_is_well_has_nothing_bad_about_it() -> None:
    assert bad(WELL) == []
    assert bad(replace(WELL, position=replace(READS, snapshot=True), slot=None)) == []
    assert bad(replace(WELL, position=None, slot=None)) == []


@pytest.mark.parametrize(
    ("seen", "name", "says", "remedy"),
    [
        (replace(WELL, config=None, state=None), "connector", "is not there", "source apply"),
        (replace(WELL, state=ConnectorState("PAUSED", "", ())), "connector", "is paused", "source apply"),
        (replace(WELL, state=failed("RecordTooLargeException")), "connector", "larger than a record", "shorten"),
        (replace(WELL, facts=None, database_fault="away"), "database", "away", "start it"),
        (replace(WELL, table_fault="no column"), "table", "no column", "source apply"),
        (replace(WELL, facts=replace(FACTS, publication=None)), "publication", "is gone", "reads the table again"),
        (
            replace(WELL, facts=replace(FACTS, publication=PublicationFacts("", frozenset(), False))),
            "publication",
            "misses the table",
            "ADD TABLE public.articles",
        ),
        (
            replace(WELL, facts=replace(FACTS, publication=PublicationFacts("18", frozenset(), False))),
            "publication",
            "made anew",
            "reads the table again",
        ),
        (replace(WELL, slot=None), "slot", "is gone", "reads the table again"),
        (replace(WELL, slot=SlotFacts(False, "lost", 0)), "slot", "lost its position", "reads the table again"),
        (replace(WELL, slot=SlotFacts(True, "unreserved", 2**31)), "slot", "2048.0 MiB behind", "max_slot_wal_keep"),
        (replace(WELL, slot=SlotFacts(True, "extended", 2**31)), "slot", "2048.0 MiB behind", "disk"),
        (replace(WELL, slot=SlotFacts(False, "reserved", 0)), "slot", "read by nobody", "log"),
        (replace(WELL, heard=False), "progress", "nothing came", "log"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(seen: Seen, name: str, says: str, remedy: str) -> None:
    (finding,) = bad(seen)
    assert (finding.source, finding.name) == ("articles", name)
    assert says in finding.what
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("trace", "transient", "says"),
    [
        (
            "a.b.ConnectException: x\nCaused by: java.net.ConnectException: Connection refused",
            True,
            "did not answer",
        ),
        ("org.apache.kafka.common.errors.RecordTooLargeException: The message is 17000000 bytes", False, "16 MiB"),
        ('PSQLException: FATAL: password authentication failed for user "reader"', False, "refuses the login"),
        (
            "io.debezium.DebeziumException: The db history is missing: offset no longer available on the server",
            False,
            "lost",
        ),
        ('PSQLException: ERROR: publication "p" does not exist', False, "publication"),
        ("PSQLException: ERROR: permission denied for table articles", False, "may not read"),
        ("a.b.WeirdException: geheim\nCaused by: c.d.StrangeException: geheim", True, "StrangeException"),
        ("", True, "unknown error"),
    ],
)
def test_a_trace_is_explained_without_quoting_it(trace: str, transient: bool, says: str) -> None:
    failure = explain(trace)
    assert failure.transient is transient
    assert says in failure.what
    assert "geheim" not in failure.what + failure.remedy


def finding(name: str, *, ok: bool) -> SourceFinding:
    return SourceFinding("articles", name, ok, "what")


def test_an_alert_waits_for_a_second_look_and_comes_once() -> None:
    told: list[str] = []
    bad_so_far: dict[tuple[str, str], int] = {}
    for ok in (False, True, False, False, False, True, True):
        turned = turn(bad_so_far, [finding("slot", ok=ok), finding("database", ok=True)])
        bad_so_far = dict(turned.bad)
        told.append("bad" if turned.turned_bad else "good" if turned.turned_good else "")
    assert told == ["", "", "", "bad", "", "good", ""]


def test_what_is_no_longer_looked_at_is_good_again() -> None:
    turned = turn({("articles", "slot"): 2}, [])
    assert [(gone.key, gone.ok) for gone in turned.turned_good] == [(("articles", "slot"), True)]


@pytest.mark.parametrize(
    ("restarts", "now", "due"),
    [
        ([], 0.0, True),
        ([0.0], 4.9, False),
        ([0.0], 5.0, True),
        ([0.0, 5.0], 14.9, False),
        ([0.0, 5.0], 15.0, True),
        ([0.0] * 12, 299.0, False),
        ([0.0] * 12, 300.0, True),
    ],
)
def test_a_task_is_started_again_at_growing_intervals(restarts: list[float], now: float, due: bool) -> None:
    assert restart_due(restarts, now) is due
