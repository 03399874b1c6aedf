"""The API as a process, on real Weaviate with the real model: answers, refuses, starts and stops as it should."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import pytest

from index.embedding.fastembed_model import FastembedEmbedder, load_embedder
from index.memory_log import MemoryCommitLog
from index.model import SCHEMA, ChunkSubject, IndexIdentity, chunk_hash, content_hash, first_head
from index.port import IndexRecord
from index.rows import PositionedMutation
from index.weaviate import StoreAddress, WeaviateIndex
from index.writer import TenantWriter
from runtime.clock import SystemClock
from runtime.declarations import load_topics
from runtime.freshness_token import seal, token_key
from runtime.kafka import KafkaAdmin, Producer
from runtime.settings import Settings, settings_from
from schemas.codec import encode
from schemas.identity import Document, Tenant
from schemas.records import Chunk, Content, Coordinates, Generation, GenerationState, Mutation, Origin
from schemas.topics import GENERATIONS
from schemas.versions import Op, Version
from serving.auth import issue_token

pytestmark = pytest.mark.parts

TENANT = Tenant("acme")
DOCUMENTS = {
    "policies/travel": (
        "Travel policy",
        "Since 2026 a hotel may cost up to 120 EUR per night. Flights are booked early.",
    ),
    "policies/leave": ("Leave", "Every employee has 30 days of annual leave. Unused days end in March."),
    "it/vault": ("Vault", "The vault is opened by two people with the master card."),
}
ACLS = {"it/vault": ("it",)}


@dataclass(frozen=True)
class Built:
    """An index with three documents."""

    settings: Settings
    environment: Mapping[str, str]
    freshness: str
    embedder: FastembedEmbedder


def _index(settings: Settings) -> WeaviateIndex:
    address = StoreAddress(settings.weaviate_http, settings.weaviate_grpc, settings.weaviate_api_key.get_secret_value())
    return WeaviateIndex(address, IndexIdentity(settings.generation, settings.incarnation))


def _mutation(embedder: FastembedEmbedder, offset: int, name: str, title: str, text: str) -> PositionedMutation:
    document = Document.checked(TENANT, "handbook", name)
    vector = embedder.embed([f"{title}\n{text}"])[0]
    chunk = Chunk(
        ordinal=0,
        text=text,
        heading_path=(),
        hash=chunk_hash(ChunkSubject(document, text, title, (), "text", "en", ())),
        embedded_hash=str(offset),
        start=0,
        end=len(text),
        vector=vector.astype("<f4").tobytes(),
    )
    now = datetime.now(UTC)
    mutation = Mutation(
        tenant=document.tenant,
        source=document.source,
        doc_id=document.doc_id,
        op=Op.UPSERT,
        version=Version(1, offset, 0),
        content=Content(
            chunks=(chunk,),
            content_hash=content_hash([chunk.hash]),
            title=title,
            kind="text",
            language="en",
            pipeline="p",
        ),
        acl=ACLS.get(name, ("public",)),
        change=Coordinates(topic="documents.changes", partition=0, offset=offset),
        origin=Origin(connector="files", reference=name),
        event_id=str(offset),
        received_at=now,
        prepared_at=now,
    )
    return PositionedMutation(mutation, Coordinates(topic="index.mutations.g1", partition=0, offset=offset))


@pytest.fixture(scope="module")
def built(stack_settings: Settings, stack_environment: Mapping[str, str]) -> Built:
    """Build the index once."""
    embedder = load_embedder(cache_dir=stack_settings.cache_dir)
    asyncio.run(_build(stack_settings, embedder))
    key = token_key(stack_settings.token_key.get_secret_value())
    token = seal(key, Document.checked(TENANT, "handbook", "policies/leave"), "content", Version(1, 2, 0))
    return Built(stack_settings, stack_environment, token, embedder)


async def _build(settings: Settings, embedder: FastembedEmbedder) -> None:
    await _announce(settings, settings.incarnation)
    index = _index(settings)
    recipe = {"embedder": embedder.fingerprint, "schema": SCHEMA}
    await index.create(IndexRecord(index.identity, recipe, {}, embedder.dimension, datetime.now(UTC)))
    await index.create_tenant(first_head(TENANT, datetime.now(UTC)))
    writer = TenantWriter(index, MemoryCommitLog(), TENANT, SystemClock(), name="test")
    for offset, (name, (title, text)) in enumerate(DOCUMENTS.items(), start=1):
        await writer.commit([_mutation(embedder, offset, name, title, text)])
    await index.close()


async def _announce(settings: Settings, incarnation: str) -> None:
    """Create the topics, and say which build is live."""
    admin, log = KafkaAdmin(settings), Producer(settings)
    admin.apply(admin.plan(load_topics(settings).concrete(sources=(), generations=(settings.generation,))))
    build = IndexIdentity(settings.generation, incarnation)
    live = Generation(
        name=build.generation, incarnation=incarnation, state=GenerationState.LIVE, recipe="r", at=datetime.now(UTC)
    )
    try:
        await log.append(GENERATIONS, 0, str(build), encode(live))
    finally:
        await log.close()


async def _announced_elsewhere(built: Built, incarnation: str) -> dict[str, str]:
    """Settings of an installation beside this one, where another build is live."""
    prefix = {"MILLSTREAM_KAFKA_TOPIC_PREFIX": f"{incarnation}."}
    await _announce(settings_from({**built.environment, **prefix}), incarnation)
    return prefix


async def _start(environment: Mapping[str, str], **more: str) -> asyncio.subprocess.Process:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "serving",
        env={**clean, **environment, **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def _running(built: Built) -> AsyncIterator[tuple[str, aiohttp.ClientSession, asyncio.subprocess.Process]]:
    process = await _start(built.environment)
    base = f"http://{built.settings.api_host}:{built.settings.api_port}"
    try:
        async with aiohttp.ClientSession() as session:
            await _until_ready(base, session, process)
            yield base, session, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _until_ready(base: str, session: aiohttp.ClientSession, process: asyncio.subprocess.Process) -> None:
    while process.returncode is None:
        try:
            async with session.get(f"{base}/readyz") as response:
                if response.status == 200:
                    return
        except aiohttp.ClientConnectorError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError((await process.communicate())[1].decode())


def _headers(built: Built, *groups: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {issue_token(built.settings, TENANT, 'ada', groups)}"}


async def test_the_process_answers_refuses_reads_documents_and_stops_on_sigterm(built: Built) -> None:
    async with _running(built) as (base, session, process):

        async def ask(question: str, *groups: str, **more: object) -> dict[str, object]:
            body = {"question": question} | more
            async with session.post(f"{base}/v1/query", json=body, headers=_headers(built, *groups)) as response:
                assert response.status == 200, await response.text()
                found: dict[str, object] = await response.json()
                return found

        hotel = await ask("How much may a hotel cost per night?")
        assert hotel["answer"] == "Since 2026 a hotel may cost up to 120 EUR per night [1]."
        assert hotel["position"]["seq"] == 3  # type: ignore[index]
        fresh = await ask("How many days of annual leave are there?", at_least=built.freshness)
        assert "30 days" in str(fresh["answer"])
        assert (await ask("Who opens the vault?"))["refusal"]["reason"] == "no_source"  # type: ignore[index]
        assert "two people" in str((await ask("Who opens the vault?", "it"))["answer"])
        assert (await ask("Who composed the Four Seasons?"))["answer"] is None
        before = await ask("How many days of annual leave are there?", as_of=1)
        assert before["refusal"]["reason"] == "no_source"  # type: ignore[index]
        async with session.get(
            f"{base}/v1/documents/handbook/policies%2Ftravel?text=true", headers=_headers(built)
        ) as response:
            assert response.status == 200
            assert (await response.json())["chunks"][0]["text"] == DOCUMENTS["policies/travel"][1]
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0, err
        assert b"120 EUR" not in out + err


async def test_the_command_line_lists_what_was_committed_and_a_stream_ends_with_its_process(built: Built) -> None:
    async with _running(built) as (base, session, process):
        options = ("changes", "--json", "--tenant", TENANT)
        assert [change["doc_id"] for change in await _command(built, *options)] == ["policies/travel", "policies/leave"]
        told = await _command(built, *options, "--group", "it", "--after", "1", "--source", "handbook")
        assert [(change["seq"], change["op"], change["present"]) for change in told] == [
            (2, "upsert", True),
            (3, "upsert", True),
        ]
        async with session.get(f"{base}/v1/changes", headers=_headers(built)) as stream:
            assert stream.status == 200
            process.send_signal(signal.SIGTERM)
            sent = await asyncio.wait_for(stream.read(), 10)
        assert b'event: end\ndata: {"reason":"stopping"}' in sent
        await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0


async def _command(built: Built, *arguments: str) -> list[dict[str, object]]:
    """What a command prints, a JSON document a line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments), env={**clean, **built.environment}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(command.communicate(), 30)
    assert command.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"MILLSTREAM_JWT_SECRET": "short"}, b"MILLSTREAM_JWT_SECRET"),
        ({"MILLSTREAM_TOKEN_KEY": "short"}, b"MILLSTREAM_TOKEN_KEY"),
        ({"MILLSTREAM_API_PORT": "many"}, b"MILLSTREAM_API_PORT"),
    ],
)
async def test_a_start_that_cannot_work_ends_with_one_line_and_status_1(
    built: Built, changed: dict[str, str], says: bytes
) -> None:
    process = await _start(built.environment, **changed)
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    lines = [line for line in err.splitlines() if not line.startswith(b"{")]
    assert len(lines) == 1
    assert says in lines[0]


async def test_a_live_build_that_does_not_exist_stops_the_start(built: Built) -> None:
    process = await _start(built.environment, **await _announced_elsewhere(built, "nowhere"))
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert b"millstream up" in err


async def test_an_index_of_another_recipe_stops_the_start(built: Built) -> None:
    index = WeaviateIndex(
        StoreAddress(
            built.settings.weaviate_http,
            built.settings.weaviate_grpc,
            built.settings.weaviate_api_key.get_secret_value(),
        ),
        IndexIdentity("g1", "another"),
    )
    await index.create(IndexRecord(index.identity, {"embedder": "another"}, {}, 384, datetime.now(UTC)))
    await index.close()
    process = await _start(built.environment, **await _announced_elsewhere(built, "another"))
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert b"new generation" in err


async def test_a_store_that_is_away_at_the_start_is_waited_for_not_ready(built: Built) -> None:
    process = await _start(
        built.environment, MILLSTREAM_WEAVIATE_GRPC="127.0.0.1:9", MILLSTREAM_WEAVIATE_HTTP="127.0.0.1:9"
    )
    base = f"http://{built.settings.api_host}:{built.settings.api_port}"
    try:
        async with aiohttp.ClientSession() as session:
            while True:
                assert process.returncode is None
                try:
                    async with session.get(f"{base}/readyz") as response:
                        assert response.status == 503
                        assert (await response.json())["reasons"] == ["the store does not answer"]
                        break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.05)
            body = {"question": "How much may a hotel cost?"}
            async with session.post(f"{base}/v1/query", json=body, headers=_headers(built)) as response:
                assert response.status == 503
                assert response.content_type == "application/problem+json"
    finally:
        process.kill()
        await process.communicate()
