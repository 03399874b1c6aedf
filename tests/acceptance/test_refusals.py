"""Every process that cannot work ends at its start with exit 1 and one line that says what to do."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.bootstrap import bootstrap
from index.weaviate import open_index
from infra.local import profile as profiles
from infra.local.ports import free_ports
from runtime.clock import SystemClock
from runtime.declarations import load_topics
from runtime.kafka import KafkaAdmin, Producer
from runtime.settings import PACKAGED_TOPICS, Settings, settings_from
from schemas.sources import parse_sources
from schemas.topics import parse_topics
from streams.recipe import recipe_of
from tests.acceptance.installation import Installation

PREPARE, APPLY = "streams --stage prepare", "streams --stage apply"
INGEST, API, BOOTSTRAP = "connectors.webhook", "serving", "cli bootstrap"
AT_ONCE = 3


@dataclass(frozen=True)
class Case:
    """A process, what is wrong with its settings, and what its line must say."""

    process: str
    wrong: str
    says: str

    def __str__(self) -> str:
        return f"{self.process}: {self.wrong}"


CASES = (
    Case(INGEST, "broken sources.yaml", "sources.0.kind"),
    *(Case(process, "broken topics.yaml", "topics.yaml") for process in (INGEST, APPLY)),
    *(Case(process, "other partition counts", "partitions") for process in (BOOTSTRAP, PREPARE)),
    *(Case(process, "another recipe", "recipe") for process in (BOOTSTRAP, PREPARE)),
    Case(APPLY, "no index", "millstream up"),
    *(Case(process, "wrong key", "MILLSTREAM_WEAVIATE_API_KEY") for process in (APPLY, API)),
    Case(API, "port taken", "MILLSTREAM_API_PORT"),
    Case(APPLY, "port taken", "MILLSTREAM_METRICS_PORT"),
)

WRONG_TOPICS = "version: 1\ntopics: [{name: documents.changes, colour: blue}]\n"
WRONG_SOURCES = "version: 1\nsources: [{name: wiki, tenant: acme, kind: pigeon}]\n"


@pytest.fixture(scope="module")
def environment(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Of one more process beside the running ones: its own ports and logs."""
    profile = profiles.read(installation.state_dir)
    assert profile is not None
    ports, lease = free_ports()
    with lease:
        yield profile.environment(installation.environ) | {
            "MILLSTREAM_INGEST_PORT": str(ports.ingest),
            "MILLSTREAM_API_PORT": str(ports.api),
            "MILLSTREAM_METRICS_PORT": str(ports.metrics_apply),
            "MILLSTREAM_LOG_DIR": str(tmp_path_factory.mktemp("logs")),
        }


@pytest.fixture(scope="module")
def wrongs(
    installation: Installation, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """What is wrong -> the settings that make it so."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "topics.yaml").write_text(WRONG_TOPICS)
    (folder / "sources.yaml").write_text(WRONG_SOURCES)
    odd = {"MILLSTREAM_KAFKA_TOPIC_PREFIX": "odd."}
    create_odd_topics(settings_from({**environment, **odd}))
    other = {"MILLSTREAM_KAFKA_TOPIC_PREFIX": "recipe.", "MILLSTREAM_INCARNATION": "recipe"}
    asyncio.run(create_with_another_recipe(settings_from({**environment, **other})))
    running = installation.settings
    stage = installation.unit("prepare").address.rpartition(":")[2]
    return {
        "broken sources.yaml": {"MILLSTREAM_SOURCES_FILE": str(folder / "sources.yaml")},
        "broken topics.yaml": {"MILLSTREAM_TOPICS_FILE": str(folder / "topics.yaml")},
        "other partition counts": odd,
        "another recipe": other,
        "no index": {"MILLSTREAM_INCARNATION": "nowhere"},
        "wrong key": {"MILLSTREAM_WEAVIATE_API_KEY": "not-this-one"},
        "port taken": {"MILLSTREAM_API_PORT": str(running.api_port), "MILLSTREAM_METRICS_PORT": stage},
    }


def create_odd_topics(settings: Settings) -> None:
    """Topics with other partition counts than topics.yaml states."""
    odd = parse_topics(PACKAGED_TOPICS.read_text().replace("document: 8 ", "document: 6 "))
    admin = KafkaAdmin(settings)
    admin.apply(admin.plan(odd.concrete(sources=(), generations=(settings.generation,))))


async def create_with_another_recipe(settings: Settings) -> None:
    """A generation and an index made with another embedder."""
    index, log = open_index(settings), Producer(settings)
    try:
        await bootstrap(
            settings,
            load_topics(settings),
            parse_sources("version: 1\nsources: [{name: wiki, tenant: acme, kind: webhook}]\n"),
            admin=KafkaAdmin(settings),
            log=log,
            index=index,
            dimension=384,
            recipe=recipe_of("another-embedder-384"),
            clock=SystemClock(),
        )
    finally:
        await log.close()
        await index.close()


@pytest.fixture(scope="module")
def endings(
    environment: Mapping[str, str], wrongs: Mapping[str, Mapping[str, str]]
) -> "dict[Case, subprocess.CompletedProcess[str]]":
    """How each process ended; a few of them are started at the same time."""

    def run(case: Case) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", *case.process.split()],
            env={**environment, **wrongs[case.wrong]},
            cwd=Path(os.sep),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(CASES, pool.map(run, CASES), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_start_that_cannot_work_ends_with_one_line_and_exit_1(
    case: Case, endings: "Mapping[Case, subprocess.CompletedProcess[str]]"
) -> None:
    ended = endings[case]
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    line = ended.stderr
    assert case.says in line
    assert "not-this-one" not in line
    assert ended.stdout == ""


def test_what_was_refused_disturbed_nothing_that_runs(
    installation: Installation, endings: "Mapping[Case, subprocess.CompletedProcess[str]]"
) -> None:
    assert len(endings) == len(CASES)
    restarts = {unit.name: unit.restarts for unit in installation.status().units}
    assert installation.status().ready, restarts
