"""The public keys of bearer tokens, from the address where an identity provider publishes them.

Fetched every five minutes, and soon after a token of an unknown key, so that keys rotate on both sides without a
restart; bounded, so that whoever sends such tokens makes nobody ask the provider all the time. While the address does
not answer, the last keys hold.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp
import structlog

from runtime.clock import is_set_within
from runtime.metrics import ALERTS, Metrics
from schemas.errors import ConfigError, TransientError
from serving.auth import JwtKeys, published_keys

EVERY_SECONDS = 300.0
APART_SECONDS = 10.0
"""Between two fetches, whatever is asked for."""
_ANSWER_SECONDS = 5.0
_MOST_BYTES = 1_048_576
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

Fetch = Callable[[], Awaitable[str]]

log = structlog.get_logger("serving")


class PublishedKeys:
    """Of one process. `current` is empty until the address has answered once: no token holds before that."""

    def __init__(
        self,
        fetch: Fetch,
        metrics: Metrics,
        *,
        every_seconds: float = EVERY_SECONDS,
        apart_seconds: float = APART_SECONDS,
    ) -> None:
        self._fetch = fetch
        self._metrics = metrics
        self._every_seconds = every_seconds
        self._apart_seconds = apart_seconds
        self._asked = asyncio.Event()
        self.current: JwtKeys = ()

    def look_again(self) -> None:
        """Fetch before long: there may be a key that is not known yet. Returns at once."""
        self._asked.set()

    async def refresh(self) -> None:
        """Fetch now; what is broken, or does not come, changes nothing."""
        try:
            found = published_keys(await self._fetch())
        except (TransientError, ConfigError) as error:
            self._metrics.count(ALERTS, alert="jwks_broken")
            log.error("keys are not fetched, the last ones stay", reason=str(error), keys=len(self.current))
        else:
            if [key.id for key in found] != [key.id for key in self.current]:
                log.info("keys fetched", keys=len(found))
            self.current = found

    async def watch(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(self._apart_seconds)
            if self.current:
                await is_set_within(self._asked, self._every_seconds - self._apart_seconds)
            self._asked.clear()
            await self.refresh()


def fetcher(url: str) -> Fetch:
    """What fetches a JWKS. Raises ConfigError for an address that is neither https nor on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigError("MILLSTREAM_JWT_JWKS_URL: an https address, or http on loopback")

    async def fetch() -> str:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, allow_redirects=False) as response,
            ):
                body = await response.content.read(_MOST_BYTES + 1)
                while len(body) <= _MOST_BYTES and (more := await response.content.read(_MOST_BYTES)):
                    body += more
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransientError(f"the JWKS address does not answer: {type(error).__name__}") from None
        if response.status != 200 or len(body) > _MOST_BYTES:
            raise TransientError(f"the JWKS address answers with status {response.status}, {len(body)} bytes")
        return body.decode(errors="replace")

    return fetch
