"""What has to be done so that a source's connector is as declared: pure, as values, from what Connect and the database
say of it now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from connectors.debezium.connect_client import ConnectorState, Position
from connectors.debezium.failures import explain
from connectors.debezium.postgres import SlotFacts
from connectors.debezium.tables import TableFacts
from connectors.debezium.template import MAPPING, PUBLICATION, SYSTEM
from schemas.errors import ConfigError


class Action(StrEnum):
    """What is done to a connector."""

    CREATE = "created"
    CHANGE = "changed"
    REREAD = "read again"
    """Changed and begun anew: the table's rows are read again."""
    RESTART = "restarted"
    RESUME = "resumed"
    NONE = "unchanged"


@dataclass(frozen=True, slots=True)
class Existing:
    """A connector as it is; `config` None: there is none."""

    config: Mapping[str, str] | None = None
    state: ConnectorState | None = None
    position: Position | None = None
    slot: SlotFacts | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """`why`: in a few words, for whoever watches. `new_slot`: what the slot still holds is given up."""

    action: Action
    why: str = ""
    new_slot: bool = False


def plan_connector(wanted: Mapping[str, str], existing: Existing) -> Step:
    """Compare a connector with what it should be. `wanted` is a whole configuration.

    A table is read as it is, so nothing that a slot holds from before is missed; of an outbox it is all there is, and
    kept unless it is what the task fails by.
    """
    known = existing.config
    snapshot = wanted["snapshot.mode"] != "no_data"
    stuck = _is_stuck(existing)
    if known is None:
        return Step(Action.CREATE, new_slot=snapshot)
    reason = stuck or _begin_anew(wanted, known, existing)
    if reason:
        return Step(Action.REREAD, reason, new_slot=snapshot or bool(stuck))
    if dict(known) != dict(wanted):
        return Step(Action.CHANGE, "its configuration differs")
    state = existing.state
    if state is not None and state.failed_trace is not None:
        return Step(Action.RESTART, "its task had failed")
    if state is None or state.state in ("STOPPED", "PAUSED"):
        return Step(Action.RESUME, "it was stopped")
    return Step(Action.NONE)


def _is_stuck(existing: Existing) -> str:
    """Why it cannot go on from where it is; empty when it can."""
    if existing.slot is not None and existing.slot.wal_status == "lost":
        return "its slot had lost the position"
    trace = None if existing.state is None else existing.state.failed_trace
    failure = None if trace is None else explain(trace)
    return failure.what if failure is not None and failure.stuck else ""


def _begin_anew(wanted: Mapping[str, str], known: Mapping[str, str], existing: Existing) -> str:
    """Why the rows have to be read again; empty when they need not."""
    if known.get(MAPPING) != wanted[MAPPING]:
        return "its declaration differs"
    if known.get(PUBLICATION) != wanted[PUBLICATION]:
        return "its publication was made anew, and changes passed by meanwhile"
    if existing.slot is None and existing.position is not None and not existing.position.snapshot:
        return "its slot was gone"
    return ""


def check_lineage(source: str, wanted: Mapping[str, str], facts: TableFacts, existing: Existing) -> None:
    """Refuse a database whose positions do not continue those read so far, unless the epoch was raised.

    Versions are LSNs: what another or a restored database says would lose to what is known already. Raises ConfigError.
    """
    known = existing.config
    if known is None or known.get(MAPPING) != wanted[MAPPING]:
        return
    remedy = "raise the source's epoch in sources.yaml, then apply again"
    if known.get(SYSTEM, facts.system) != facts.system:
        raise ConfigError(f"source {source}: this is another database cluster than the one read so far: {remedy}")
    read = None if existing.position is None else existing.position.lsn
    if read is not None and read > facts.position:
        raise ConfigError(f"source {source}: the database is behind what was read from it (restored?): {remedy}")
