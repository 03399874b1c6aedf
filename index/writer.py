"""Take-over and commit: how one writer makes mutations and hides of one tenant visible (design §5).

A writer has no authority but its epoch. Whatever fails or is cut off leaves it without one, and the next commit begins
with a take-over: new epoch, new row ids. Nothing it had written without publishing is ever seen.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from index.manifest import ChunkId
from index.model import ChunkRow, DocumentRow, Head, Published
from index.outcomes import Committed, Endangered, NobodyWaits, Outcome, Redelivered, Unchanged, Waiting
from index.plan import NothingChanges, Plan, Rewrite, is_endangered, plan, repaired
from index.port import CommitLog, VersionedIndex
from index.rows import (
    Added,
    Batch,
    Item,
    PositionedHide,
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
from index.sweeper import IDLE_SECONDS, Sweeper, SweepPolicy, Swept
from runtime.clock import Clock
from runtime.faults import Point, reach
from schemas.errors import BrokenIndexError, PermanentError, TransientError
from schemas.headers import Again
from schemas.identity import Document, Tenant
from schemas.records import Coordinates, TakeOver
from schemas.topics import HIDES

_WITHOUT_EPOCH_SECONDS = 60.0
_STRAYS = 10_000
"""Open chunk rows of one document that a repair supersedes; a document has 4,000 at most."""
_ROWS_AT_ONCE = 100
"""Where hides may wait: 50 to 200 ms, by the size of the tenant."""


class SupersededError(TransientError):
    """Another writer has taken this tenant over: stop, and let the group decide who owns it."""


_NOBODY = NobodyWaits()
_SWEEP = SweepPolicy()


def _idle() -> float:
    return IDLE_SECONDS


class TenantWriter:
    """The one writer of one tenant, for as long as nobody takes over. Not safe for concurrent calls."""

    def __init__(
        self,
        index: VersionedIndex,
        log: CommitLog,
        tenant: Tenant,
        clock: Clock,
        *,
        name: str,
        sweep: SweepPolicy = _SWEEP,
        rows_at_once: int = _ROWS_AT_ONCE,
    ) -> None:
        """`rows_at_once`: chunk rows inserted before hides that wait are looked after."""
        self._index = index
        self._log = log
        self._tenant = tenant
        self._clock = clock
        self._name = name
        self._head: Head | None = None
        self._connection = -1
        """To the store, when its epoch began."""
        self._sweeper = Sweeper(index, clock, sweep)
        self._rows_at_once = rows_at_once

    async def take_over(self) -> Head:
        """Become the tenant's writer: a new epoch, its head published in three steps (index.rows: claimed, shown,
        settled).

        Raises SupersededError where a later take-over is seen, TransientError where a part does not answer,
        BrokenIndexError where the log has lost take-overs that the index knows of.
        """
        self._connection = self._index.connection
        known = await self._index.heads(self._tenant)  # first: a store that is away costs no take-over record
        reach(Point.TAKE_OVER_1)
        offset = await self._log.take_over(
            TakeOver(
                tenant=self._tenant,
                generation=self._index.identity.generation,
                incarnation=self._index.identity.incarnation,
                writer=self._name,
                at=self._clock.now(),
            )
        )
        reach(Point.TAKE_OVER_2)
        epoch = offset + 1
        if any(head.epoch >= epoch for head in known):
            raise BrokenIndexError(
                f"tenant {self._tenant}: index.commits is shorter than it was and would give an epoch again: restore"
                " the log, or build the index anew"
            )
        await self._index.put_head(claiming_head(self._tenant, epoch, self._clock.now()))
        reach(Point.TAKE_OVER_3)
        await self._index.put_head(shown_head(await self._older_heads(epoch), epoch, self._clock.now()))
        reach(Point.TAKE_OVER_4)
        older = await self._older_heads(epoch)
        head = settled_head(older, epoch, self._clock.now())
        await self._index.put_head(head)
        reach(Point.TAKE_OVER_5)
        await self._forget(older)
        reach(Point.TAKE_OVER_6)
        self._sweeper.begin(head)
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

    async def commit(self, batch: Sequence[Item], waiting: Waiting = _NOBODY) -> tuple[Outcome, ...]:
        """Make a batch visible at once; outcomes in the batch's order. One item a document.

        On any error the batch is not acknowledged: hand it in again. Raises TransientError (also for ambiguous writes
        and, as SupersededError, where a later writer may not have seen it) and PermanentError (a row the store
        refuses).
        """
        if len({item.document for item in batch}) != len(batch):
            raise ValueError("a batch has at most one item of a document")
        head = self._let_go() or await self.take_over()
        head, outcomes = await self._commit_on(head, batch, waiting)
        self._sweeper.note(head)
        self._head = head
        return outcomes

    def _let_go(self) -> Head | None:
        """The head of its epoch, if it has one: whatever cuts the work off leaves the writer without. None where the
        connection was lost since: a store that restarted may stand where a backup did.
        """
        head, self._head = self._head, None
        return head if self._connection == self._index.connection else None

    async def begin_history(self) -> None:
        """Nothing before the newest position can be asked as of any more: what a rebuild passed through on its way is
        no history. Raises as `take_over`.
        """
        head = self._let_go() or await self.take_over()
        head = replace(head, history_from=head.seq)
        await self._index.put_head(head)
        await self._older_heads(head.epoch)
        self._sweeper.begin(head)
        self._head = head

    async def sweep(self, seconds: Callable[[], float] = _idle, *, take_over: bool = False) -> Swept:
        """Close and remove what nobody can ask for any more, bounded (index.sweeper). Without an epoch, nothing, unless
        it shall `take_over` for it: else the next commit does.

        `seconds`: how long the run may take, asked again before each of its steps. On any error the writer has no epoch
        any more. Raises TransientError (as SupersededError too), BrokenIndexError.
        """
        self._head = self._let_go()
        if self._head is None:
            if not take_over:
                return Swept(_WITHOUT_EPOCH_SECONDS)
            self._head = await self.take_over()
        if (wait := self._sweeper.due_in(self._head)) > 0:
            return Swept(wait)
        head, self._head = self._head, None
        closed, removed = self._sweeper.closed, self._sweeper.removed
        # A paused writer that wakes up must not sweep by its own dead rows; what was published before a look that finds
        # no later writer is valid for ever.
        await self._older_heads(head.epoch)
        reach(Point.SWEEP_1)
        self._head = await self._sweeper.run(head, seconds)
        wait = self._sweeper.due_in(self._head)
        return Swept(wait, self._sweeper.closed - closed, self._sweeper.removed - removed)

    async def _commit_on(self, head: Head, batch: Sequence[Item], waiting: Waiting) -> tuple[Head, tuple[Outcome, ...]]:
        """The steps of a commit, in the design's numbers: the head afterwards, and the outcomes."""
        reach(Point.COMMIT_1)
        # 1. fence, 2. plan
        outcomes, steps, endangered = await self._decide(Published(head), batch)
        reach(Point.COMMIT_2)
        if steps:
            # 3. insert the added chunk rows (may run ahead of earlier commits: nobody sees them)
            head, ready = await self._insert_chunks(head, list(steps.values()), waiting)
            # 4. take seq = head + 1, + 2, …; insert document rows
            rows = self._document_rows(head, ready)
            await self._index.insert_documents(self._tenant, rows)
            reach(Point.COMMIT_4)
            if self._connection != self._index.connection:
                raise TransientError("the store was away while a batch was written")
            # 5. publish the head
            head = replace(head, seq=head.seq + len(rows), published_at=rows[-1].committed_at)
            await self._index.put_head(head)
            reach(Point.COMMIT_5)
            for place, (step, _), row in zip(steps, ready, rows, strict=True):
                outcomes[place] = Committed(commit_of(self._index.identity, row, step.previous))
        # A later writer may have read the heads before this one was published. Where this look finds no claim, none
        # has, and what was published is valid for ever: only then is it told and acknowledged.
        await self._older_heads(head.epoch)
        # 6. emit the commits; 7. is the caller's: acknowledge the offsets, strictly in order
        in_order = tuple(replace(outcomes[place], endangered=endangered.get(place)) for place in range(len(batch)))
        await self._log.emit([outcome.commit for outcome in in_order if not isinstance(outcome, Unchanged)])
        reach(Point.COMMIT_6)
        return head, in_order

    async def _decide(
        self, published: Published, batch: Sequence[Item]
    ) -> tuple[dict[int, Outcome], dict[int, Step], dict[int, Endangered]]:
        """Fence and plan, by place in the batch: what is settled already, what is to be written, what is endangered."""
        states = await self._states(published, [item.document for item in batch])
        settled: dict[int, Outcome] = {}
        steps: dict[int, Step] = {}
        endangered: dict[int, Endangered] = {}
        plans: list[tuple[Item, DocumentRow | None, Plan | NothingChanges]] = []
        asked: dict[Document, Coordinates] = {}
        for item in batch:
            previous = states.get(item.document)
            wanted = await self._plan(previous, item)
            plans.append((item, previous, wanted))
            if (item.again or isinstance(wanted, NothingChanges)) and _may_have_row(previous, item):
                asked[item.document] = item.at
        known = await self._redelivered(published, asked)
        for place, (item, previous, wanted) in enumerate(plans):
            if (state := await self._endangered(published, previous, item)) is not None:
                endangered[place] = state
            if (again := known.get(item.document)) is not None:
                settled[place] = again
            elif isinstance(wanted, Plan):
                steps[place] = Step(item, previous, wanted)
            else:
                settled[place] = Unchanged(wanted.conflict)
        return settled, steps, endangered

    async def _endangered(self, published: Published, previous: DocumentRow | None, item: Item) -> Endangered | None:
        """The state that compaction would lose to this mutation: it counts more, and its change lies behind."""
        if (
            previous is None
            or isinstance(item, PositionedHide)
            or not is_endangered(previous, item.mutation, item.again)
        ):
            return None
        made = previous
        if previous.mutation.topic == HIDES:  # which says nothing about where mutations have come from
            at = item.at.model_copy(update={"offset": previous.mutation_high})
            rows = await self._index.rows_made_of(self._tenant, {item.document: at})
            made = next((row for row in rows.get(item.document, ()) if published.is_valid(row)), previous)
        change = item.mutation.change
        # Its own row, where it moved the other register, is no sign that it was dealt with before.
        is_behind = made.change.partition == change.partition and made.change.offset <= change.offset
        return previous if is_behind else None

    async def _plan(self, previous: DocumentRow | None, item: Item) -> Plan | NothingChanges:
        if isinstance(item, PositionedMutation) and item.again is Again.REPAIR:
            found = await self._index.open_chunks([item.document], limit=_STRAYS)
            return repaired(previous, item.mutation, [chunk.id for chunk in found])
        return plan(previous, item.record, item.again)

    async def _states(self, published: Published, documents: Collection[Document]) -> Mapping[Document, DocumentRow]:
        return await states_at(self._index, published, self._tenant, documents, published.seq)

    async def _redelivered(
        self, published: Published, asked: Mapping[Document, Coordinates]
    ) -> Mapping[Document, Redelivered]:
        """The fence: what already has a valid document row is not written again. Only what changes nothing may have
        one: its registers, or the hide registers, hold its version since. One read for all: hides, which have no high
        mark to be known by, come late in numbers.
        """
        known: dict[Document, Redelivered] = {}
        for document, rows in (await self._index.rows_made_of(self._tenant, asked)).items():
            if (row := next((row for row in rows if published.is_valid(row)), None)) is not None:
                before = await state_before(self._index, published, document, row.from_seq)
                known[document] = Redelivered(commit_of(self._index.identity, row, before))
        return known

    async def _insert_chunks(
        self, head: Head, steps: Sequence[Step], waiting: Waiting
    ) -> tuple[Head, list[tuple[Step, Added]]]:
        """Insert chunk rows some at a time, and in between commit the hides that came in: the head moves. A document
        that was hidden meanwhile keeps its plan, but its row follows the hide's.
        """
        copies = await self._rows_to_copy(steps)
        batch = self._batch(head, len(steps))
        ready = [(step, chunk_rows_of(batch, step, copies)) for step in steps]
        rows = [row for _, added in ready for row in added if row is not None]
        hidden: set[Document] = set()
        for start in range(0, len(rows), self._rows_at_once):
            await self._index.insert_chunks(self._tenant, rows[start : start + self._rows_at_once])
            reach(Point.COMMIT_3)
            while hides := waiting.take():
                head = await self._commit_hides(head, hides, waiting)
                hidden |= {item.document for item in hides}
        overtaken = hidden & {step.item.document for step in steps}
        states = await self._states(Published(head), overtaken)
        return head, [
            (replace(step, previous=states.get(step.item.document, step.previous)), added) for step, added in ready
        ]

    async def _commit_hides(self, head: Head, hides: Sequence[PositionedHide], waiting: Waiting) -> Head:
        """A commit within a commit, by all its rules. What the store refuses is not the outer batch's fault: handed in
        again, hides go first and alone.
        """
        try:
            head, outcomes = await self._commit_on(head, hides, _NOBODY)
        except PermanentError as error:
            raise TransientError(f"a hide was refused while a batch was written: {error.reason}") from error
        waiting.settled(outcomes)
        return head

    def _batch(self, head: Head, size: int) -> Batch:
        # Never before what is published: times are looked up by halving the seqs (index.moments).
        return Batch(self._index.identity, head, size, max(self._clock.now(), head.published_at))

    def _document_rows(self, head: Head, ready: Sequence[tuple[Step, Added]]) -> list[DocumentRow]:
        batch = self._batch(head, len(ready))
        return [document_row_of(batch, step, added, number) for number, (step, added) in enumerate(ready, start=1)]

    async def _rows_to_copy(self, steps: Sequence[Step]) -> Mapping[ChunkId, ChunkRow]:
        """Those that are there: one that the store has lost is the audit's matter, and its repair comes behind this."""
        wanted = [action.chunk_id for step in steps for action in step.plan.actions if isinstance(action, Rewrite)]
        if not wanted:
            return {}
        return await self._index.chunks(self._tenant, wanted, vectors=True)


def _may_have_row(previous: DocumentRow | None, item: Item) -> bool:
    """Whether the document may have a row that was made of this record."""
    return previous is not None and (isinstance(item, PositionedHide) or item.at.offset <= previous.mutation_high)
