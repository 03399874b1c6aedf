"""What all tests share: a clean environment, and the real parts - started once a run, on free ports, in a folder of
their own. A part that cannot be started fails the tests that need it; nothing is skipped.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import hypothesis
import pytest
from xdist.remote import Producer

from infra.local.stack import Stack
from runtime.settings import Settings, settings_from
from tests.balance import BalancedScheduling

# CI tries the same cases each time, so that what fails has to do with the change; `make soak` tries new ones.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("anew", deadline=None, print_blob=True)
hypothesis.settings.load_profile("same")

_NUMBERS = count(1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BalancedScheduling | None:
    """`--dist loadfile` as tests/balance.py has it."""
    return BalancedScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MILLSTREAM_") and name != "MILLSTREAM_CACHE_DIR":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Real Kafka and Weaviate."""
    with Stack(tmp_path_factory.mktemp("stack") / ".millstream", ("kafka", "weaviate")) as stack:
        yield stack


@pytest.fixture(scope="module")
def stack_environment(parts: Stack, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """MILLSTREAM_* variables that reach the parts, under a topic prefix and an incarnation of this module's own; no
    source is declared.
    """
    number = next(_NUMBERS)
    folder: Path = tmp_path_factory.mktemp(f"module{number}")
    sources = folder / "sources.yaml"
    sources.write_text("version: 1\nsources: []\n")
    return {
        **parts.environment(),
        "MILLSTREAM_KAFKA_TOPIC_PREFIX": f"test{number}.",
        "MILLSTREAM_INCARNATION": f"t{number}",
        "MILLSTREAM_STATE_DIR": str(folder),
        "MILLSTREAM_SOURCES_FILE": str(sources),
        "MILLSTREAM_LOG_DIR": str(folder / "logs"),
    }


@pytest.fixture(scope="module")
def stack_settings(stack_environment: Mapping[str, str]) -> Settings:
    """Settings that reach the real parts, under a topic prefix and an incarnation of this module's own."""
    return settings_from(stack_environment)


@dataclass(frozen=True, slots=True)
class WeaviateAddress:
    """Where the run's Weaviate listens."""

    http: str
    grpc: str
    api_key: str


@pytest.fixture(scope="session")
def weaviate_address(parts: Stack) -> WeaviateAddress:
    """The run's real Weaviate."""
    settings = settings_from(parts.environment())
    return WeaviateAddress(settings.weaviate_http, settings.weaviate_grpc, settings.weaviate_api_key.get_secret_value())
