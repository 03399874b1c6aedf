"""The newest published position of a tenant, as a reader may rely on it: it never goes back.

Heads never show less than they did, but for one that a take-over has not settled yet. Where a settled one does, the
store stands where a backup did, and what was read of it before is of another index.
"""

from index.model import Published, Seq, newest_head
from index.port import VersionedIndex
from schemas.errors import BrokenIndexError, TransientError
from schemas.identity import Tenant


class NewestPosition:
    """Of one incarnation and one reader; safe for concurrent calls."""

    def __init__(self, index: VersionedIndex) -> None:
        self._index = index
        self._seen: dict[Tenant, Seq] = {}

    async def read(self, tenant: Tenant) -> Published:
        """What is published now. Raises UnknownTenantError, TransientError, BrokenIndexError (no head)."""
        before = self._seen.get(tenant, 0)
        head = newest_head(await self._index.heads(tenant))
        if head is None:
            raise BrokenIndexError(f"tenant {tenant} has a shard without a head: stop and alert")
        if head.seq < before and head.is_settled:
            raise TransientError("the store is older than it was: it does not yet cover what was read of it")
        self._seen[tenant] = max(head.seq, self._seen.get(tenant, 0))
        return Published(head)
