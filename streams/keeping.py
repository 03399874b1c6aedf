"""Sees to tenants that nothing comes in for: their history ends too, and what was superseded before a restart is swept.

A writer takes a tenant over when something comes in. Once a minute the other tenants of this process's partitions are
looked at, and those with something to sweep are taken over for it.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from index.model import Head, Published, newest_head
from index.moments import row_at
from index.port import VersionedIndex
from runtime.clock import Clock
from schemas.errors import MillstreamError
from schemas.identity import Tenant
from streams.background import Background
from streams.window import Crash, Lease

LOOK_SECONDS = 60.0


class Keeper(Background):
    """One for each process that applies. `owned`: whether a tenant's mutations are this process's, at this moment;
    `keep` has a tenant swept.
    """

    def __init__(
        self,
        index: VersionedIndex,
        clock: Clock,
        *,
        owned: Callable[[Tenant], bool],
        lease: Callable[[], Lease],
        kept_for: Callable[[Tenant], timedelta],
        keep: Callable[[Tenant, Lease], None],
        failed: Callable[[Exception], None],
        crash: Crash,
    ) -> None:
        super().__init__(crash)
        self._index = index
        self._clock = clock
        self._owned = owned
        self._lease = lease
        self._kept_for = kept_for
        self._keep = keep
        self._failed = failed

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)  # first: what came in meanwhile is under way then
            await self.look()

    async def look(self) -> None:
        """Look at every tenant of this process once."""
        lease = self._lease()
        try:
            tenants = await self._index.tenants()
        except MillstreamError as error:
            self._failed(error)
            return
        for tenant in sorted(tenants):
            try:
                if self._owned(tenant) and await self._is_behind(tenant) and not lease.is_ending:
                    self._keep(tenant, lease)
            except MillstreamError as error:  # one tenant's broken index keeps no other from being kept
                self._failed(error)

    async def _is_behind(self, tenant: Tenant) -> bool:
        head = newest_head(await self._index.heads(tenant))
        return head is not None and (head.swept_seq < head.seq or await self._outlives_history(head))

    async def _outlives_history(self, head: Head) -> bool:
        """Whether a position can be asked for that is older than history: the state at history_from was in force until
        the row after it.
        """
        if head.history_from >= head.seq:
            return False
        following = await row_at(self._index, Published(head), head.history_from + 1)
        return self._clock.now() - following.committed_at > self._kept_for(head.tenant)
