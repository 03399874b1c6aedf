"""Whether a stage is at work: ready, waiting or stuck."""

from dataclasses import replace

from streams.core.progress import Limits, Observation, Progress, Verdict

LIMITS = Limits(without_step=10, without_acknowledgement=100, settled=5)


def seen(
    at: float, *, lag: int = 0, acknowledged: int = 0, steps: int = 0, waiting: bool = False, assigned: bool = True
) -> Observation:
    partitions = frozenset({0}) if assigned else frozenset()
    return Observation(at, partitions, dict.fromkeys(partitions, lag), acknowledged, steps, waiting)


def verdicts(*observations: Observation) -> list[Verdict]:
    progress = Progress(0.0, LIMITS)
    return [progress.observe(observation) for observation in observations]


def test_a_stage_that_caught_up_is_ready_however_long_nothing_comes() -> None:
    assert verdicts(seen(1), seen(1000))[-1] == Verdict()


def test_a_stage_without_partitions_is_not_ready_and_not_stuck() -> None:
    last = verdicts(seen(1, assigned=False), seen(1000, assigned=False))[-1]
    assert last.not_ready
    assert last.stuck is None


def test_a_stage_that_works_its_lag_off_is_ready() -> None:
    assert verdicts(*(seen(at, lag=100, acknowledged=at) for at in range(1, 60)))[-1] == Verdict()


def test_lag_with_nothing_acknowledged_is_not_ready_and_in_the_end_stuck() -> None:
    early, late, stuck = verdicts(seen(1, lag=0), seen(8, lag=3), seen(12, lag=3))
    assert early == Verdict()
    assert late.not_ready
    assert late.stuck is None
    assert stuck.stuck is not None
    assert "3 records wait" in stuck.stuck


def test_steps_inside_a_long_document_count_as_work_but_not_for_ever() -> None:
    found = verdicts(*(seen(at, lag=1, steps=at) for at in range(1, 110)))
    assert all(verdict.stuck is None for verdict in found[:90])
    assert found[-1].stuck is not None


def test_waiting_for_a_part_that_is_away_is_not_being_stuck() -> None:
    found = verdicts(*(seen(at, lag=5, waiting=True) for at in range(1, 1000, 5)), seen(1001, lag=5))
    assert all(verdict.not_ready and verdict.stuck is None for verdict in found[:-1])
    assert found[-1].stuck is None


def test_a_stage_that_its_group_does_not_know_for_long_is_stuck_whatever_it_works_on() -> None:
    outside = [replace(seen(at, lag=1, acknowledged=at), is_member=False) for at in range(2, 400)]
    found = verdicts(seen(1), *outside[:290])
    assert all(verdict.stuck is None for verdict in found)
    assert verdicts(seen(1), *outside)[-1].stuck == "no member of its consumer group for 398 s"
    assert verdicts(*outside[:290], seen(292), *outside[291:])[-1].stuck is None


def test_lag_that_is_not_known_yet_is_not_ready() -> None:
    progress = Progress(0.0, LIMITS)
    assert progress.observe(Observation(1, frozenset({0, 1}), {0: 0}, 0, 0, False)).not_ready
