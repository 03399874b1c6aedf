"""status.json as people and scripts read it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.cache import file_lock
from infra.local.launch import causes
from infra.local.status import LAUNCHER_LOCK, Board, Kind, State, UnitStatus, read_status

KAFKA = UnitStatus("kafka", Kind.PART, State.READY, "127.0.0.1:1", "kafka.log", "", pid=7, restarts=1)
API = UnitStatus("api", Kind.SERVICE, State.FAILED, "http://127.0.0.1:2", "api.out", "", message="no key")


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = Board(tmp_path)
    board.put(KAFKA)
    board.put(API)
    board.publish()
    return board


def test_a_full_disk_ends_nothing_and_is_written_once_there_is_room(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: Path, _text: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("infra.local.status.write_private", full)
        board.put(replace(KAFKA, state=State.FAILED))
    found = board.get("kafka")
    assert found is not None
    assert found.state is State.FAILED
    board.catch_up()
    assert '"failed"' in (tmp_path / "status.json").read_text().split('"api"')[0]


def test_before_the_first_start_nothing_runs_and_nothing_is_ready(tmp_path: Path) -> None:
    status = read_status(tmp_path)
    assert not status.running
    assert not status.ready
    assert status.units == ()


@pytest.mark.usefixtures("board")
def test_while_the_launcher_lives_its_units_are_as_written(tmp_path: Path) -> None:
    with file_lock(tmp_path / LAUNCHER_LOCK) as handle:
        os.write(handle, str(os.getpid()).encode())
        status = read_status(tmp_path)
    assert status.running
    assert status.launcher == os.getpid()
    kafka = status.unit("kafka")
    assert kafka is not None
    assert replace(kafka, since="") == KAFKA
    assert [unit.name for unit in status.failed] == ["api"]
    assert not status.ready


@pytest.mark.usefixtures("board")
def test_what_an_earlier_launcher_wrote_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    with file_lock(tmp_path / LAUNCHER_LOCK) as handle:
        os.write(handle, b"1")
        assert read_status(tmp_path).units == ()


@pytest.mark.usefixtures("board")
def test_without_a_launcher_everything_is_stopped_and_failures_keep_their_reason(tmp_path: Path) -> None:
    status = read_status(tmp_path)
    kafka, api = status.units
    assert (kafka.state, kafka.pid) == (State.STOPPED, None)
    assert (api.state, api.message) == (State.FAILED, "no key")


def test_it_is_ready_when_every_unit_is(tmp_path: Path, board: Board) -> None:
    board.put(replace(API, state=State.READY))
    with file_lock(tmp_path / LAUNCHER_LOCK) as handle:
        os.write(handle, str(os.getpid()).encode())
        assert read_status(tmp_path).ready


@pytest.mark.usefixtures("board")
def test_a_script_finds_addresses_and_the_keys_file(tmp_path: Path) -> None:
    written = json.loads((tmp_path / "status.json").read_text())
    assert {unit["name"]: unit["address"] for unit in written["units"]}["kafka"] == "127.0.0.1:1"
    assert written["secrets"] == str(tmp_path / "secrets.json")


def test_nothing_is_written_before_all_units_are_known(tmp_path: Path) -> None:
    Board(tmp_path).put(KAFKA)
    assert not (tmp_path / "status.json").exists()


def test_a_broken_file_reads_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"units": [{"name": "kafka"}], "launcher": 1}')
    assert read_status(tmp_path).units == ()


def test_of_failures_only_the_causes_are_told() -> None:
    bootstrap = replace(API, name="bootstrap")
    waiting = replace(API, name="ingest", message="needs bootstrap, which failed")
    assert causes([bootstrap, waiting]) == [bootstrap]
