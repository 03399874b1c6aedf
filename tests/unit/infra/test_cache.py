"""The cache of parts: filled once, atomically, whoever else is at it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local.cache import Cache


def write(target: Path) -> None:
    (target / "part").write_text("complete")


def test_a_missing_part_is_built_and_then_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert not cache.has("part-1")
    assert (cache.fill("part-1", write) / "part").read_text() == "complete"

    def unexpected(target: Path) -> None:
        raise AssertionError(target)

    assert cache.fill("part-1", unexpected) == cache.path("part-1")


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(target: Path) -> None:
        (target / "half").write_text("half")
        raise RuntimeError("the network is gone")

    with pytest.raises(RuntimeError, match="the network is gone"):
        cache.fill("part-1", fail)
    assert not cache.has("part-1")
    assert list((tmp_path / ".partial").iterdir()) == []


def test_what_a_killed_build_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    left_over = tmp_path / ".partial" / "part-1~abc"
    left_over.mkdir(parents=True)
    Cache(tmp_path).fill("part-1", write)
    assert not left_over.exists()


def test_the_left_overs_of_another_version_are_not_touched(tmp_path: Path) -> None:
    other = tmp_path / ".partial" / "part-10~abc"
    other.mkdir(parents=True)
    Cache(tmp_path).fill("part-1", write)
    assert other.exists()


def test_of_builds_at_the_same_time_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    building, go_on = threading.Event(), threading.Event()
    builds: list[Path] = []
    waits: list[None] = []

    def slow(target: Path) -> None:
        builds.append(target)
        building.set()
        assert go_on.wait(10)
        write(target)

    def waiting() -> None:
        waits.append(None)
        go_on.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(Cache(tmp_path).fill, "part-1", slow)
        assert building.wait(10)
        second = pool.submit(Cache(tmp_path).fill, "part-1", slow, waiting)
        assert first.result() == second.result()
    assert len(builds) == 1
    assert len(waits) == 1
