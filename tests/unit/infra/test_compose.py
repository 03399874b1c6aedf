"""docker-compose.kafka.yml runs the parts that infra/local runs: the same versions, the same settings, on loopback."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local import compose
from infra.local.connect import worker_properties
from infra.local.jars import load_jar_sets
from infra.local.kafka import server_properties
from infra.local.ports import Ports
from infra.local.postgres import SETTINGS, program
from infra.local.profile import Profile, load_or_create
from infra.local.weaviate import server_environment
from infra.local.weaviate_build import VERSION as WEAVIATE_VERSION

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.kafka.yml").read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return load_or_create(tmp_path / ".millstream", {})


def _tag(service: str) -> str:
    return str(SERVICES[service]["image"]).rpartition(":")[2]


def test_images_are_of_the_versions_that_run_natively() -> None:
    jars = load_jar_sets()
    printed = subprocess.run([program("postgres"), "-V"], capture_output=True, text=True, check=True).stdout
    assert {name: _tag(name) for name in SERVICES} == {
        "kafka": jars["kafka"].version,
        "connect": jars["connect"].version,
        "postgres": printed.split()[-1],
        "weaviate": WEAVIATE_VERSION,
    }


def test_no_image_names_a_registry() -> None:
    for service in SERVICES.values():
        assert re.fullmatch(r"([a-z]+/)?[a-z]+:[0-9.]+", service["image"]), service["image"]
        assert "build" not in service


def test_kafka_has_the_brokers_settings() -> None:
    of_the_place = {
        "listeners",
        "advertised.listeners",
        "controller.quorum.voters",
        "log.dirs",
    }
    given = SERVICES["kafka"]["environment"]
    for name, value in server_properties(Ports(), Path("/data")).items():
        if name not in of_the_place:
            assert given["KAFKA_" + name.replace(".", "_").upper()] == value, name
    assert given["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://127.0.0.1:{compose.KAFKA_PORT}"
    assert given["KAFKA_LOG_DIRS"] in SERVICES["kafka"]["volumes"][0]


def test_connect_has_the_workers_settings() -> None:
    content = FILE["configs"]["connect_properties"]["content"]
    given = dict(line.split("=", 1) for line in content.splitlines())
    wanted = worker_properties(
        f"127.0.0.1:{compose.KAFKA_PORT}",
        compose.CONNECT_PORT,
        Path("/opt/plugins"),
        Path("${MILLSTREAM_CONNECT_SECRETS_DIR}"),
    )
    assert given == wanted
    assert SERVICES["connect"]["network_mode"] == "host", "a DSN on loopback has to mean the same to it as to us"


def test_postgres_has_the_clusters_settings() -> None:
    given = dict(argument.removeprefix("-c").split("=") for argument in SERVICES["postgres"]["command"][1:])
    assert given == {name: value for name, value in SETTINGS.items() if "listen" not in name and "unix" not in name}
    assert SERVICES["postgres"]["environment"]["POSTGRES_HOST_AUTH_METHOD"] == "scram-sha-256"


def test_weaviate_has_the_servers_settings() -> None:
    key = "${MILLSTREAM_WEAVIATE_API_KEY}"
    given = SERVICES["weaviate"]["environment"]
    wanted = server_environment(Ports(), Path("/var/lib/weaviate"), key, 0)
    assert given.keys() == wanted.keys()
    for name, value in wanted.items():
        if name != "GOMEMLIMIT" and not name.endswith("_PORT"):
            assert re.sub(r":\?[^}]*", "", given[name]) == value, name
    assert int(given["CLUSTER_DATA_BIND_PORT"]) == int(given["CLUSTER_GOSSIP_BIND_PORT"]) + 1


def test_everything_listens_on_loopback_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert {port.split(":")[0] for port in published} == {"127.0.0.1"}
    assert sorted(int(port.split(":")[1]) for port in published) == sorted(
        (compose.KAFKA_PORT, compose.POSTGRES_PORT, compose.WEAVIATE_PORT, compose.WEAVIATE_GRPC_PORT)
    )
    assert f"listeners=HTTP://127.0.0.1:{compose.CONNECT_PORT}" in TEXT


def test_every_service_says_when_it_is_healthy_and_keeps_its_data_in_a_volume() -> None:
    for name, service in SERVICES.items():
        assert service["healthcheck"]["test"], name
        assert service["volumes"], name
    assert set(FILE["volumes"]) == {"kafka", "postgres", "weaviate"}


def test_the_env_file_has_every_variable_and_no_port_of_the_native_stack(profile: Profile) -> None:
    written = compose.variables(profile, Path("/cache/debezium"), "1000:1000")
    named = set(re.findall(r"\$\{(MILLSTREAM_[A-Z_]+)", TEXT)) - {"MILLSTREAM_WEAVIATE_MEMORY"}
    assert named <= written.keys()
    own = profile.environment({})
    for name in ("KAFKA_BOOTSTRAP", "CONNECT_URL", "POSTGRES_DSN", "WEAVIATE_HTTP", "WEAVIATE_GRPC"):
        assert written[f"MILLSTREAM_{name}"] != own[f"MILLSTREAM_{name}"]
    assert written["MILLSTREAM_WEAVIATE_API_KEY"] == profile.secrets.weaviate_api_key


def test_a_required_variable_without_a_value_is_refused_by_compose() -> None:
    """`:?` stands where each is first used; later uses of it need no second message."""
    for name in set(re.findall(r"\$\{(MILLSTREAM_[A-Z_]+)", TEXT)):
        assert re.search(rf"\$\{{{name}:[?-]", TEXT), name


def test_the_env_file_is_the_owners_alone_and_not_in_version_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compose, "fetch", lambda *_: tmp_path / "jars")
    assert compose.main() == 0
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert ".env" in (ROOT / ".gitignore").read_text().split()
