"""The webhook receiver as a process: start-up refusals, reload, SIGTERM with work under way."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from connectors.webhook.client import post_signed
from infra.local.ports import lease_ports
from runtime.declarations import load_topics
from runtime.freshness_token import open_token, token_key
from runtime.kafka import KafkaAdmin, read_topic
from runtime.settings import Settings, settings_from
from schemas.codec import decode
from schemas.errors import TransientError
from schemas.identity import Tenant
from schemas.records import DocumentChange
from schemas.topics import CHANGES
from schemas.versions import Op

pytestmark = pytest.mark.parts

SECRET = "whsec_" + base64.b64encode(b"p" * 32).decode()
SOURCES = "version: 1\nsources: [{name: wiki, tenant: acme, kind: webhook}]\n"


@pytest.fixture(scope="module")
def environment(
    stack_environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("receiver")
    (folder / "sources.yaml").write_text(SOURCES)
    (folder / "secrets.json").touch(mode=0o600)
    (folder / "secrets.json").write_text(json.dumps({"wiki": SECRET}))
    with lease_ports(1) as lease:
        yield {
            **stack_environment,
            "MILLSTREAM_SOURCES_FILE": str(folder / "sources.yaml"),
            "MILLSTREAM_WEBHOOK_SECRETS_FILE": str(folder / "secrets.json"),
            "MILLSTREAM_INGEST_PORT": str(lease.ports[0]),
            "MILLSTREAM_LOG_DIR": str(folder / "logs"),
        }


@pytest.fixture(scope="module")
def settings(environment: Mapping[str, str]) -> Settings:
    settings = settings_from(environment)
    admin, topics = KafkaAdmin(settings), load_topics(settings)
    admin.apply(admin.plan([each for each in topics.concrete(sources=(), generations=()) if each.name == CHANGES]))
    return settings


def launch(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "connectors.webhook"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def receiver(environment: Mapping[str, str], settings: Settings) -> Iterator[subprocess.Popen[str]]:
    process = launch(environment)
    try:
        wait_until(lambda: status(settings, "/readyz") == 200)
        yield process
    finally:
        process.kill()
        process.communicate()


def status(settings: Settings, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{settings.ingest_port}{path}", timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_until(holds: object, seconds: float = 30.0) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def upsert(doc_id: str) -> bytes:
    return orjson.dumps({"op": "upsert", "doc_id": doc_id, "body": "secret body text"})


def ids_in_log(settings: Settings) -> list[str]:
    changes = [decode(record.value, DocumentChange) for record in read_topic(settings, CHANGES) if record.value]
    return [change.doc_id for change in changes if change.op is Op.UPSERT]


def test_every_acknowledged_event_survives_sigterm_under_load_and_logs_hold_no_text(
    receiver: subprocess.Popen[str], settings: Settings
) -> None:
    acknowledged: list[str] = []

    def send(number: int) -> None:
        try:
            post_signed(settings, "wiki", upsert(f"load/{number}"))
        except TransientError:
            return
        acknowledged.append(f"load/{number}")
        if len(acknowledged) == 100:
            receiver.send_signal(signal.SIGTERM)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(400)))
    assert receiver.wait(timeout=30) == 0
    assert len(acknowledged) >= 100
    assert set(acknowledged) <= set(ids_in_log(settings))
    assert settings.log_dir is not None
    lines = (settings.log_dir / "webhook.log").read_text().splitlines()
    assert not [line for line in lines if "secret body text" in line]
    requests = [line for line in map(orjson.loads, lines) if line["event"] == "request"]
    assert {"source", "status", "bytes", "events", "ms", "request_id"} <= set(requests[0])


def test_after_kill_nothing_acknowledged_is_lost(receiver: subprocess.Popen[str], settings: Settings) -> None:
    acknowledged: list[str] = []

    def send(number: int) -> None:
        try:
            post_signed(settings, "wiki", upsert(f"kill/{number}"))
        except TransientError:
            return
        acknowledged.append(f"kill/{number}")
        if len(acknowledged) == 50:
            receiver.kill()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(200)))
    assert len(acknowledged) >= 50
    assert set(acknowledged) <= set(ids_in_log(settings))


def test_after_kill_a_repeated_message_brings_no_deleted_document_back(
    receiver: subprocess.Popen[str], environment: Mapping[str, str], settings: Settings
) -> None:
    kept = post_signed(settings, "wiki", upsert("zombie"), message_id="msg_zombie")
    post_signed(settings, "wiki", orjson.dumps({"op": "delete", "doc_id": "zombie"}))
    receiver.kill()
    receiver.wait()
    again = launch(environment)
    try:
        wait_until(lambda: status(settings, "/readyz") == 200)
        repeated = post_signed(settings, "wiki", upsert("zombie"), message_id="msg_zombie")
        other = post_signed(settings, "wiki", upsert("other"))
    finally:
        again.kill()
        again.communicate()
    key = token_key(settings.token_key.get_secret_value())
    opened = [open_token(key, token, Tenant("acme")) for token in (*kept, *repeated)]
    assert opened[0] == opened[1]
    assert len(other) == 1
    assert ids_in_log(settings).count("zombie") == 1


def test_an_edited_sources_file_is_taken_up_and_a_broken_one_shows_in_readiness(
    receiver: subprocess.Popen[str], settings: Settings
) -> None:
    settings.sources_file.write_text("{")
    wait_until(lambda: status(settings, "/readyz") == 503)
    assert len(post_signed(settings, "wiki", upsert("still"))) == 1
    settings.sources_file.write_text(SOURCES)
    wait_until(lambda: status(settings, "/readyz") == 200)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"MILLSTREAM_TOKEN_KEY": "short"}, "MILLSTREAM_TOKEN_KEY"),
        ({"MILLSTREAM_SOURCES_FILE": "/nowhere/sources.yaml"}, "/nowhere/sources.yaml does not exist"),
        ({"MILLSTREAM_INGEST_PORT": "x"}, "MILLSTREAM_INGEST_PORT"),
        ({"MILLSTREAM_WEBHOOK_SECRETS_FILE": "/nowhere/secrets.json"}, "/nowhere/secrets.json"),
        ({"MILLSTREAM_KAFKA_TOPIC_PREFIX": "empty."}, "millstream topics apply"),
        ({"MILLSTREAM_KAFKA_BOOTSTRAP": "127.0.0.1:9"}, "Kafka did not answer"),
    ],
)
def test_a_fault_at_start_up_is_one_line_and_exit_1(
    environment: Mapping[str, str], settings: Settings, change: dict[str, str], says: str
) -> None:
    process = launch({**environment, **change})
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 1
    assert printed.count("\n") == 1, printed
    assert says in printed


def test_another_partition_count_than_stated_is_refused(
    environment: Mapping[str, str], settings: Settings, tmp_path: Path
) -> None:
    edited = tmp_path / "topics.yaml"
    edited.write_text(settings.topics_file.read_text().replace("document: 8 ", "document: 9 "))
    process = launch({**environment, "MILLSTREAM_TOPICS_FILE": str(edited)})
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "has 8 partitions and topics.yaml says 9" in printed


async def test_the_port_being_taken_is_one_line(environment: Mapping[str, str], settings: Settings) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", settings.ingest_port)
    async with server:
        process = launch(environment)
        _, printed = await asyncio.to_thread(process.communicate, None, 60)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{settings.ingest_port}" in printed
