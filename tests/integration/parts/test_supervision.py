"""How the launcher treats processes that die, refuse, hang or depend on others; small programs stand for parts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.local.children import Child, Command
from infra.local.progress import ProgressSink
from infra.local.restarts import RestartPolicy
from infra.local.status import Board, State, UnitStatus
from infra.local.supervisor import Supervisor
from tests.integration.parts.traces import processes_left, processes_of

POLICY = RestartPolicy(first_seconds=0.01, most_seconds=0.02, limit=2)
RUNS = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


@dataclass(frozen=True)
class Program:
    """A part that is a line of Python; ready once it runs."""

    name: str
    code: str
    folder: Path
    needs: tuple[str, ...] = ()
    address: str = ""
    ready_seconds: float = 5.0
    prepared: list[str] = field(default_factory=list)

    @property
    def log_file(self) -> Path:
        return self.folder / f"{self.name}.log"

    def prepare(self, report: ProgressSink) -> None:
        self.prepared.append(self.name)

    def command(self) -> Command:
        return command(self.code, self.folder, self.log_file)

    def is_ready(self) -> bool:
        return True


class Silent(Program):
    """Never answers."""

    def is_ready(self) -> bool:
        return False


def command(code: str, folder: Path, log_file: Path) -> Command:
    environment = {"PATH": os.environ["PATH"], "STATE": str(folder)}
    return Command((sys.executable, "-c", code), environment, folder, log_file, grace_seconds=0.3)


def eventually(board: Board, name: str, wanted: Callable[[UnitStatus], bool]) -> UnitStatus:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        unit = board.get(name)
        if unit is not None and wanted(unit):
            return unit
        board.wait(0.05)
    raise AssertionError(board.get(name))


def ready(unit: UnitStatus) -> bool:
    return unit.state is State.READY


def failed(unit: UnitStatus) -> bool:
    return unit.state is State.FAILED


def test_a_unit_that_dies_is_started_again(tmp_path: Path) -> None:
    board = Board(tmp_path)
    supervisor = Supervisor(board, [Program("a", RUNS, tmp_path)], [], policy=POLICY)
    supervisor.start()
    first = eventually(board, "a", ready).pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    again = eventually(board, "a", lambda unit: ready(unit) and unit.restarts == 1)
    assert again.pid != first
    supervisor.stop()
    assert processes_left(tmp_path, 1.0) == []


def test_a_unit_that_keeps_dying_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    board = Board(tmp_path)
    code = "import sys; print('the disk is full', flush=True); sys.exit(2)"
    supervisor = Supervisor(board, [Program("a", code, tmp_path)], [], policy=POLICY)
    supervisor.start()
    unit = eventually(board, "a", failed)
    assert "died 3 times" in unit.message
    assert "the disk is full" in unit.message
    supervisor.stop()


def test_a_unit_whose_start_up_refuses_is_not_tried_again(tmp_path: Path) -> None:
    board = Board(tmp_path)
    code = "import sys; sys.exit('MILLSTREAM_X: must be set')"
    supervisor = Supervisor(board, [], [Silent("a", code, tmp_path)], policy=POLICY)
    supervisor.start()
    unit = eventually(board, "a", failed)
    assert unit.message == "MILLSTREAM_X: must be set"
    assert unit.restarts == 0
    supervisor.stop()


def test_a_unit_that_never_answers_is_given_up(tmp_path: Path) -> None:
    board = Board(tmp_path)
    supervisor = Supervisor(board, [Silent("a", RUNS, tmp_path, ready_seconds=0.1)], [], policy=POLICY)
    supervisor.start()
    assert "did not answer" in eventually(board, "a", failed).message
    assert processes_left(tmp_path, 1.0) == []
    supervisor.stop()


def test_services_wait_for_the_task_and_the_task_for_the_parts(tmp_path: Path) -> None:
    board = Board(tmp_path)
    note = tmp_path / "task-ran"
    service = f"import pathlib, time; assert pathlib.Path({str(note)!r}).exists(); time.sleep(600)"
    task = Program("task", f"import pathlib; pathlib.Path({str(note)!r}).touch()", tmp_path, ("part",))
    supervisor = Supervisor(
        board,
        [Program("part", RUNS, tmp_path)],
        [task, Program("service", service, tmp_path, ("task",))],
        tasks=["task"],
        policy=POLICY,
    )
    supervisor.start()
    eventually(board, "service", ready)
    assert eventually(board, "task", ready).message == "done"
    supervisor.stop()


def test_when_the_task_fails_its_words_are_shown_and_services_say_whom_they_need(tmp_path: Path) -> None:
    board = Board(tmp_path)
    task = Program("task", "import sys; sys.exit('index of another recipe')", tmp_path)
    service = Program("service", RUNS, tmp_path, ("task",))
    supervisor = Supervisor(board, [], [task, service], tasks=["task"], policy=POLICY)
    supervisor.start()
    assert "index of another recipe" in eventually(board, "task", failed).message
    assert eventually(board, "service", failed).message == "needs task, which failed"
    supervisor.stop()


def test_a_part_that_others_run_counts_as_ready(tmp_path: Path) -> None:
    board = Board(tmp_path)
    service = Program("service", RUNS, tmp_path, ("kafka",))
    supervisor = Supervisor(board, [], [service], external=[("kafka", "broker:9092")], policy=POLICY)
    supervisor.start()
    eventually(board, "service", ready)
    kafka = board.get("kafka")
    assert kafka is not None
    assert kafka.external
    supervisor.stop()


def test_stopping_ends_what_ignores_the_stop_signal_and_what_it_started(tmp_path: Path) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {DEAF!r}])"
    child = Child(command(code, tmp_path, tmp_path / "log"))
    deadline = time.monotonic() + 10
    while "deaf" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.stop()
    assert processes_left(tmp_path, 2.0) == []


def test_a_program_that_is_missing_shows_in_the_log(tmp_path: Path) -> None:
    log_file = tmp_path / "log"
    child = Child(Command(("/nowhere/program",), {}, tmp_path, log_file))
    assert child.wait(10) == 1
    child.stop()
    assert "FileNotFoundError" in log_file.read_text()


@pytest.mark.parametrize("code", [RUNS, DEAF], ids=["obedient", "deaf"])
def test_nothing_survives_a_parent_that_is_killed(tmp_path: Path, code: str) -> None:
    parent = (
        "import pathlib, sys, time\n"
        "from infra.local.children import Child, Command\n"
        "folder, code = pathlib.Path(sys.argv[1]), sys.argv[2]\n"
        "command = Command((sys.executable, '-c', code, str(folder)), {}, folder, folder / 'log', grace_seconds=0.3)\n"
        "print(Child(command).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    arguments = [sys.executable, "-c", parent, str(tmp_path), code]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        launcher.stdout.readline()
        assert processes_of(tmp_path)
        launcher.kill()
    assert processes_left(tmp_path) == []
