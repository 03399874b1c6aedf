"""What a figure says about where it was measured."""

import os
from pathlib import Path

from benchmarks.machine import machine, revision, rss_mb


def test_the_machine_is_described() -> None:
    found = machine()
    assert found.cores >= 1
    assert found.memory_mb > 0
    assert found.cpu
    assert found.python.startswith("3.")


def test_a_process_that_is_gone_is_left_out() -> None:
    assert "gone" not in rss_mb({"me": os.getpid(), "gone": 2**22 + 1})
    assert "me" in rss_mb({"me": os.getpid()})


def test_outside_a_repository_the_revision_is_unknown(tmp_path: Path) -> None:
    assert revision(tmp_path) == "unknown"
