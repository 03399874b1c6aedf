"""When a process that died is started again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.restarts import GiveUp, RestartPolicy, StartAgain, decide, refused

POLICY = RestartPolicy(first_seconds=1.0, most_seconds=5.0, limit=4, window_seconds=100.0)


@pytest.mark.parametrize(
    ("deaths", "decision"),
    [
        ([0.0], StartAgain(1.0)),
        ([0.0, 1.0], StartAgain(2.0)),
        ([0.0, 1.0, 2.0], StartAgain(4.0)),
        ([0.0, 1.0, 2.0, 3.0], StartAgain(5.0)),
        ([0.0, 1.0, 2.0, 3.0, 4.0], GiveUp("died 5 times within 100 s")),
        ([0.0, 1.0, 2.0, 3.0, 200.0], StartAgain(1.0)),
    ],
)
def test_delays_double_to_a_limit_and_old_deaths_are_forgotten(
    deaths: list[float], decision: StartAgain | GiveUp
) -> None:
    assert decide(POLICY, deaths, deaths[-1]) == decision


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20).map(sorted))
def test_a_delay_stays_within_the_policys_bounds(deaths: list[float]) -> None:
    decision = decide(POLICY, deaths, deaths[-1])
    if isinstance(decision, StartAgain):
        assert POLICY.first_seconds <= decision.after_seconds <= POLICY.most_seconds


@pytest.mark.parametrize(
    ("exit_code", "was_ready", "final"),
    [
        (1, False, True),
        (1, True, False),
        (-9, False, False),
        (0, False, False),
        (2, False, False),
        (None, False, False),
    ],
)
def test_exit_code_1_before_it_was_ready_means_it_refuses(exit_code: int | None, was_ready: bool, final: bool) -> None:
    assert refused(exit_code, was_ready) is final
