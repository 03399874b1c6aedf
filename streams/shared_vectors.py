"""Vectors shared by all who prepare: a Valkey (or Redis) server beside the cache on disk. The one module that knows it.

It holds hashes and vectors under an embedder's fingerprint, never a text, and may forget any of them: a key lives for
`hours` since it was written or asked for, and the server's own `maxmemory` bounds the rest. Whatever is wrong with the
server, the vector was not there; a server that fails is left alone for a while, so that no document waits for it again
and again.
"""

import time
import zlib
from collections.abc import Mapping, Sequence

import structlog
from valkey import Valkey, ValkeyError

from schemas.errors import ConfigError

_PREFIX = "millstream:vector:1"
_SECONDS = 0.5
"""The longest a server may take to answer."""
_REST_SECONDS = 10.0
_AT_ONCE = 200
_CHECKSUM_BYTES = 4

log = structlog.get_logger("millstream.vectors")


class SharedVectors:
    """A `VectorStore` on the server at `url` (valkey://, valkeys:// with TLS, unix://). Construction does not connect.

    Its methods may be called from any one thread at a time, and raise nothing for what is wrong with the server.
    """

    def __init__(self, url: str, fingerprint: str, dimension: int, hours: int) -> None:
        """Raises ConfigError for an address that is none."""
        try:
            self._client = Valkey.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
        except ValueError:
            raise ConfigError(
                "MILLSTREAM_VALKEY_URL is no address: valkey://host:port/0, valkeys://… with TLS, or unix:///path"
            ) from None
        self._prefix = f"{_PREFIX}:{fingerprint}:"
        self._vector_bytes = 4 * dimension
        self._seconds = hours * 3600
        self._resting_until = 0.0

    def get(self, names: Sequence[str]) -> dict[str, bytes]:
        """The vectors it has, by name."""
        found: dict[str, bytes] = {}
        for part in _parts(names):
            found |= self._get(part)
        return found

    def put(self, vectors: Mapping[str, bytes]) -> None:
        """Keep vectors, as long as the server has room."""
        for part in _parts(list(vectors)):
            if self._is_resting():
                return
            try:
                with self._client.pipeline(transaction=False) as asked:
                    for name in part:
                        asked.set(self._prefix + name, vectors[name] + _checksum(name, vectors[name]), ex=self._seconds)
                    asked.execute(raise_on_error=False)  # type: ignore[no-untyped-call]
            except (ValkeyError, OSError) as error:
                self._rest(error)

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()  # type: ignore[no-untyped-call]

    def _get(self, names: Sequence[str]) -> dict[str, bytes]:
        if self._is_resting():
            return {}
        try:
            with self._client.pipeline(transaction=False) as asked:
                for name in names:
                    asked.getex(self._prefix + name, ex=self._seconds)
                answers = asked.execute(raise_on_error=False)  # type: ignore[no-untyped-call]
        except (ValkeyError, OSError) as error:
            self._rest(error)
            return {}
        return {
            name: stored[:-_CHECKSUM_BYTES]
            for name, stored in zip(names, answers, strict=True)
            if isinstance(stored, bytes) and self._is_sound(name, stored)
        }

    def _is_sound(self, name: str, stored: bytes) -> bool:
        vector, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
        return len(vector) == self._vector_bytes and checksum == _checksum(name, vector)

    def _is_resting(self) -> bool:
        return time.monotonic() < self._resting_until

    def _rest(self, error: Exception) -> None:
        self._resting_until = time.monotonic() + _REST_SECONDS
        log.warning("no shared vectors for a while", error=type(error).__name__, seconds=_REST_SECONDS)


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]


def _checksum(name: str, vector: bytes) -> bytes:
    return zlib.crc32(vector, zlib.crc32(name.encode())).to_bytes(_CHECKSUM_BYTES, "big")
