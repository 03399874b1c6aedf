"""Whether the API can answer: the store is there, and its index is one that this process can ask.

Looked at in the background, so that /readyz never waits for a store. An index of another recipe is nothing to wait out:
it raises ConfigError, and the process ends with one line.
"""

import asyncio
from collections.abc import Sequence

from index.embedding.port import Embedder
from index.model import SCHEMA
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
        wanted = {"embedder": self._embedder.fingerprint, "schema": SCHEMA}
        for part, ours in wanted.items():
            stated = record.recipe.get(part, "none")
            if stated != ours:
                raise ConfigError(
                    f"the index {name} was made with the {part} {stated}, this process has {ours}: "
                    f"start a new generation (MILLSTREAM_GENERATION) and run `millstream up`, or put the {part} back"
                )

    async def keep_looking(self, seconds: float) -> None:
        """Look every `seconds`, for ever. Raises ConfigError."""
        while True:
            await asyncio.sleep(seconds)
            await self.check()
