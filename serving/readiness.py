"""Whether the API can answer: the store is there, and its index is one that this process can ask.

Looked at in the background, so that /readyz never waits for a store. An index of another recipe is nothing to wait out:
it raises ConfigError, and the process ends with one line.
"""

import asyncio
from collections.abc import Sequence

from index.embedding.port import Embedder
from index.port import VersionedIndex
from schemas.errors import ConfigError, TransientError

_STORE_AWAY = "the store does not answer"


class Readiness:
    """What /readyz says."""

    def __init__(self, index: VersionedIndex, embedder: Embedder) -> None:
        self._index = index
        self._embedder = embedder
        self._reasons: tuple[str, ...] = ("starting",)
        self._is_checked = False

    async def not_ready(self) -> Sequence[str]:
        """Reasons why not; empty is ready."""
        return self._reasons

    async def check(self) -> None:
        """Look once. Raises ConfigError: no index, or one of another recipe."""
        try:
            if not self._is_checked:
                await self._check_record()
                self._is_checked = True
            self._reasons = () if await self._index.ready() else (_STORE_AWAY,)
        except TransientError:
            self._reasons = (_STORE_AWAY,)

    async def _check_record(self) -> None:
        record = await self._index.record()
        name = self._index.identity
        if record is None:
            raise ConfigError(f"there is no index {name}: run `millstream up`, which creates it")
        stated = record.recipe.get("embedder", self._embedder.fingerprint)
        if stated != self._embedder.fingerprint or record.dimension != self._embedder.dimension:
            raise ConfigError(
                f"the index {name} was made with the embedder {stated}, this process has {self._embedder.fingerprint}: "
                "set MILLSTREAM_EMBEDDING_MODEL back, or start a new generation"
            )

    async def keep_looking(self, seconds: float) -> None:
        """Look every `seconds`, for ever. Raises ConfigError."""
        while True:
            await asyncio.sleep(seconds)
            await self.check()
