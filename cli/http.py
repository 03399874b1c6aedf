"""A small JSON client for our own APIs on loopback; other addresses are the operator's own settings."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import orjson

from schemas.errors import ConfigError, MillstreamError, TransientError

_SECONDS = 30.0


class RefusedError(MillstreamError):
    """The API answered with a problem."""

    def __init__(self, status: int, problem: Mapping[str, object]) -> None:
        title, detail = problem.get("title", ""), problem.get("detail", "")
        super().__init__(f"HTTP {status}: {title}{': ' if detail else ''}{detail}")
        self.status = status
        self.problem = problem


def request(
    method: str, url: str, body: object | None = None, headers: Mapping[str, str] | None = None
) -> Mapping[str, object]:
    """Send JSON, read a JSON object. Raises RefusedError for a problem, TransientError when nothing answers."""
    payload = None if body is None else orjson.dumps(body)
    return send(method, url, payload, {"Content-Type": "application/json", **(headers or {})})


def send(method: str, url: str, payload: bytes | None, headers: Mapping[str, str]) -> Mapping[str, object]:
    """The same with a body that is bytes already (a signed one)."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigError("an API address begins with http:// or https://")
    call = urllib.request.Request(url, data=payload, headers=dict(headers), method=method)  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(call, timeout=_SECONDS) as response:  # noqa: S310 - checked above
            return _object(response.read())
    except urllib.error.HTTPError as error:
        raise RefusedError(error.code, _object(error.read())) from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        where = urlsplit(url).netloc
        raise TransientError(f"nothing answers at {where} ({type(error).__name__}): is `millstream up` done?") from None


def stream(url: str, headers: Mapping[str, str]) -> Iterator[bytes]:
    """The lines of an answer that goes on. Raises as `request`, TransientError also where it breaks off."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ConfigError("an API address begins with http:// or https://")
    call = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(call, timeout=_SECONDS) as response:  # noqa: S310 - checked above
            yield from response
    except urllib.error.HTTPError as error:
        raise RefusedError(error.code, _object(error.read())) from None
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        where = urlsplit(url).netloc
        raise TransientError(f"nothing answers at {where} ({type(error).__name__}): is `millstream up` done?") from None


def _object(payload: bytes) -> Mapping[str, object]:
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
