"""Who is ordered to die when: every point in turn, what does not happen is taken back, nobody dies too often."""

import random
from pathlib import Path

from runtime.faults import Action, Faults, Point, Reached
from tests.soak.kills import _CYCLE, Lane, News, within
from tests.soak.outcome import waits

POINTS = (Point.HIDE_1, Point.HIDE_2)


def ordered(faults: Faults) -> set[Point]:
    return {point for point in Point if faults.read("hide", point) is not None}


def lane(folder: Path, **changes: object) -> Lane:
    fields: dict[str, object] = {"waves": (POINTS,), "dice": random.Random(1), "gap": 5.0, **changes}
    return Lane(Faults(folder), "hide", **fields)  # type: ignore[arg-type]


def reached(one: Lane, point: Point, action: Action = Action.KILL) -> list[News]:
    """As the process carries it out."""
    assert one.faults.take("hide", point, action)
    return [(one.faults, Reached("hide", point, action, 1, 0.0))]


def test_each_point_has_its_turn_some_time_after_the_one_before(tmp_path: Path) -> None:
    one = lane(tmp_path)
    one.tick(0.0, [])
    (first,) = ordered(one.faults)
    one.tick(1.0, reached(one, first))
    one.tick(5.9, [])
    assert ordered(one.faults) == set()
    one.tick(6.0, [])
    assert ordered(one.faults) == {*POINTS} - {first}


def test_what_is_not_reached_is_taken_back(tmp_path: Path) -> None:
    one = lane(tmp_path, patience=30.0, width=2)
    one.tick(0.0, [])
    assert ordered(one.faults) == {*POINTS}
    one.withdraw()
    assert ordered(one.faults) == set()
    one = lane(tmp_path, patience=30.0)
    one.tick(0.0, [])
    (first,) = ordered(one.faults)
    one.tick(30.1, [])
    assert ordered(one.faults) == {*POINTS} - {first}


def test_nothing_is_ordered_of_a_process_that_is_not_up_or_died_just_now(tmp_path: Path) -> None:
    up = False
    one = lane(tmp_path, is_up=lambda: up, spacing=25.0)
    one.tick(0.0, [])
    one.tick(100.0, [])
    assert ordered(one.faults) == set()
    up = True
    one.tick(104.9, [])
    assert ordered(one.faults) == set()
    one.tick(105.0, [])
    (first,) = ordered(one.faults)
    one.tick(106.0, reached(one, first))
    one.tick(130.9, [])
    assert ordered(one.faults) == set()
    one.tick(131.0, [])
    assert len(ordered(one.faults)) == 1


def test_what_killed_least_comes_first_and_a_stop_is_no_kill(tmp_path: Path) -> None:
    one = lane(tmp_path, gap=0.0, stops_every=1000)
    one.tick(0.0, [])
    (first,) = ordered(one.faults)
    one.tick(1.0, reached(one, first, Action.STOP))
    (second,) = ordered(one.faults)
    one.tick(2.0, reached(one, second))
    assert ordered(one.faults) == {first}


def test_once_is_over_when_every_point_was_reached(tmp_path: Path) -> None:
    one, now = lane(tmp_path, once=True, gap=0.0), 0.0
    one.tick(now, [])
    while not one.is_done:
        now += 1.0
        (point,) = ordered(one.faults)
        one.tick(now, reached(one, point))
    one.tick(now + 100.0, [])
    assert ordered(one.faults) == set()
    assert set(one.reached) == {*POINTS}


def test_a_take_over_is_waited_for_from_the_last_thing_that_ended() -> None:
    taken = [(0.0, "aurora", 1), (1.0, "delta", 2), (30.0, "aurora", 3), (31.0, "delta", 3)]
    assert waits([(20.0, 1)], taken) == [10.0]
    assert waits([(20.0, 1), (25.0, 9)], taken) == [5.0]
    assert waits([(20.0, 1), (22.0, 2)], taken) == [8.0, 9.0]
    assert waits([(20.0, 7), (40.0, 3)], taken) == []


def test_orders_can_be_kept_to_steps_of_one_protocol(tmp_path: Path) -> None:
    lanes = [lane(tmp_path), lane(tmp_path, waves=((Point.SWEEP_1, Point.HIDE_2), (Point.HIDE_1,)))]
    assert [one.waves for one in within(lanes, "sweep")] == [[[Point.SWEEP_1]]]
    assert within(lanes, "door") == []


def test_what_is_not_reached_for_long_is_ordered_at_the_other_place_too(tmp_path: Path) -> None:
    other = Faults(tmp_path / "other")
    one = lane(tmp_path / "one", also=other, also_after=60.0, patience=600.0, width=2, stops_every=1000)
    one.tick(0.0, [])
    one.tick(60.0, [])
    assert ordered(other) == set()
    one.tick(60.1, [])
    (first,) = ordered(other)
    assert ordered(one.faults) == {*POINTS}
    one.tick(100.0, [])
    assert ordered(other) == {first}
    assert other.take("hide", first, Action.KILL)
    one.tick(104.0, [(other, Reached("hide", first, Action.KILL, 1, 0.0))])
    assert ordered(one.faults) == {*POINTS} - {first}
    assert one.killed[first] == 1
    one.tick(106.0, [])
    assert ordered(other) == {*POINTS} - {first}
    one.withdraw()
    assert ordered(other) == ordered(one.faults) == set()


def test_what_has_its_turn_at_other_times_is_taken_back_and_ordered_again_at_the_next(tmp_path: Path) -> None:
    turns = [60.0 * minute for minute, turn in enumerate(_CYCLE) if turn == "sweeps"]
    one = lane(tmp_path, turn="sweeps", gap=0.0, patience=300.0)
    one.tick(turns[0] - 1.0, [])
    assert ordered(one.faults) == set()
    one.tick(turns[0], [])
    (first,) = ordered(one.faults)
    one.tick(turns[-1] + 60.0, [])
    assert ordered(one.faults) == set()
    one.tick(turns[0] + 60.0 * len(_CYCLE), [])
    assert ordered(one.faults) == {first}
