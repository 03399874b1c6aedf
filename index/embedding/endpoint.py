"""Embedding by an OpenAI-compatible endpoint (`POST <url>/embeddings`), over httpx.

Only the configured address is ever asked: no redirect is followed and no proxy is taken from the environment. Texts
leave the installation; that is the operator's decision. Errors never carry texts, and never the key.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from index.embedding.port import Recipe, Span, Vectors
from schemas.errors import ConfigError, TransientError

_BATCH_TEXTS = 64
_BATCH_CHARACTERS = 60_000
_ATTEMPTS = 5
_QUESTION_ATTEMPTS = 2
"""Somebody waits for the answer."""
_LONGEST_WAIT = 20.0
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 60.0
_BYTES_PER_VALUE = 32
"""Of a number in JSON, at most; an answer far longer than its vectors is refused unread."""

_PIECE = re.compile(r"[^\W\d_]{1,4}|\d{1,2}|[^\w\s]|_")


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Where and what: `url` is the base, such as https://host/v1."""

    url: str
    model: str
    key: SecretStr
    dimension: int
    max_tokens: int

    @property
    def recipe(self) -> Recipe:
        """What it embeds by, as far as anybody outside the endpoint knows."""
        return Recipe(self.model, "openai-compatible", self.dimension, self.max_tokens, "endpoint", precision="unknown")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    index: int
    embedding: list[float]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    data: list[_Row]


class EndpointEmbedder:
    """An `Embedder` over the endpoint. Safe to call from several threads.

    Raises TransientError when the endpoint does not answer or asks to wait for longer than some seconds, ConfigError
    when it refuses the key or the model, ValueError when it refuses a text or answers nonsense.
    """

    def __init__(
        self,
        config: EndpointConfig,
        *,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._config = config
        self._url = _checked_url(config.url)
        self._sleep = sleep
        self._recipe = config.recipe
        secret = config.key.get_secret_value()
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {secret}"} if secret else {},
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    @property
    def recipe(self) -> Recipe:
        """What it embeds by."""
        return self._recipe

    @property
    def fingerprint(self) -> str:
        return self._recipe.fingerprint

    @property
    def dimension(self) -> int:
        return self._config.dimension

    @property
    def max_tokens(self) -> int:
        return self._config.max_tokens

    def token_spans(self, text: str) -> Sequence[Span]:
        """Pieces of at most four letters or two digits: no usual tokeniser makes more, so no chunk is cut off."""
        return [match.span() for match in _PIECE.finditer(text)]

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As the port says."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for batch in _batches(texts):
            rows[batch.start : batch.stop] = self._ask(texts[batch.start : batch.stop])
        return rows

    def embed_query(self, text: str) -> Vectors:
        row: Vectors = self._ask([text], _QUESTION_ATTEMPTS)[0]
        return row

    def _ask(self, texts: Sequence[str], attempts: int = _ATTEMPTS) -> Vectors:
        body = {"model": self._config.model, "input": [_sendable(text) for text in texts], "encoding_format": "float"}
        for attempt in range(1, attempts + 1):
            wait = random.uniform(0.5, 1.0) * 2 ** (attempt - 1)  # noqa: S311 - only spreads retries
            try:
                status, answer, asked_to_wait = self._post(body, len(texts))
            except httpx.TransportError:
                status, answer, asked_to_wait = 0, b"", None
            if status == 200:
                return self._vectors(answer, len(texts))
            _refuse(status)
            wait = max(wait, asked_to_wait or 0.0)
            if attempt < attempts and wait <= _LONGEST_WAIT:
                self._sleep(wait)
                continue
            break
        raise TransientError(f"the embedding endpoint did not answer ({status or 'no connection'})")

    def _post(self, body: object, count: int) -> tuple[int, bytes, float | None]:
        """Status, body where it is 200, and the seconds it asks to wait."""
        most = 65_536 + count * self.dimension * _BYTES_PER_VALUE
        with self._client.stream("POST", self._url, json=body) as response:
            if response.status_code != 200:
                return response.status_code, b"", _seconds(response.headers.get("retry-after"))
            received = bytearray()
            for part in response.iter_bytes():
                received += part
                if len(received) > most:
                    raise ValueError("the embedding endpoint's answer is longer than its vectors could be")
            return 200, bytes(received), None

    def _vectors(self, answer: bytes, count: int) -> Vectors:
        try:
            data = sorted(_Answer.model_validate_json(answer).data, key=lambda row: row.index)
        except ValidationError:
            raise ValueError("the embedding endpoint's answer has no vectors") from None
        if [row.index for row in data] != list(range(count)):
            raise ValueError("the embedding endpoint answered with another number of vectors than texts")
        if any(len(row.embedding) != self.dimension for row in data):
            raise ConfigError(
                f"the embedding endpoint's vectors have {len(data[0].embedding)} values: "
                f"MILLSTREAM_EMBEDDING_DIMENSION says {self.dimension}"
            )
        rows = np.array([row.embedding for row in data], dtype=np.float32)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise ValueError("the embedding endpoint answered with a vector without a direction")
        rows /= norms
        return rows


def _checked_url(url: str) -> str:
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise ConfigError("MILLSTREAM_EMBEDDING_URL: a base address such as https://host/v1, without a key in it")
    return f"{url.rstrip('/')}/embeddings"


def _refuse(status: int) -> None:
    """What no second attempt would change. Raises ConfigError, or ValueError where a text is at fault."""
    if status in (401, 403, 404):
        raise ConfigError(f"the embedding endpoint refuses ({status}): check MILLSTREAM_EMBEDDING_URL, _KEY and _MODEL")
    if 300 <= status < 500 and status not in (408, 425, 429):
        raise ValueError(f"the embedding endpoint refuses these texts ({status})")


def _seconds(stated: str | None) -> float | None:
    return float(stated) if stated is not None and stated.isascii() and stated.isdecimal() else None


def _sendable(text: str) -> str:
    """Lone surrogates become question marks; an empty text a space: most endpoints refuse it."""
    return text.encode("utf-8", "replace").decode("utf-8") or " "


def _batches(texts: Sequence[str]) -> Iterator[slice]:
    start = characters = 0
    for place, text in enumerate(texts):
        if place > start and (place - start == _BATCH_TEXTS or characters + len(text) > _BATCH_CHARACTERS):
            yield slice(start, place)
            start, characters = place, 0
        characters += len(text)
    if start < len(texts):
        yield slice(start, len(texts))
