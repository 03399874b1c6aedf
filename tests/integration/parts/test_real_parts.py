"""Kafka, Weaviate, Postgres and Connect as `millstream up` starts them: they answer, come back, and leave nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import profile as profiles
from infra.local.launch import down, up
from infra.local.ports import PortLease, Ports, free_ports
from infra.local.postgres import program
from infra.local.probes import http_status, kafka_answers
from infra.local.profile import Profile
from infra.local.stack import Stack
from infra.local.status import State, Status, read_status
from tests.integration.parts.traces import processes_left

pytestmark = [pytest.mark.parts, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def leased() -> Iterator[Ports]:
    ports, lease = free_ports()
    with lease:
        yield ports


@pytest.fixture(scope="module")
def environ(leased: Ports) -> dict[str, str]:
    moved = {f"MILLSTREAM_PORT_{name.upper()}": str(port) for name, port in leased.as_dict().items()}
    return {**os.environ, **moved}


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> Iterator[Path]:
    """A project's folder with all four parts up."""
    folder = tmp_path_factory.mktemp("project") / ".millstream"
    up(folder, services=False, environ=environ)
    yield folder
    down(folder)


@pytest.fixture
def profile(state_dir: Path) -> Profile:
    profile = profiles.read(state_dir)
    assert profile is not None
    return profile


def wait_for_restart(state_dir: Path, part: str) -> Status:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = read_status(state_dir)
        unit = status.unit(part)
        if unit is not None and unit.restarts and unit.state is State.READY:
            return status
        time.sleep(0.05)
    raise AssertionError(read_status(state_dir).as_json())


def psql(profile: Profile, password: str, query: str) -> "subprocess.CompletedProcess[str]":
    address = ["-h", "127.0.0.1", "-p", str(profile.ports.postgres), "-U", "postgres", "-w", "-t", "-A"]
    command = [str(program("psql")), *address, "-c", query]
    return subprocess.run(
        command, env={"PGPASSWORD": password}, capture_output=True, text=True, check=False, timeout=20
    )


def test_all_parts_are_ready_and_tell_where_they_are(state_dir: Path, profile: Profile) -> None:
    status = read_status(state_dir)
    assert status.ready
    assert {unit.name: unit.address for unit in status.units} == {
        "kafka": f"127.0.0.1:{profile.ports.kafka}",
        "weaviate": f"127.0.0.1:{profile.ports.weaviate_http}",
        "postgres": f"127.0.0.1:{profile.ports.postgres}",
        "connect": f"http://127.0.0.1:{profile.ports.connect}",
    }
    assert kafka_answers(f"127.0.0.1:{profile.ports.kafka}")


def test_starting_again_changes_nothing(state_dir: Path, environ: dict[str, str]) -> None:
    before = read_status(state_dir)
    assert up(state_dir, services=False, environ=environ) == before


def test_weaviate_turns_away_callers_without_the_key(profile: Profile) -> None:
    schema = f"http://127.0.0.1:{profile.ports.weaviate_http}/v1/schema"
    assert http_status(schema) == 401
    wrong = urllib.request.Request(schema, headers={"Authorization": "Bearer wrong"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(wrong, timeout=5)
    right = urllib.request.Request(schema, headers={"Authorization": f"Bearer {profile.secrets.weaviate_api_key}"})
    with urllib.request.urlopen(right, timeout=5) as response:
        assert response.status == 200


def test_weaviates_internal_port_wants_a_password_too(profile: Profile) -> None:
    assert http_status(f"http://127.0.0.1:{profile.ports.weaviate_data}/nodes/status") == 401


def test_postgres_wants_its_password_and_decodes_logically(profile: Profile) -> None:
    assert psql(profile, "wrong", "select 1").returncode != 0
    assert psql(profile, profile.secrets.postgres_password, "show wal_level").stdout.strip() == "logical"


def test_connect_offers_debeziums_postgres_connector(profile: Profile) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{profile.ports.connect}/connector-plugins", timeout=5) as response:
        classes = {plugin["class"] for plugin in json.load(response)}
    assert "io.debezium.connector.postgresql.PostgresConnector" in classes


def test_a_killed_part_comes_back_and_the_others_stay(state_dir: Path) -> None:
    before = {unit.name: unit.pid for unit in read_status(state_dir).units}
    assert before["weaviate"] is not None
    os.kill(before["weaviate"], signal.SIGKILL)
    after = {unit.name: unit.pid for unit in wait_for_restart(state_dir, "weaviate").units}
    assert after["weaviate"] != before["weaviate"]
    assert {**after, "weaviate": None} == {**before, "weaviate": None}


def test_nothing_survives_a_killed_launcher_and_the_data_does(
    state_dir: Path, profile: Profile, environ: dict[str, str]
) -> None:
    made = psql(profile, profile.secrets.postgres_password, "create table kept (id int)")
    assert made.returncode == 0, made.stderr
    launcher = read_status(state_dir).launcher
    assert launcher is not None
    os.kill(launcher, signal.SIGKILL)
    assert processes_left(state_dir.parent) == []
    assert not read_status(state_dir).running
    up(state_dir, only=("postgres",), services=False, environ=environ)
    assert psql(profile, profile.secrets.postgres_password, "select count(*) from kept").stdout.strip() == "0"
    assert down(state_dir)
    assert processes_left(state_dir.parent, 1.0) == []


def test_purging_removes_everything_of_the_project(state_dir: Path) -> None:
    down(state_dir, purge=True)
    assert not state_dir.exists()


def test_a_stack_of_a_test_leaves_no_process(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack", ("postgres",)) as stack:
        stack.kill("postgres", signal.SIGKILL)
        stack.restart("postgres")
        assert psql(stack.profile, stack.profile.secrets.postgres_password, "select 1").stdout.strip() == "1"
    assert processes_left(tmp_path, 1.0) == []


def test_ctrl_c_while_starting_takes_down_what_it_started(tmp_path: Path, environ: dict[str, str]) -> None:
    state_dir = tmp_path / "project" / ".millstream"
    code = "import pathlib, sys; from infra.local.launch import up; up(pathlib.Path(sys.argv[1]), services=False)"
    with subprocess.Popen([sys.executable, "-c", code, str(state_dir)], env=environ, stderr=subprocess.PIPE) as command:
        while not any(unit.pid for unit in read_status(state_dir).units) and command.poll() is None:
            time.sleep(0.02)
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=60)
    assert command.returncode != 0
    assert processes_left(tmp_path, 1.0) == []


def test_leased_ports_are_given_to_nobody_else() -> None:
    leases: list[PortLease] = []
    given: list[int] = []
    for _ in range(20):
        ports, lease = free_ports()
        leases.append(lease)
        given.extend(ports.as_dict().values())
    for lease in leases:
        lease.release()
    assert len(set(given)) == len(given)
