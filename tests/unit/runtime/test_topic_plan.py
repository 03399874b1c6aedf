"""The plan for topics: a table of what is there, what is wanted, what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.topic_plan import ChangeConfig, CreateTopic, PartitionsDiffer, TopicPlan, TopicState, plan_topics
from schemas.errors import ConfigError
from schemas.topics import ConcreteTopic

WANTED = ConcreteTopic(name="t", partitions=4, config={"cleanup.policy": "compact"})


@pytest.mark.parametrize(
    ("existing", "plan"),
    [
        ({}, TopicPlan((CreateTopic(WANTED),))),
        ({"t": TopicState("id", 4, {"cleanup.policy": "compact", "other": "x"})}, TopicPlan()),
        (
            {"t": TopicState("id", 4, {"cleanup.policy": "delete"})},
            TopicPlan((ChangeConfig("t", {"cleanup.policy": "compact"}),)),
        ),
        ({"t": TopicState("id", 3, {})}, TopicPlan((), (PartitionsDiffer("t", 3, 4),))),
        ({"stranger": TopicState("id", 1, {})}, TopicPlan((CreateTopic(WANTED),))),
    ],
    ids=["absent", "same", "config", "partitions", "strangers are left alone"],
)
def test_plan(existing: dict[str, TopicState], plan: TopicPlan) -> None:
    assert plan_topics([WANTED], existing) == plan


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"t has 3 partitions and topics\.yaml says 4.*correct topics\.yaml"):
        TopicPlan((), (PartitionsDiffer("t", 3, 4),)).check()


configs = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"))


@given(st.dictionaries(st.sampled_from("pqr"), st.tuples(st.integers(1, 3), configs)), st.sampled_from("pqr"), configs)
def test_after_carrying_a_plan_out_there_is_nothing_left_to_do(
    found: dict[str, tuple[int, dict[str, str]]], name: str, config: dict[str, str]
) -> None:
    existing = {key: TopicState("id", count, values) for key, (count, values) in found.items()}
    wanted = [ConcreteTopic(name=name, partitions=2, config=config)]
    plan = plan_topics(wanted, existing)
    for action in plan.actions:
        match action:
            case CreateTopic(topic):
                existing[topic.name] = TopicState("id", topic.partitions, topic.config)
            case ChangeConfig(changed, changes):
                state = existing[changed]
                existing[changed] = TopicState(state.topic_id, state.partitions, {**state.config, **changes})
    assert plan_topics(wanted, existing) == TopicPlan((), plan.refusals)
