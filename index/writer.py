"""Take-over and commit: how one writer makes mutations of one tenant visible (design §5).

A writer has no authority but its epoch. Whatever fails or is cut off leaves it without one, and the next commit begins
with a take-over: new epoch, new row ids. Nothing it had written without publishing is ever seen.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, Head, Published
from index.plan import NothingChanges, Plan, Rewrite, plan
from index.port import CommitLog, VersionedIndex
from index.rows import (
    Batch,
    PositionedMutation,
    Step,
    chunk_rows_of,
    claiming_head,
    commit_of,
    document_row_of,
    settled_head,
    shown_head,
)
from index.states import state_before, states_at
from runtime.clock import Clock
from schemas.errors import BrokenIndexError, TransientError
from schemas.identity import Tenant
from schemas.records import Commit, TakeOver


class SupersededError(TransientError):
    """Another writer has taken this tenant over: stop, and let the group decide who owns it."""


@dataclass(frozen=True, slots=True)
class Committed:
    """Made visible by this commit."""

    commit: Commit


@dataclass(frozen=True, slots=True)
class Redelivered:
    """Was visible already; its commit was computed again and emitted again."""

    commit: Commit


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Changes nothing: every register it carries has its version or a higher one."""

    conflict: bool


Outcome = Committed | Redelivered | Unchanged


class TenantWriter:
    """The one writer of one tenant, for as long as nobody takes over. Not safe for concurrent calls."""

    def __init__(self, index: VersionedIndex, log: CommitLog, tenant: Tenant, clock: Clock, *, name: str) -> None:
        self._index = index
        self._log = log
        self._tenant = tenant
        self._clock = clock
        self._name = name
        self._head: Head | None = None

    async def take_over(self) -> Head:
        """Become the tenant's writer: a new epoch, its head published in three steps (index.rows: claimed, shown,
        settled).

        Raises SupersededError where a later take-over is seen, TransientError where a part does not answer,
        BrokenIndexError where the log has lost take-overs that the index knows of.
        """
        known = await self._index.heads(self._tenant)  # first: a store that is away costs no take-over record
        offset = await self._log.take_over(
            TakeOver(
                tenant=self._tenant,
                generation=self._index.identity.generation,
                incarnation=self._index.identity.incarnation,
                writer=self._name,
                at=self._clock.now(),
            )
        )
        epoch = offset + 1
        if any(head.epoch >= epoch for head in known):
            raise BrokenIndexError(
                f"tenant {self._tenant}: index.commits is shorter than it was and would give an epoch again: restore"
                " the log, or build the index anew"
            )
        await self._index.put_head(claiming_head(self._tenant, epoch, self._clock.now()))
        await self._index.put_head(shown_head(await self._older_heads(epoch), epoch, self._clock.now()))
        older = await self._older_heads(epoch)
        head = settled_head(older, epoch, self._clock.now())
        await self._index.put_head(head)
        await self._forget(older)
        return head

    async def _forget(self, older: Collection[Head]) -> None:
        """Remove the heads that a settled one has made part of its own, so that reads list few: with 100 of them a
        read of the heads took 22 ms instead of 1. Who loses this race writes a head that nobody counts.
        """
        try:
            await self._index.drop_heads(self._tenant, [head.epoch for head in older])
        except TransientError:
            return  # the next take-over removes them

    async def _older_heads(self, epoch: int) -> tuple[Head, ...]:
        """All heads but that of `epoch`. Raises SupersededError where one is of a later epoch."""
        heads = await self._index.heads(self._tenant)
        if any(head.epoch > epoch for head in heads):
            raise SupersededError(f"tenant {self._tenant} was taken over by a later writer than epoch {epoch}")
        return tuple(head for head in heads if head.epoch != epoch)

    async def commit(self, batch: Sequence[PositionedMutation]) -> tuple[Outcome, ...]:
        """Make a batch visible at once; outcomes in the batch's order. One mutation a document.

        On any error the batch is not acknowledged: hand it in again. Raises TransientError (also for ambiguous writes
        and, as SupersededError, where a later writer may not have seen it) and PermanentError (a row the store
        refuses).
        """
        if len({item.mutation.document for item in batch}) != len(batch):
            raise ValueError("a batch has at most one mutation of a document")
        head, self._head = self._head, None  # whatever cuts this off leaves the writer without an epoch
        head = head or await self.take_over()
        outcomes, steps = await self._decide(Published(head), batch)
        if steps:
            rows = await self._write(head, list(steps.values()))
            head = replace(head, seq=head.seq + len(rows), published_at=rows[-1].committed_at)
            await self._index.put_head(head)
            for (place, step), row in zip(steps.items(), rows, strict=True):
                outcomes[place] = Committed(commit_of(self._index.identity, row, step.previous))
        # A later writer may have read the heads before this one was published. Where this look finds no claim, none
        # has, and what was published is valid for ever: only then is it told and acknowledged.
        await self._older_heads(head.epoch)
        in_order = tuple(outcomes[place] for place in range(len(batch)))
        await self._log.emit([outcome.commit for outcome in in_order if not isinstance(outcome, Unchanged)])
        self._head = head
        return in_order

    async def _decide(
        self, published: Published, batch: Sequence[PositionedMutation]
    ) -> tuple[dict[int, Outcome], dict[int, Step]]:
        """Fence and plan, by place in the batch: what is settled already, and what is to be written."""
        documents = [item.mutation.document for item in batch]
        states = await states_at(self._index, published, self._tenant, documents, published.seq)
        settled: dict[int, Outcome] = {}
        steps: dict[int, Step] = {}
        for place, item in enumerate(batch):
            previous = states.get(item.mutation.document)
            again = await self._redelivered(published, previous, item)
            if again is not None:
                settled[place] = again
                continue
            match plan(previous, item.mutation):
                case NothingChanges(conflict=conflict):
                    settled[place] = Unchanged(conflict)
                case Plan() as wanted:
                    steps[place] = Step(item, previous, wanted)
        return settled, steps

    async def _redelivered(
        self, published: Published, previous: DocumentRow | None, item: PositionedMutation
    ) -> Redelivered | None:
        """The fence: a mutation that already has a valid document row is not written again."""
        if previous is None or item.at.offset > previous.mutation_high:
            return None
        for row in await self._index.rows_of_mutation(item.mutation.document, item.at):
            if published.is_valid(row):
                before = await state_before(self._index, published, row.document, row.from_seq)
                return Redelivered(commit_of(self._index.identity, row, before))
        return None

    async def _write(self, head: Head, steps: Sequence[Step]) -> list[DocumentRow]:
        """Insert chunk rows, then document rows. Nobody sees them before the head is published."""
        # Never before what is published: times are looked up by halving the seqs (index.moments).
        committed_at = max(self._clock.now(), head.published_at)
        batch = Batch(self._index.identity, head, len(steps), committed_at)
        copies = await self._rows_to_copy(steps)
        chunk_rows: list[ChunkRow] = []
        document_rows: list[DocumentRow] = []
        for number, step in enumerate(steps, start=1):
            added = chunk_rows_of(batch, step, copies)
            chunk_rows += [row for row in added if row is not None]
            document_rows.append(document_row_of(batch, step, added, number))
        if chunk_rows:
            await self._index.insert_chunks(self._tenant, chunk_rows)
        await self._index.insert_documents(self._tenant, document_rows)
        return document_rows

    async def _rows_to_copy(self, steps: Sequence[Step]) -> Mapping[ChunkId, ChunkRow]:
        wanted = [action.chunk_id for step in steps for action in step.plan.actions if isinstance(action, Rewrite)]
        if not wanted:
            return {}
        rows = await self._index.chunks(self._tenant, wanted, vectors=True)
        if missing := set(wanted) - set(rows):
            raise BrokenIndexError(f"tenant {self._tenant}: {len(missing)} chunk rows of a manifest are missing")
        return rows
