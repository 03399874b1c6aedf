"""Embedding by an OpenAI-compatible endpoint (`POST <url>/embeddings`), over httpx.

Only the configured address is ever asked: no redirect is followed and no proxy is taken from the environment. Texts
leave the installation; that is the operator's decision. Errors never carry texts, and never the key.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from index.embedding.guessed_pieces import GUESS, guessed_pieces
from index.embedding.port import FailedTextsError, Recipe, Span, Vectors, probe_text
from schemas.errors import ConfigError, TransientError

_BATCH_TEXTS = 64
_BATCH_CHARACTERS = 60_000
_ATTEMPTS = 5
_QUESTION_ATTEMPTS = 2
"""Somebody waits for the answer."""
_SUSPECT_AFTER = 2
"""Attempts that ended with an error of the endpoint's own, before another text is tried."""
_BUSY = (502, 503, 504, 529)
"""What a gateway says of an endpoint, and an endpoint of its load: a text is suspected only in the end."""
_LONGEST_WAIT = 20.0
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 60.0
_BYTES_PER_VALUE = 32
"""Of a number in JSON, at most; an answer far longer than its vectors is refused unread."""


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
        """What it embeds by, as far as anybody outside the endpoint knows; the same model elsewhere may differ.

        Raises ConfigError.
        """
        url = _checked_url(self.url)
        revision = f"openai-compatible {url.netloc.decode()}{url.path} pieces.{GUESS}"
        return Recipe(self.model, revision, self.dimension, self.max_tokens, "endpoint", precision="unknown")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    index: int
    embedding: list[float]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    data: list[_Row]


class EndpointEmbedder:
    """An `Embedder` over the endpoint. Safe to call from several threads.

    Raises TransientError when the endpoint does not answer or asks to wait for longer than some seconds,
    FailedTextsError when it fails on these texts but not on another, ConfigError when it refuses the key or the model,
    ValueError when it refuses a text or answers nonsense.
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
        secret = _checked_key(config.key)
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
        """Rather more than the model's own tokeniser makes, which nobody here knows."""
        return guessed_pieces(text)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As the port says."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for batch in _batches(texts):
            rows[batch.start : batch.stop] = self._ask(texts[batch.start : batch.stop])
        return rows

    def embed_query(self, text: str) -> Vectors:
        row: Vectors = self._ask([text], _QUESTION_ATTEMPTS, is_question=True)[0]
        return row

    def _ask(self, texts: Sequence[str], attempts: int = _ATTEMPTS, *, is_question: bool = False) -> Vectors:
        for attempt in range(1, attempts + 1):
            wait = random.uniform(0.5, 1.0) * 2 ** (attempt - 1)  # noqa: S311 - only spreads retries
            status, answer, asked_to_wait = self._tried(texts)
            if status == 200:
                return self._vectors(answer, len(texts))
            _refuse(status)
            wait = max(wait, asked_to_wait or 0.0)
            if wait > _LONGEST_WAIT:
                break
            is_suspect = status >= 500 and attempt >= (attempts if status in _BUSY else _SUSPECT_AFTER)
            if is_suspect and not is_question and self._tried([probe_text()])[0] == 200:
                raise FailedTextsError(f"the embedding endpoint fails on these texts ({status})")
            if attempt < attempts:
                self._sleep(wait)
        raise TransientError(f"the embedding endpoint did not answer ({status or 'no connection'})")

    def _tried(self, texts: Sequence[str]) -> tuple[int, bytes, float | None]:
        """As `_post`; status 0 where there is no connection."""
        body = {"model": self._config.model, "input": [_sendable(text) for text in texts], "encoding_format": "float"}
        try:
            return self._post(body, len(texts))
        except httpx.TransportError:
            return 0, b"", None

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


def _checked_url(url: str) -> httpx.URL:
    """Where vectors are asked for. Raises ConfigError."""
    try:
        parsed = httpx.URL(f"{url.strip().rstrip('/')}/embeddings")
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise ConfigError("MILLSTREAM_EMBEDDING_URL: a base address such as https://host/v1, without a key in it")
    return parsed


def _checked_key(key: SecretStr) -> str:
    """Without the line end that a file puts behind it. Raises ConfigError, which does not tell the key."""
    secret = key.get_secret_value().strip()
    if not all("!" <= sign <= "~" for sign in secret):
        raise ConfigError("MILLSTREAM_EMBEDDING_KEY: a key has neither spaces nor line ends nor signs beyond ASCII")
    return secret


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
