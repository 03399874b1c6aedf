"""What doctor says, and what to do about it."""

from pathlib import Path

import pytest

from infra.local.doctor import (
    Finding,
    disk_finding,
    go_finding,
    memory_finding,
    mode_finding,
    ports_finding,
    python_finding,
)

GB = 10**9


@pytest.mark.parametrize(("version", "ok"), [((3, 10), False), ((3, 11), True), ((3, 12), True), ((3, 13), False)])
def test_python_has_to_be_3_11_or_3_12(version: tuple[int, int], ok: bool) -> None:
    assert python_finding(version).ok is ok


@pytest.mark.parametrize(
    ("free", "built", "ok"),
    [(2 * GB, False, False), (3 * GB, False, True), (2 * GB, True, True), (GB // 2, True, False)],
)
def test_the_first_build_needs_more_disk_than_running(free: int, built: bool, ok: bool) -> None:
    finding = disk_finding(free, built, Path("/cache"))
    assert finding.ok is ok
    assert bool(finding.remedy) is not ok


@pytest.mark.parametrize(
    "finding",
    [
        python_finding((3, 9)),
        disk_finding(0, False, Path("/cache")),
        memory_finding(GB),
        mode_finding("secrets.json", Path("secrets.json"), 0o100644, 0o600),
        ports_finding({"kafka": 19092}, None),
    ],
)
def test_whatever_is_wrong_comes_with_what_to_do(finding: Finding) -> None:
    assert not finding.ok
    assert finding.remedy


def test_a_port_in_use_is_named_with_the_variable_that_moves_it() -> None:
    finding = ports_finding({"kafka": 19092, "api": 18800}, None)
    assert "kafka 19092, api 18800" in finding.found
    assert "MILLSTREAM_PORT_KAFKA" in finding.remedy


def test_ports_that_our_own_launcher_uses_are_fine() -> None:
    assert ports_finding({"kafka": 19092}, 4711).ok


@pytest.mark.parametrize(
    ("system", "bundled", "built", "says"),
    [
        ((1, 26), False, False, "of the system"),
        ((1, 20), False, False, "PyPI"),
        ((0, 0), True, False, "in the cache"),
        ((0, 0), False, True, "not needed"),
    ],
)
def test_go_is_only_missed_where_weaviate_is_not_built(
    system: tuple[int, int], bundled: bool, built: bool, says: str
) -> None:
    assert says in go_finding(system, bundled, built).found


def test_a_folder_others_may_pass_through_is_fine() -> None:
    assert mode_finding("state folder", Path("state"), 0o040711, 0o711).ok
