"""The webhook receiver over HTTP, its app in this process, on a real broker."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from connectors.webhook.app import build_app
from connectors.webhook.client import post_signed
from connectors.webhook.receiver import Limits, Receiver
from connectors.webhook.registry import Registry, load_senders
from connectors.webhook.signatures import Secret, signed_headers
from runtime.clock import SystemClock
from runtime.declarations import load_topics
from runtime.freshness_token import open_token, token_key
from runtime.kafka import KafkaAdmin, Producer, read_topic
from runtime.metrics import Metrics
from runtime.settings import Settings
from schemas.codec import decode
from schemas.errors import PermanentError
from schemas.identity import Tenant
from schemas.records import DocumentChange
from schemas.topics import CHANGES

pytestmark = pytest.mark.parts

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
URL = "/v1/sources/wiki/events"
Client = TestClient[web.Request, web.Application]


@pytest.fixture(scope="module")
def settings(stack_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("webhook")
    (folder / "sources.yaml").write_text("version: 1\nsources: [{name: wiki, tenant: acme, kind: webhook}]")
    secrets = folder / "secrets.json"
    secrets.touch(mode=0o600)
    secrets.write_text(json.dumps({"wiki": SECRET}))
    changed = stack_settings.model_copy(
        update={
            "sources_file": folder / "sources.yaml",
            "webhook_secrets_file": secrets,
            "max_document_bytes": 50_000,
        }
    )
    admin = KafkaAdmin(changed)
    topics = load_topics(changed)
    admin.apply(admin.plan([each for each in topics.concrete(sources=(), generations=()) if each.name == CHANGES]))
    return changed


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    metrics = Metrics()
    producer = Producer(settings, delivery_seconds=5.0)
    receiver = Receiver(
        Registry(settings, lambda: load_senders(settings, {}), metrics),
        producer,
        load_topics(settings),
        token_key(settings.token_key.get_secret_value()),
        Limits(settings.max_document_bytes, queued_bytes=400_000),
        SystemClock(),
        metrics,
    )

    async def not_ready() -> Sequence[str]:
        return []

    async with TestClient(TestServer(build_app(receiver, metrics, not_ready))) as opened:
        yield opened
    await receiver.drain()
    assert await producer.close() == 0


def signed(content: object, message: str) -> tuple[bytes, dict[str, str]]:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return body, signed_headers(Secret(SECRET), body, datetime.now(UTC), message)


def changes_in_log(settings: Settings, doc_id: str) -> list[DocumentChange]:
    found = [decode(record.value, DocumentChange) for record in read_topic(settings, CHANGES) if record.value]
    return [change for change in found if change.doc_id == doc_id]


async def test_what_is_acknowledged_is_in_the_log_under_its_tokens_version(client: Client, settings: Settings) -> None:
    event = {"op": "upsert", "doc_id": "a/b", "body": "# Täxt", "acl": ["public"], "labels": {"kind": "page"}}
    body, headers = signed(event, "msg_http_1")
    async with client.post(URL, data=body, headers={**headers, "X-Request-Id": "r-1"}) as response:
        assert response.status == 202
        assert response.headers["X-Request-Id"] == "r-1"
        answer = await response.json()
    token = open_token(token_key(settings.token_key.get_secret_value()), answer["tokens"][0], Tenant("acme"))
    content, copy = await asyncio.to_thread(changes_in_log, settings, "a/b")
    assert answer["accepted"] == 1
    assert content.body == "# Täxt".encode()
    assert copy.acl == ("public",)
    assert copy.version.sequence == token.version.sequence


async def test_a_full_batch_is_acknowledged(client: Client) -> None:
    batch = {"events": [{"op": "upsert", "doc_id": f"bulk/{n}", "body": "x", "acl": ["a"]} for n in range(1000)]}
    body, headers = signed(batch, "msg_http_bulk")
    for _ in range(3):
        async with client.post(URL, data=body, headers=headers) as response:
            if response.status == 503:  # not within 10 s, on a busy machine: a sender sends the same again
                continue
            assert response.status == 202
            assert len((await response.json())["tokens"]) == 1000
            return
    raise AssertionError("not acknowledged within 30 s")


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"{", 400, "malformed-json"),
        ({"op": "upsert", "doc_id": "x ", "body": ""}, 400, "invalid-event"),
        ({"op": "upsert", "doc_id": "x", "body": "y" * 50_001}, 413, "too-large"),
        (b" " * 1_200_000, 413, "too-large"),
    ],
)
async def test_a_refusal_is_a_problem_with_a_stable_type(
    client: Client, content: object, status: int, kind: str
) -> None:
    body, headers = signed(content, f"msg_{kind}_{status}")
    async with client.post(URL, data=body, headers=headers) as response:
        problem = await response.json(content_type="application/problem+json")
        assert response.status == problem["status"] == status
        assert problem["type"] == f"urn:millstream:problem:{kind}"
        assert problem["instance"] == response.headers["X-Request-Id"]
        assert problem["title"]
        assert problem["detail"]


async def test_a_chunked_body_over_the_limit_is_refused(client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 10_000

    async with client.post(URL, data=endless()) as response:
        assert response.status == 413


async def test_an_unsigned_request_and_an_unknown_source_look_alike(client: Client) -> None:
    named = {"X-Request-Id": "r"}
    known = await client.post(URL, data=b"{}", headers=named)
    unknown = await client.post("/v1/sources/other/events", data=b"{}", headers=named)
    assert known.status == unknown.status == 401
    assert await known.read() == await unknown.read()


async def test_beyond_the_queue_a_request_is_told_to_come_again(client: Client) -> None:
    gate_full = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await gate_full.wait()
        yield b"}"

    # A chunked body reserves the largest size a request may have, which is more than there is room for here.
    first = asyncio.create_task(client.post(URL, data=slow()))
    while "millstream_ingest_queued_bytes 0.0" in await (await client.get("/metrics")).text():
        await asyncio.sleep(0.01)
    body, headers = signed({"op": "upsert", "doc_id": "q", "body": "x"}, "msg_http_busy")
    async with client.post(URL, data=body, headers=headers) as second:
        status, retry = second.status, second.headers.get("Retry-After")
    assert status == 429
    assert retry == "1"
    gate_full.set()
    async with await first as response:
        assert response.status == 401


async def test_other_paths_and_methods_are_problems_too(client: Client) -> None:
    async with client.get(URL) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert response.content_type == "application/problem+json"
    async with client.get("/") as response:
        assert response.status == 404


async def test_health_readiness_and_metrics_answer(client: Client) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        async with client.get(path) as response:
            assert response.status == 200
    async with client.get("/metrics") as response:
        assert "millstream_ingest_requests_total" in await response.text()


async def test_the_sender_that_ships_is_understood_and_tells_refusals(client: Client, settings: Settings) -> None:
    reachable = settings.model_copy(update={"ingest_host": client.host, "ingest_port": client.port})
    event = orjson.dumps({"op": "upsert", "doc_id": "sent", "body": "x"})
    assert len(await asyncio.to_thread(post_signed, reachable, "wiki", event)) == 1
    with pytest.raises(PermanentError, match=r"HTTP 400.*doc_id"):
        await asyncio.to_thread(post_signed, reachable, "wiki", orjson.dumps({"op": "delete", "doc_id": ""}))


async def test_a_compressed_body_is_refused_unread(client: Client) -> None:
    bomb = gzip.compress(bytes(8_000_000))
    headers = {"Content-Encoding": "gzip"}
    async with client.post(URL, data=bomb, headers=headers) as response:
        assert response.status == 415
        assert (await response.json())["type"] == "urn:millstream:problem:content-encoding"
