"""Kafka Connect's REST interface: connectors, their configurations, states and positions."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from schemas.errors import ConfigError, TransientError

SECONDS = 30.0
ATTEMPTS = 60
PAUSE_SECONDS = 0.5

_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class TaskState:
    """`state`: RUNNING, FAILED, PAUSED, UNASSIGNED or RESTARTING; `trace` of a failed one, which may hold values."""

    number: int
    state: str
    trace: str


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """`state`: as of a task, or STOPPED."""

    state: str
    trace: str
    tasks: tuple[TaskState, ...]

    @property
    def running(self) -> bool:
        """Whether it and its task run."""
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)

    @property
    def failed_trace(self) -> str | None:
        """The trace of what failed, None when nothing did."""
        if self.state == "FAILED":
            return self.trace
        return next((task.trace for task in self.tasks if task.state == "FAILED"), None)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a connector has read. `snapshot`: rows are being read and the stream waits."""

    lsn: int | None
    snapshot: bool


class ConnectClient:
    """One Kafka Connect. Methods raise TransientError when it does not answer, ConfigError when it refuses."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def names(self) -> tuple[str, ...]:
        """Every connector, whoever's it is."""
        found = await self._ask("GET", "/connectors")
        return tuple(str(name) for name in found) if isinstance(found, list) else ()

    async def config(self, name: str) -> Mapping[str, str] | None:
        """A connector's configuration; None where there is none."""
        found = await self._ask("GET", f"/connectors/{quote(name)}/config")
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else None

    async def put_config(self, name: str, config: Mapping[str, str]) -> None:
        """Create or change a connector; Connect checks the configuration against the database first."""
        await self._ask("PUT", f"/connectors/{quote(name)}/config", dict(config))

    async def create_stopped(self, name: str, config: Mapping[str, str]) -> None:
        """Create a connector that does not run yet."""
        await self._ask("POST", "/connectors", {"name": name, "config": dict(config), "initial_state": "STOPPED"})

    async def state(self, name: str) -> ConnectorState | None:
        """A connector's state; None where there is none."""
        found = await self._ask("GET", f"/connectors/{quote(name)}/status")
        return None if found is None else _state(found)

    async def stop(self, name: str) -> None:
        """Ask a connector to stop: it keeps its configuration and position and loses its task."""
        await self._ask("PUT", f"/connectors/{quote(name)}/stop")

    async def resume(self, name: str) -> None:
        """Let a stopped or paused connector run."""
        await self._ask("PUT", f"/connectors/{quote(name)}/resume")

    async def restart(self, name: str, *, only_failed: bool) -> None:
        """Start a connector and its task again."""
        flag = str(only_failed).lower()
        await self._ask("POST", f"/connectors/{quote(name)}/restart?includeTasks=true&onlyFailed={flag}")

    async def position(self, name: str) -> Position | None:
        """How far it has read; None before its first position."""
        found = await self._ask("GET", f"/connectors/{quote(name)}/offsets")
        return _position(found)

    async def forget_position(self, name: str) -> None:
        """Remove the position of a stopped connector: it begins anew."""
        await self._ask("DELETE", f"/connectors/{quote(name)}/offsets")

    async def delete(self, name: str) -> None:
        """Remove a connector, if it is there."""
        await self._ask("DELETE", f"/connectors/{quote(name)}")

    async def _ask(self, method: str, path: str, body: object = None) -> object:
        """The decoded answer; None for 404."""
        assert self._session is not None, "used outside `async with`"
        content = None if body is None else orjson.dumps(body)
        for _ in range(ATTEMPTS):
            try:
                async with self._session.request(method, self._url + path, data=content, headers=_HEADERS) as answer:
                    status, answered = answer.status, await answer.read()
            except (aiohttp.ClientError, TimeoutError):
                raise TransientError(unanswered(self._url)) from None
            if not _is_busy(status, answered):
                return _answer(status, answered)
            await asyncio.sleep(PAUSE_SECONDS)
        raise TransientError(f"Kafka Connect is busy: it went on refusing {method} {path} for the moment")


def _is_busy(status: int, answered: bytes) -> bool:
    """Connect is rebalancing, or has just started: the same request is answered a moment later."""
    return status == 503 or (status in (409, 500) and b"rebalance" in answered)


def unanswered(url: str) -> str:
    """The message that says so, without user and password of the URL."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    return f"Kafka Connect does not answer at {host}: run `millstream up`, or set MILLSTREAM_CONNECT_URL"


def _answer(status: int, content: bytes) -> object:
    if status == 404:
        return None
    try:
        decoded: object = orjson.loads(content) if content else None
    except orjson.JSONDecodeError:
        decoded = None
    if status < 400:
        return decoded
    message = decoded.get("message", "") if isinstance(decoded, dict) else ""
    if status >= 500:
        raise TransientError(f"Kafka Connect failed with status {status}")
    raise ConfigError(f"Kafka Connect refuses (status {status}): {_one_line(str(message))}")


def _one_line(message: str) -> str:
    """Configurations hold references, never secrets, so what Connect says of one can be shown."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(lines[:3])[:300]


def _state(found: object) -> ConnectorState:
    connector = _field(found, "connector")
    tasks = _field(found, "tasks")
    states = tuple(
        TaskState(number, _text(task, "state"), _text(task, "trace"))
        for number, task in enumerate(tasks if isinstance(tasks, list) else [])
    )
    return ConnectorState(_text(connector, "state"), _text(connector, "trace"), states)


def _position(found: object) -> Position | None:
    offsets = _field(found, "offsets")
    if not isinstance(offsets, list) or not offsets:
        return None
    offset = _field(offsets[0], "offset")
    if offset is None:
        return None
    lsn = _field(offset, "lsn")
    snapshot = _field(offset, "snapshot") or _field(offset, "last_snapshot_record") is False
    return Position(lsn if isinstance(lsn, int) else None, bool(snapshot))


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: object, name: str) -> str:
    found = _field(value, name)
    return found if isinstance(found, str) else ""
