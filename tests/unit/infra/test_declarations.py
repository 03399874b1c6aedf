"""What is declared about parts and services fits together."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.local import profile as profiles
from infra.local.cache import Cache
from infra.local.connect import worker_properties
from infra.local.jars import JarSet, load_jar_sets
from infra.local.kafka import server_properties
from infra.local.parts import waves
from infra.local.ports import Ports
from infra.local.services import BOOTSTRAP, Service, application
from infra.local.stack import PART_NAMES, build_parts, given_addresses
from infra.local.weaviate import memory_limit, server_environment
from schemas.errors import ConfigError


@dataclass(frozen=True)
class Thing:
    name: str
    needs: tuple[str, ...] = ()


@pytest.fixture
def services(tmp_path: Path) -> list[Service]:
    profile = profiles.load_or_create(tmp_path / ".millstream", {})
    return application(profile.environment({}), profile.ports, profile.state_dir)


def test_things_start_after_what_they_need() -> None:
    things = [Thing("c", ("b",)), Thing("b", ("a",)), Thing("a"), Thing("d", ("elsewhere",))]
    assert [[thing.name for thing in wave] for wave in waves(things)] == [["a", "d"], ["b"], ["c"]]


def test_things_that_need_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="a, b"):
        waves([Thing("a", ("b",)), Thing("b", ("a",)), Thing("c")])


def test_every_part_can_be_built_and_needs_only_parts(tmp_path: Path) -> None:
    parts = build_parts(profiles.load_or_create(tmp_path, {}), PART_NAMES, Cache(tmp_path))
    assert [part.name for part in parts] == list(PART_NAMES)
    assert all(need in PART_NAMES for part in parts for need in part.needs)


def test_an_unknown_part_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown part redis: there are kafka, weaviate"):
        build_parts(profiles.load_or_create(tmp_path, {}), ["redis"], Cache(tmp_path))


def test_every_service_runs_a_module_that_exists_after_the_bootstrap(services: list[Service]) -> None:
    stages = ["prepare", "apply", "hide", "capture", "builds"]
    assert [service.name for service in services] == [BOOTSTRAP, *stages, "ingest", "api"]
    for service in services:
        module = service.argv[service.argv.index("-m") + 1]
        assert importlib.util.find_spec(f"{module}.__main__") is not None, module
        assert service.name == BOOTSTRAP or service.needs == (BOOTSTRAP,)


def test_no_two_services_answer_on_one_port(services: list[Service]) -> None:
    urls = [service.ready_url for service in services if service.ready_url]
    assert len(set(urls)) == len(services) - 1


def test_an_address_in_the_settings_means_that_the_part_is_not_started(tmp_path: Path) -> None:
    profile = profiles.load_or_create(tmp_path, {})
    assert given_addresses(profile, profile.environment({})) == {}
    assert given_addresses(profile, {"MILLSTREAM_KAFKA_BOOTSTRAP": "broker:9092"}) == {"kafka": "broker:9092"}


def test_a_given_address_is_shown_without_its_password(tmp_path: Path) -> None:
    profile = profiles.load_or_create(tmp_path, {})
    given = given_addresses(profile, {"MILLSTREAM_POSTGRES_DSN": "postgresql://me:hidden@db:5432/sales"})
    assert given == {"postgres": "postgresql://db:5432/sales"}


def test_weaviate_knows_no_anonymous_caller() -> None:
    settings = server_environment(Ports(), Path("/data"), "the-key", 2**30)
    assert settings["AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED"] == "false"
    assert settings["AUTHENTICATION_APIKEY_ALLOWED_KEYS"] == "the-key"
    assert settings["AUTHORIZATION_ADMINLIST_USERS"] == settings["AUTHENTICATION_APIKEY_USERS"]


@pytest.mark.parametrize(("total", "limit"), [(2, 1), (8, 2), (16, 4), (64, 4)])
def test_weaviate_gets_a_quarter_of_the_memory_within_bounds(total: int, limit: int) -> None:
    assert memory_limit(total * 1024**3) == limit * 1024**3


def test_kafka_and_connect_listen_on_loopback_only() -> None:
    kafka = server_properties(Ports(), Path("/data"))
    assert all("://127.0.0.1:" in listener for listener in kafka["listeners"].split(","))
    assert worker_properties("127.0.0.1:1", 2, Path("/plugins"), Path("/secrets"))["listeners"] == "HTTP://127.0.0.1:2"


def test_kafka_takes_a_record_of_16_mib_and_its_overhead() -> None:
    kafka = server_properties(Ports(), Path("/data"))
    assert int(kafka["message.max.bytes"]) > 16 * 1024 * 1024
    assert kafka["replica.fetch.max.bytes"] == kafka["message.max.bytes"]


@pytest.mark.parametrize("name", ["kafka", "connect", "debezium"])
def test_every_jar_is_locked_by_its_hash_in_one_version(name: str) -> None:
    jars = load_jar_sets()[name].jars
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in jars.values())
    artifacts = [coordinate.rpartition(":")[0] for coordinate in jars]
    assert len(set(artifacts)) == len(artifacts)


@pytest.mark.parametrize("name", ["kafka", "connect"])
def test_all_of_kafkas_own_jars_are_of_one_version(name: str) -> None:
    jars = load_jar_sets()[name]
    own = {coordinate.split(":")[2] for coordinate in jars.jars if coordinate.startswith("org.apache.kafka:")}
    assert own == {jars.version}


def test_the_plugin_brings_no_second_copy_of_kafkas_classes() -> None:
    assert not [jar for jar in load_jar_sets()["debezium"].jars if jar.startswith(("org.apache.kafka:", "org.slf4j:"))]


def test_another_jar_is_another_cache_folder() -> None:
    assert JarSet("kafka", "1", {"a:b:1": "00"}).key != JarSet("kafka", "1", {"a:b:1": "01"}).key
