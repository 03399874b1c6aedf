"""Applies mutations and hides to the index: a queue and a writer for each tenant (streams.tenant_queue).

`Applier.apply` returns when its mutation is visible, changes nothing, or is a dead letter; only then is the record
acknowledged.
"""

from collections.abc import Callable
from typing import Protocol

from index.model import DocumentRow
from index.outcomes import Outcome
from index.rows import PositionedHide, PositionedMutation
from schemas.errors import TransientError
from schemas.headers import stated_again
from schemas.identity import Tenant
from schemas.records import Hide, Mutation
from schemas.topics import Topics
from streams.deliveries import decode_delivery
from streams.heal import Healing
from streams.tenant_queue import Bounds, DeadLettered, Hooks, Letters, TenantQueue, Writer
from streams.window import Delivery, Lease, LeaseEndedError

_HEAL_AGAIN_SECONDS = 1.0
_NO_HOOKS = Hooks()


class Heals(Protocol):
    """Appends what counts more than a mutation to documents.changes again (`streams.heal.Healer`)."""

    async def heal(self, loser: Mutation, state: DocumentRow) -> Healing:
        """Raises TransientError: again, it is safe."""
        ...


class Applier:
    """All tenants of one apply process."""

    def __init__(
        self,
        writer_for: Callable[[Tenant], Writer],
        letters: Letters,
        topics: Topics,
        bounds: Bounds,
        hooks: Hooks = _NO_HOOKS,
        healer: Heals | None = None,
    ) -> None:
        """Without a `healer` nothing is healed: builds."""
        self._healer = healer
        self._writer_for = writer_for
        self._letters = letters
        self._topics = topics
        self._bounds = bounds
        self._hooks = hooks
        self._lease: Lease | None = None
        self._queues: dict[Tenant, TenantQueue] = {}

    async def apply(self, delivery: Delivery, lease: Lease) -> tuple[Mutation, Outcome | DeadLettered]:
        """Settle one record. Raises PermanentError for one that is no mutation, and as `TenantQueue.commit`."""
        mutation = decode_delivery(delivery, Mutation, self._topics)
        queue = self._queue(mutation.tenant, lease)
        item = PositionedMutation(mutation, delivery.coordinates, stated_again(delivery.headers))
        outcome = await queue.commit(item, delivery)
        if self._healer is not None and not isinstance(outcome, DeadLettered) and outcome.endangered is not None:
            await self._heal(self._healer, mutation, outcome.endangered, delivery, lease)
        return mutation, outcome

    async def _heal(self, healer: Heals, loser: Mutation, state: DocumentRow, delivery: Delivery, lease: Lease) -> None:
        """Before the loser is acknowledged, so that what counts is never only where compaction takes it away."""
        while not lease.is_ending:
            try:
                healing = await healer.heal(loser, state)
            except TransientError:
                self._hooks.on_retry()
                await lease.pause(_HEAL_AGAIN_SECONDS)
            else:
                self._hooks.on_healing(delivery, healing)
                return
        raise LeaseEndedError

    async def hide(self, delivery: Delivery, lease: Lease) -> tuple[Hide, Outcome | DeadLettered]:
        """Settle one record of index.hides, ahead of the mutations that wait. Raises as `apply`."""
        hide = decode_delivery(delivery, Hide, self._topics)
        queue = self._queue(hide.tenant, lease)
        return hide, await queue.hide(PositionedHide(hide, delivery.coordinates), delivery)

    def keep(self, tenant: Tenant, lease: Lease) -> None:
        """Sweep a tenant, although nothing came in for it. Raises LeaseEndedError."""
        self._queue(tenant, lease).keep()

    async def begin_history(self, tenant: Tenant, lease: Lease) -> None:
        """Let a tenant's history begin where it stands. Raises LeaseEndedError, and what the writer raises."""
        await self._queue(tenant, lease).begin_history()

    def _queue(self, tenant: Tenant, lease: Lease) -> TenantQueue:
        """A tenant's queue; a new lease begins with new writers, which take over. Raises LeaseEndedError."""
        if lease.is_ending:
            raise LeaseEndedError
        if lease is not self._lease:
            self._lease, self._queues = lease, {}
        if tenant not in self._queues:
            self._queues[tenant] = TenantQueue(
                self._writer_for(tenant), self._letters, lease, self._bounds, self._hooks
            )
        return self._queues[tenant]
