"""The newest position of a tenant, read for many requests at once: one read under way, one next.

A read is shared only by requests that came before it began, so that each of them sees at least everything that was
published when it came.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from index.model import Published
from schemas.identity import Tenant

_Read = asyncio.Task[Published]


@dataclass(slots=True)
class _Reads:
    under_way: _Read
    next: _Read | None = None


class Positions:
    """Reads positions; safe for concurrent calls. `read` is `index.reader.Reader.position`."""

    def __init__(self, read: Callable[[Tenant], Awaitable[Published]]) -> None:
        self._read = read
        self._reads: dict[Tenant, _Reads] = {}

    async def newest(self, tenant: Tenant) -> Published:
        """As `index.reader.Reader.position`, begun after this call."""
        reads = self._reads.get(tenant)
        if reads is None:
            mine = asyncio.create_task(self._run(tenant))
            self._reads[tenant] = _Reads(mine)
        elif reads.next is None:
            mine = reads.next = asyncio.create_task(self._run(tenant, after=reads.under_way))
        else:
            mine = reads.next
        return await asyncio.shield(mine)  # a caller that goes away takes nobody else's read with it

    async def _run(self, tenant: Tenant, after: _Read | None = None) -> Published:
        if after is not None:
            await asyncio.wait([after])
            mine = self._reads[tenant].next
            assert mine is not None
            self._reads[tenant] = _Reads(mine)
        try:
            return await self._read(tenant)
        finally:
            if self._reads[tenant].next is None:
                del self._reads[tenant]
