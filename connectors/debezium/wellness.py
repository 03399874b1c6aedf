"""Whether a captured source is well, and what to do where it is not: pure, over what was seen of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.debezium.connect_client import ConnectorState, Position
from connectors.debezium.failures import explain
from connectors.debezium.postgres import SlotFacts
from connectors.debezium.tables import TableFacts
from connectors.debezium.template import HEARTBEAT_SECONDS, PUBLICATION

STALE_SECONDS = 6 * HEARTBEAT_SECONDS
MOST_LAG_BYTES = 1024**3

APPLY = "`millstream source apply`"


@dataclass(frozen=True, slots=True)
class SourceFinding:
    """One thing looked at. `name`: connect, database, table, connector, publication, slot, lag or progress.

    `transient`: starting the connector again may help.
    """

    source: str
    name: str
    ok: bool
    what: str
    remedy: str = ""
    transient: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What it is a finding about."""
        return self.source, self.name


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one source. `config` None: no connector; `facts` None: the database did not answer;
    `database_fault` and `table_fault`: one line each; `heard`: whether Debezium wrote a record within STALE_SECONDS,
    None where Kafka did not say.
    """

    source: str
    table: str = ""
    config: Mapping[str, str] | None = None
    state: ConnectorState | None = None
    position: Position | None = None
    slot: SlotFacts | None = None
    facts: TableFacts | None = None
    database_fault: str = ""
    table_fault: str = ""
    heard: bool | None = None


def judge(seen: Seen) -> tuple[SourceFinding, ...]:
    """All findings about one source."""
    return tuple(_findings(seen))


def _findings(seen: Seen) -> Iterator[SourceFinding]:
    source = seen.source
    if seen.database_fault:
        remedy = "start it, or correct the DSN; reading goes on by itself"
        yield SourceFinding(source, "database", False, seen.database_fault, remedy)
    else:
        yield SourceFinding(source, "database", True, "answers")
    if seen.table_fault:
        yield SourceFinding(source, "table", False, seen.table_fault, f"then {APPLY}")
    connector = _connector(seen)
    yield connector
    if seen.config is None or seen.facts is None:
        return
    yield _publication(seen)
    yield _slot(seen, running=connector.ok)
    if connector.ok and seen.heard is not None:
        yield _progress(seen, heard=seen.heard)


def _connector(seen: Seen) -> SourceFinding:
    source, state = seen.source, seen.state
    if seen.config is None or state is None:
        return SourceFinding(source, "connector", False, "is not there", f"{APPLY} makes it")
    trace = state.failed_trace
    if trace is not None:
        failure = explain(trace)
        return SourceFinding(source, "connector", False, f"failed: {failure.what}", failure.remedy, failure.transient)
    if state.state in ("STOPPED", "PAUSED"):
        return SourceFinding(source, "connector", False, f"is {state.state.lower()}", f"{APPLY} lets it run")
    return SourceFinding(source, "connector", True, "runs" if state.running else "starts")


def _publication(seen: Seen) -> SourceFinding:
    assert seen.facts is not None
    assert seen.config is not None
    found = seen.facts.publication
    again = f"{APPLY} reads the table again"
    if found is None:
        return SourceFinding(seen.source, "publication", False, "is gone: changes pass by unseen", again)
    if not found.place:
        add = f"ALTER PUBLICATION {seen.config.get('publication.name')} ADD TABLE {seen.table}; then {again}"
        return SourceFinding(seen.source, "publication", False, "misses the table: changes pass by unseen", add)
    if found.place != seen.config.get(PUBLICATION):
        was = "was made anew: changes passed by meanwhile"
        return SourceFinding(seen.source, "publication", False, was, again)
    return SourceFinding(seen.source, "publication", True, "has the table")


def _slot(seen: Seen, *, running: bool) -> SourceFinding:
    slot, source = seen.slot, seen.source
    reading = seen.position is not None and seen.position.snapshot
    if slot is None:
        if running and (seen.position is None or reading):
            return SourceFinding(source, "slot", True, "is being made")
        return SourceFinding(source, "slot", False, "is gone", f"{APPLY} reads the table again, unless it does itself")
    if slot.wal_status == "lost":
        return SourceFinding(source, "slot", False, "has lost its position", f"{APPLY} reads the table again")
    size = f"{slot.lag_bytes / 1024**2:.1f} MiB behind"
    if slot.wal_status == "unreserved":
        remedy = "soon it loses its position: raise max_slot_wal_keep_size, or get the connector to run"
        return SourceFinding(source, "slot", False, f"is {size}, over max_slot_wal_keep_size", remedy)
    if slot.lag_bytes > MOST_LAG_BYTES:
        return SourceFinding(source, "slot", False, f"is {size}", "get the connector to run: the database's disk fills")
    if running and not slot.active and not reading and seen.position is not None:
        return SourceFinding(source, "slot", False, "is read by nobody", "wait, or see Connect's log")
    return SourceFinding(source, "slot", True, size)


def _progress(seen: Seen, *, heard: bool) -> SourceFinding:
    """A heartbeat comes every HEARTBEAT_SECONDS, however quiet the table is."""
    if heard:
        return SourceFinding(seen.source, "progress", True, "reads")
    silent = f"nothing came for {STALE_SECONDS} s, not even a heartbeat"
    return SourceFinding(seen.source, "progress", False, silent, "see Connect's log")


@dataclass(frozen=True, slots=True)
class Turns:
    """What changed between two looks, alerts held back until a finding was bad twice: a restart is no alert."""

    turned_bad: tuple[SourceFinding, ...] = ()
    turned_good: tuple[SourceFinding, ...] = ()
    bad: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How often in a row each was bad."""


LOOKS_UNTIL_BAD = 2


def turn(before: Mapping[tuple[str, str], int], findings: Sequence[SourceFinding]) -> Turns:
    """Compare with the look before; `before` is its `bad`. A finding that is no longer made counts as good."""
    bad = {finding.key: before.get(finding.key, 0) + 1 for finding in findings if not finding.ok}
    by_key = {finding.key: finding for finding in findings}
    good = [
        by_key.get(key, SourceFinding(*key, ok=True, what="is no more"))
        for key, count in before.items()
        if key not in bad and count >= LOOKS_UNTIL_BAD
    ]
    turned = [by_key[key] for key, count in bad.items() if count == LOOKS_UNTIL_BAD]
    return Turns(tuple(turned), tuple(good), bad)


FIRST_RESTART_SECONDS = 5.0
MOST_RESTART_SECONDS = 300.0


def restart_due(restarts: Sequence[float], now: float) -> bool:
    """Whether a failed task is started again now. `restarts`: when it was, lately, on the clock of `now`."""
    if not restarts:
        return True
    wait = min(MOST_RESTART_SECONDS, FIRST_RESTART_SECONDS * 2.0 ** (len(restarts) - 1))
    return now - restarts[-1] >= wait
