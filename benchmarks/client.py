"""The two HTTP APIs as a benchmark speaks to them: one pool of persistent connections, signed posts, replies as values.

The one module here that imports aiohttp. Nothing is retried: a request that fails is an outcome to be counted.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import aiohttp
import orjson

from benchmarks.load import Outcome, Reply
from connectors.webhook.signatures import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, Secrets, load_secrets
from runtime.settings import Settings
from schemas.errors import TransientError

Json = Mapping[str, object]

_SECONDS = 30.0
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Posted:
    """What the receiver said: its status, one token an event when that is 202, else the problem's title."""

    status: int
    tokens: tuple[str, ...] = ()
    problem: str = ""

    @property
    def accepted(self) -> bool:
        return self.status == 202


class Client:
    """Both APIs. `async with`: its connections live as long."""

    def __init__(self, settings: Settings, connections: int = 100) -> None:
        self._settings = settings
        self._api = f"http://{settings.api_host}:{settings.api_port}"
        self._ingest = f"http://{settings.ingest_host}:{settings.ingest_port}"
        self._connections = connections
        self._secrets: dict[str, Secrets] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def check_ready(self) -> None:
        """Raises TransientError that names whoever does not answer."""
        for name, address in (("query API", self._api), ("webhook receiver", self._ingest)):
            try:
                async with self._session.get(f"{address}/readyz") as response:
                    if response.status != 200:
                        raise TransientError(f"the {name} at {address} is not ready: see `millstream status`")
            except (aiohttp.ClientError, TimeoutError):
                raise TransientError(f"the {name} does not answer at {address}: run `millstream up` first") from None

    async def ask(self, path: str, bearer: str, body: Json) -> Reply:
        """One request to /v1/query or /v1/search."""
        headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
        try:
            async with self._session.post(self._api + path, data=orjson.dumps(body), headers=headers) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return Reply(Outcome.ERROR, reason=type(error).__name__)
        return read_reply(response.status, content)

    async def post(self, source: str, events: Sequence[Json]) -> Posted:
        """Send a batch as one signed message."""
        body = orjson.dumps({"events": list(events)})
        try:
            async with self._session.post(
                f"{self._ingest}/v1/sources/{source}/events", data=body, headers=self._signed(source, body)
            ) as response:
                content = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            return Posted(0, problem=type(error).__name__)
        if response.status != 202:
            return Posted(response.status, problem=str(content.get("title", "")))
        return Posted(202, tuple(content["tokens"]))

    def _signed(self, source: str, body: bytes) -> dict[str, str]:
        if source not in self._secrets:
            self._secrets[source] = load_secrets(self._settings.webhook_secrets_file, {}, (source,))
        message_id, now = f"bench_{uuid.uuid4().hex}", datetime.now(UTC)
        return {
            "Content-Type": "application/json",
            ID_HEADER: message_id,
            TIMESTAMP_HEADER: str(int(now.timestamp())),
            SIGNATURE_HEADER: self._secrets[source].of(source)[0].sign(message_id, now, body.decode()),
        }


def read_reply(status: int, content: bytes) -> Reply:
    """A response of the query API as a value; whatever it is, nothing is raised."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return Reply(Outcome.ERROR, reason=f"HTTP {status}")
    if status == _TOO_MANY:
        return Reply(Outcome.SHED, reason="HTTP 429")
    if status != 200 or not isinstance(body, dict):
        return Reply(Outcome.ERROR, reason=f"HTTP {status}")
    refusal = body["refusal"]
    found = body["citations"] if "citations" in body else body["results"]
    outcome, reason = Outcome.ANSWER, ""
    if refusal is not None:
        reason = refusal["reason"]
        outcome = Outcome.SHED if reason == "overloaded" else Outcome.REFUSAL
    return Reply(
        outcome,
        timings_ms=body["timings_ms"],
        answer=body.get("answer") or "",
        sources=tuple(dict.fromkeys(one["doc_id"] for one in found)),
        reason=reason,
        evidence=tuple(str(one.get("chunk_id")) for one in found),
        seq=(body.get("position") or {}).get("seq"),
        is_cached=bool(body.get("cached")),
    )
