"""What is done to a connector, from how it is and how it should be."""

from dataclasses import replace

import pytest

from connectors.debezium.connect_client import ConnectorState, Position, TaskState
from connectors.debezium.plan import Action, Existing, check_lineage, plan_connector
from connectors.debezium.postgres import SlotFacts
from connectors.debezium.template import connector_config
from schemas.errors import ConfigError
from tests.unit.connectors.debezium.declared import AROUND, FACTS, source

WANTED = connector_config(source(), AROUND)
RUNS = ConnectorState("RUNNING", "", (TaskState(0, "RUNNING", ""),))
WELL = Existing(WANTED, RUNS, Position(900, snapshot=False), SlotFacts(True, "reserved", 0))
OUTBOX = connector_config(source(shape="outbox", columns={"key": ["id"], "op": "op", "body": "body"}), AROUND)


def failed(trace: str) -> ConnectorState:
    return ConnectorState("RUNNING", "", (TaskState(0, "FAILED", trace),))


@pytest.mark.parametrize(
    ("existing", "action", "new_slot"),
    [
        (Existing(), Action.CREATE, True),
        (WELL, Action.NONE, False),
        (replace(WELL, position=None, slot=None), Action.NONE, False),
        (replace(WELL, config={**WANTED, "poll.interval.ms": "500"}), Action.CHANGE, False),
        (replace(WELL, config={**WANTED, "extra": "1"}), Action.CHANGE, False),
        (replace(WELL, config={**WANTED, "millstream.mapping": "other"}), Action.REREAD, True),
        (replace(WELL, config={**WANTED, "millstream.publication": "16"}), Action.REREAD, True),
        (replace(WELL, slot=SlotFacts(False, "lost", 0)), Action.REREAD, True),
        (replace(WELL, slot=None), Action.REREAD, True),
        (replace(WELL, state=failed("java.net.SocketException: reset")), Action.RESTART, False),
        (replace(WELL, state=failed("RecordTooLargeException")), Action.REREAD, True),
        (replace(WELL, state=ConnectorState("STOPPED", "", ())), Action.RESUME, False),
        (replace(WELL, state=ConnectorState("PAUSED", "", ())), Action.RESUME, False),
    ],
)
def test_a_connector_is_brought_to_what_it_should_be(existing: Existing, action: Action, new_slot: bool) -> None:
    step = plan_connector(WANTED, existing)
    assert (step.action, step.new_slot) == (action, new_slot)


def test_what_an_outboxs_slot_holds_is_given_up_only_where_it_cannot_be_read() -> None:
    known = replace(WELL, config=OUTBOX)
    edited = replace(WELL, config={**OUTBOX, "millstream.mapping": "other"})
    assert (plan_connector(OUTBOX, edited).action, plan_connector(OUTBOX, edited).new_slot) == (Action.REREAD, False)
    assert not plan_connector(OUTBOX, Existing()).new_slot
    assert plan_connector(OUTBOX, replace(known, slot=SlotFacts(False, "lost", 0))).new_slot


def test_a_database_that_goes_on_from_what_was_read_is_accepted() -> None:
    check_lineage("articles", WANTED, FACTS, WELL)
    check_lineage("articles", WANTED, FACTS, Existing())


@pytest.mark.parametrize(
    ("facts", "existing", "says"),
    [
        (replace(FACTS, system="43"), WELL, "another database cluster"),
        (replace(FACTS, position=899), WELL, "is behind what was read"),
    ],
)
def test_positions_that_cannot_be_compared_need_a_higher_epoch(facts: object, existing: Existing, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_lineage("articles", WANTED, facts, existing)  # type: ignore[arg-type]
    raised = connector_config(source(epoch=2), AROUND)
    check_lineage("articles", raised, facts, existing)  # type: ignore[arg-type]
