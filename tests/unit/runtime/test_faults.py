"""Fault points: nothing without an order, once with one, in a development profile alone."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.faults import Action, Faults, Point, arm, disarm, reach
from schemas.errors import ConfigError
from tests.soak.kills import STAGES

ROOT = Path(__file__).parents[3]


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[Path]:
    """A development profile's folder."""
    (tmp_path / "profile.json").write_text("{}")
    yield tmp_path
    disarm()


def test_without_a_folder_reaching_a_point_does_nothing(tmp_path: Path) -> None:
    arm(None, "apply", tmp_path)
    reach(Point.COMMIT_5)


def test_outside_a_development_profile_faults_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="development profiles"):
        arm(tmp_path / "faults", "apply", tmp_path)


def test_an_order_is_carried_out_once_at_the_time_it_names(profile: Path) -> None:
    faults = Faults(profile / "faults")
    faults.order("apply", Point.COMMIT_5, Action.TELL, times=3)
    arm(faults.folder, "apply", profile)
    for reached in (0, 0, 1, 1):
        reach(Point.COMMIT_5)
        assert len(faults.reached()) == reached
    (done,) = faults.reached()
    assert (done.process, done.point, done.action, done.pid) == ("apply", Point.COMMIT_5, Action.TELL, os.getpid())


def test_an_order_is_for_one_process_and_one_point_and_counts_from_when_it_was_given(profile: Path) -> None:
    faults = Faults(profile / "faults")
    arm(faults.folder, "apply", profile)
    for _ in range(5):
        reach(Point.COMMIT_5)
    faults.order("prepare", Point.COMMIT_5, Action.TELL)
    faults.order("apply", Point.COMMIT_6, Action.TELL)
    faults.order("apply", Point.COMMIT_5, Action.TELL, times=2)
    reach(Point.COMMIT_5)
    assert faults.reached() == ()
    reach(Point.COMMIT_5)
    assert [each.point for each in faults.reached()] == [Point.COMMIT_5]


def test_a_withdrawn_order_is_not_carried_out(profile: Path) -> None:
    faults = Faults(profile / "faults")
    faults.order("apply", Point.HIDE_1, Action.TELL)
    arm(faults.folder, "apply", profile)
    assert faults.withdraw("apply", Point.HIDE_1)
    assert not faults.withdraw("apply", Point.HIDE_1)
    reach(Point.HIDE_1)
    assert faults.reached() == ()


def test_a_killed_process_dies_at_the_point_and_its_successor_does_not(profile: Path) -> None:
    faults = Faults(profile / "faults")
    faults.order("apply", Point.SWEEP_4, Action.KILL)
    code = (
        "import sys; from pathlib import Path; from runtime.faults import Point, arm, reach;"
        f"arm(Path({str(faults.folder)!r}), 'apply', Path({str(profile)!r}));"
        "reach(Point.SWEEP_3); print('before', flush=True); reach(Point.SWEEP_4); print('after', flush=True)"
    )
    first, second = (subprocess.run([sys.executable, "-c", code], capture_output=True, check=False) for _ in range(2))
    assert (first.returncode, first.stdout.split()) == (-9, [b"before"])
    assert (second.returncode, second.stdout.split()) == (0, [b"before", b"after"])
    assert [each.action for each in faults.reached()] == [Action.KILL]


def test_every_point_is_passed_by_the_code_once_and_by_the_long_run() -> None:
    passed = [
        name
        for package in ("connectors", "index", "streams")
        for file in (ROOT / package).rglob("*.py")
        for name in re.findall(r"reach\(Point\.(\w+)\)", file.read_text(encoding="utf-8"))
    ]
    assert sorted(passed) == sorted(point.name for point in Point)
    assert {point for points in STAGES.values() for point in points} == set(Point)
