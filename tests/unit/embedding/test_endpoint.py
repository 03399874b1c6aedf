"""The embedding endpoint: batches, retries, refusals, and what it may answer. httpx's own transport stands for it."""

import json
from collections.abc import Callable
from dataclasses import replace

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from index.embedding.choice import embedding_recipe, open_embedder
from index.embedding.endpoint import EndpointConfig, EndpointEmbedder
from index.embedding.port import FailedTextsError
from runtime.settings import settings_from
from schemas.errors import ConfigError, TransientError

CONFIG = EndpointConfig("https://embed.example/v1/", "some-model", SecretStr("k-secret"), 4, 64)
Answer = Callable[[httpx.Request], httpx.Response]


def vectors(request: httpx.Request) -> httpx.Response:
    """A vector for each text, told by its length, in another order than asked."""
    texts = json.loads(request.content)["input"]
    rows = [{"index": place, "embedding": [len(text), 1.0, 0.0, 0.0]} for place, text in enumerate(texts)]
    return httpx.Response(200, json={"data": rows[::-1], "model": "some-model", "usage": {}})


class World:
    """An embedder whose endpoint answers as told; requests and waits are kept."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self._answers = list(answers)
        self.embedder = EndpointEmbedder(CONFIG, sleep=self.waits.append, transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(request)


def status(code: int, **headers: str) -> Answer:
    return lambda _request: httpx.Response(code, headers=headers, text="said: a secret text")


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no", request=request)


def test_vectors_are_unit_rows_in_the_order_of_the_texts() -> None:
    world = World(vectors)
    rows = world.embedder.embed(["a", "bbb"])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    assert rows[0][0] == pytest.approx(1 / 2**0.5)
    assert world.embedder.embed([]).shape == (0, 4)
    assert world.embedder.embed_query("a").shape == (4,)


def test_only_the_configured_address_is_asked_with_the_key() -> None:
    world = World(vectors)
    world.embedder.embed(["a"])
    (request,) = world.requests
    assert str(request.url) == "https://embed.example/v1/embeddings"
    assert request.headers["authorization"] == "Bearer k-secret"


def test_many_texts_go_in_batches() -> None:
    world = World(vectors)
    assert world.embedder.embed(["x"] * 150 + ["y" * 50_000] * 3).shape == (153, 4)
    sizes = [len(json.loads(request.content)["input"]) for request in world.requests]
    assert sizes == [64, 64, 23, 1, 1]


def test_a_busy_endpoint_is_asked_again_after_the_time_it_states() -> None:
    world = World(status(429, **{"retry-after": "7"}), status(503), unreachable, vectors)
    assert world.embedder.embed(["a"]).shape == (1, 4)
    assert len(world.waits) == 3
    assert world.waits[0] == 7.0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(500), TransientError),
        (unreachable, TransientError),
        (status(429, **{"retry-after": "3600"}), TransientError),
        (status(401), ConfigError),
        (status(404), ConfigError),
        (status(302, location="http://169.254.169.254/"), ValueError),
        (status(400), ValueError),
        (lambda _request: httpx.Response(200, text="hello"), ValueError),
        (lambda _request: httpx.Response(200, json={"data": []}), ValueError),
        (lambda _request: httpx.Response(200, json={"data": [{"index": 0, "embedding": [1.0]}]}), ConfigError),
        (lambda _request: httpx.Response(200, json={"data": [{"index": 0, "embedding": [0.0] * 4}]}), ValueError),
        (lambda _request: httpx.Response(200, content=b" " * 200_000), ValueError),
    ],
)
def test_refusals_and_nonsense_are_errors_without_text_or_key(answer: Answer, error: type[Exception]) -> None:
    world = World(answer)
    with pytest.raises(error) as caught:
        world.embedder.embed(["a private text"])
    assert "private" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert {request.url.host for request in world.requests} == {"embed.example"}


@pytest.mark.parametrize(
    "url", ["ftp://a.example", "https://key@a.example/v1", "a.example/v1", "https://a.example/v1?k=1", "https://a b:x/"]
)
def test_an_address_is_a_base_without_a_key_in_it(url: str) -> None:
    with pytest.raises(ConfigError, match="MILLSTREAM_EMBEDDING_URL"):
        EndpointEmbedder(EndpointConfig(url, "m", SecretStr(""), 4, 64))
    with pytest.raises(ConfigError, match="MILLSTREAM_EMBEDDING_URL"):
        _ = EndpointConfig(url, "m", SecretStr(""), 4, 64).recipe.fingerprint


def fails_on(word: str, code: int = 500) -> Answer:
    """An endpoint that is well but for texts with the word."""

    def answer(request: httpx.Request) -> httpx.Response:
        texts = json.loads(request.content)["input"]
        return httpx.Response(code) if any(word in text for text in texts) else vectors(request)

    return answer


@pytest.mark.parametrize(("code", "waits"), [(500, 1), (503, 4)])
def test_an_endpoint_that_fails_on_these_texts_alone_says_so(code: int, waits: int) -> None:
    world = World(fails_on("poison", code))
    with pytest.raises(FailedTextsError) as caught:
        world.embedder.embed(["fine", "poison, and private"])
    assert "private" not in str(caught.value)
    assert len(world.waits) == waits, "what a gateway may say of a busy endpoint is waited out"


def test_an_endpoint_that_fails_on_every_text_is_away() -> None:
    world = World(status(500))
    with pytest.raises(TransientError) as caught:
        world.embedder.embed(["a"])
    assert not isinstance(caught.value, FailedTextsError)
    assert len(world.waits) == 4


def test_an_endpoint_that_fails_for_a_moment_is_asked_again() -> None:
    world = World(status(500), status(500), status(500), vectors)
    assert world.embedder.embed(["a"]).shape == (1, 4)


def test_whether_another_text_goes_is_asked_with_a_text_that_no_cache_knows() -> None:
    world = World(status(500))
    with pytest.raises(TransientError):
        world.embedder.embed(["a"])
    asked = [json.loads(request.content)["input"][0] for request in world.requests]
    others = [text for text in asked if text != "a"]
    assert len(others) == len(set(others)) > 1


def test_nobody_waits_for_another_text_than_the_question() -> None:
    world = World(fails_on("poison"))
    with pytest.raises(TransientError):
        world.embedder.embed_query("poison")
    assert len(world.requests) == 2


def test_the_same_model_at_another_address_is_another() -> None:
    def at(url: str) -> str:
        return replace(CONFIG, url=url).recipe.fingerprint

    assert at("https://embed.example/v1") == CONFIG.recipe.fingerprint == at("https://EMBED.example:443/v1")
    others = ["https://other.example/v1", "https://embed.example:8443/v1", "https://embed.example/other/v1"]
    assert len({CONFIG.recipe.fingerprint, *map(at, others)}) == 4


def test_the_fingerprint_of_an_endpoint_does_not_change_between_releases() -> None:
    assert CONFIG.recipe.fingerprint == "some-model-4-827515090fd2"


def test_a_line_end_behind_the_key_is_no_part_of_it() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return vectors(request)

    config = replace(CONFIG, key=SecretStr("k-secret\r\n"))
    EndpointEmbedder(config, transport=httpx.MockTransport(answer)).embed(["a"])
    assert requests[0].headers["authorization"] == "Bearer k-secret"


@pytest.mark.parametrize("key", ["k-secret\nk-other", "k secret", "k-secrét", "k-secret\x00"])
def test_a_key_that_no_header_can_carry_is_refused_at_the_start_without_telling_it(key: str) -> None:
    with pytest.raises(ConfigError, match="MILLSTREAM_EMBEDDING_KEY") as caught:
        EndpointEmbedder(replace(CONFIG, key=SecretStr(key)))
    assert "secr" not in str(caught.value)


def test_the_settings_choose_it_by_its_address() -> None:
    settings = settings_from(
        {
            "MILLSTREAM_EMBEDDING_URL": "http://127.0.0.1:9/v1",
            "MILLSTREAM_EMBEDDING_MODEL": "some-model",
            "MILLSTREAM_EMBEDDING_DIMENSION": "16",
        }
    )
    embedder = open_embedder(settings)
    assert embedder.dimension == 16
    assert embedder.fingerprint == embedding_recipe(settings).fingerprint
