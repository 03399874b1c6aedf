"""What a stage tells about its records: one log line each, without text, and the metrics beside it.

A delete or an acl that became a dead letter is an error line and an outcome of its own, for the alert on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog

from index.outcomes import Committed, Outcome, Redelivered, Unchanged
from index.sweeper import Swept
from runtime.clock import Clock
from runtime.metrics import (
    ALERTS,
    CHUNKS,
    COMMIT_MUTATIONS,
    COMMITS,
    DEAD_LETTERS,
    FRESHNESS_SECONDS,
    HEALINGS,
    HIDE_SECONDS,
    PERSONAL_VALUES,
    RECORD_SECONDS,
    RECORDS,
    RECORDS_UNDER_WAY,
    RETRIES,
    STEP_SECONDS,
    SWEEP_SECONDS,
    SWEEPS_FAILED,
    SWEPT_ROWS,
    TAKE_OVERS,
    UNREAD_ATTACHMENTS,
    Metrics,
)
from schemas.errors import MillstreamError, TransientError
from schemas.headers import stated_again, stated_op
from schemas.records import Hide, Mutation
from schemas.redaction import Action, Kind
from schemas.versions import Op
from streams.heal import Gone, Healed, Healing, LiesBehind
from streams.hide import LeftOut, Passed, Sent, TakesNothing, Unreadable
from streams.tenant_queue import DeadLettered
from streams.vectors import Obtained
from streams.window import Delivery

WITHDRAWAL_LOST = "withdrawal_dead_lettered"
"""Outcome of a delete, erase or acl that could not be processed: what it takes away may still be shown."""

log = structlog.get_logger("millstream.streams")


class Line:
    """What becomes of one record; filled in by its agent."""

    def __init__(self, delivery: Delivery) -> None:
        self.outcome = "given_up"
        self.reason: str | None = None
        self.op = stated_op(delivery.headers)
        self._again = stated_again(delivery.headers)
        self.fields: dict[str, object] = {"at": str(delivery.coordinates)}
        self.freshness: float | None = None
        self.hidden: float | None = None
        self.told_elsewhere = False
        """Its line in the log is another stage's: this one had nothing to do with it."""

    def prepared(self, mutation: Mutation) -> None:
        """A mutation was published."""
        self._describe(mutation)
        self.outcome = "prepared"

    def applied(self, mutation: Mutation, outcome: Outcome | DeadLettered) -> None:
        """A mutation has its outcome."""
        self._describe(mutation)
        self.fields["change"] = str(mutation.change)
        freshness = self._settled(outcome)
        if self._again is None:
            self.freshness = freshness
        else:
            self.fields["again"] = self._again.value

    def passed(self, outcome: Passed) -> None:
        """The stage `hide` has passed a change on, or by."""
        match outcome:
            case Sent(hide=hide, at=at):
                self.outcome = "sent"
                self.fields |= {"tenant": hide.tenant, "source": hide.source, "hide": str(at)}
            case LeftOut():
                self.outcome = "left_out"
            case TakesNothing():
                self.outcome = "takes_nothing"
                self.told_elsewhere = True
            case Unreadable():
                self.outcome = "unreadable"

    def hid(self, hide: Hide, outcome: Outcome | DeadLettered) -> None:
        """A hide has its outcome."""
        self.op = hide.op
        self.fields |= {"tenant": hide.tenant, "source": hide.source, "change": str(hide.change)}
        self.hidden = self._settled(outcome)

    def _settled(self, outcome: Outcome | DeadLettered) -> float | None:
        """Note an outcome; where it is a commit, the seconds from receiving the change to it."""
        match outcome:
            case Committed(commit=commit):
                self.outcome = "committed"
                self.fields |= {"seq": commit.seq, "batch": commit.batch_to - commit.batch_from}
                return (commit.committed_at - commit.received_at).total_seconds()
            case Redelivered(commit=commit):
                self.outcome = "redelivered"
                self.fields["seq"] = commit.seq
            case Unchanged(conflict=conflict):
                self.outcome = "conflict" if conflict else "unchanged"
            case DeadLettered(reason=reason):
                self.dead_lettered(reason)
        return None

    def dead_lettered(self, reason: str) -> None:
        """It is kept in documents.dlq."""
        takes_away = self.op in (Op.DELETE, Op.ERASE, Op.ACL)
        self.outcome = WITHDRAWAL_LOST if takes_away else "dead_lettered"
        self.reason = reason

    def withdrawal_lost(self, reason: str) -> None:
        """It is kept in documents.dlq, and is a hide although nothing else can be read of it."""
        self.dead_lettered(reason)
        self.outcome = WITHDRAWAL_LOST

    def _describe(self, mutation: Mutation) -> None:
        self.op = mutation.op
        self.fields |= {"tenant": mutation.tenant, "source": mutation.source}
        if mutation.content is not None:
            self.fields["chunks"] = len(mutation.content.chunks)


class Journal:
    """The log lines and metrics of one stage."""

    def __init__(self, stage: str, metrics: Metrics, clock: Clock) -> None:
        self._stage = stage
        self._metrics = metrics
        self._clock = clock

    @contextmanager
    def record(self, delivery: Delivery) -> Iterator[Line]:
        """Time one record and tell what became of it. What is raised passes through without a line."""
        line = Line(delivery)
        started = self._clock.monotonic()
        self._metrics.add(RECORDS_UNDER_WAY, 1, stage=self._stage)
        try:
            yield line
        finally:
            self._metrics.add(RECORDS_UNDER_WAY, -1, stage=self._stage)
        self._tell(line, self._clock.monotonic() - started)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step of a record."""
        started = self._clock.monotonic()
        yield
        self._metrics.observe(STEP_SECONDS, self._clock.monotonic() - started, stage=self._stage, step=name)

    def embedded(self, obtained: Obtained) -> None:
        """A document has its vectors: from the model, from memory, from the disk."""
        self._metrics.count(CHUNKS, obtained.embedded, vector="embedded")
        self._metrics.count(CHUNKS, obtained.remembered, vector="reused")
        self._metrics.count(CHUNKS, obtained.stored, vector="stored")

    def found_personal(self, counts: Mapping[tuple[Kind, Action], int]) -> None:
        """A document had so many values of personal data of each kind, with what became of them."""
        for (kind, action), number in counts.items():
            self._metrics.count(PERSONAL_VALUES, number, kind=kind, action=action)

    def found_unread(self, reasons: Sequence[str]) -> None:
        """Attachments of a document were not read, for these reasons."""
        for reason in reasons:
            self._metrics.count(UNREAD_ATTACHMENTS, reason=reason)

    def took_over(self) -> None:
        """A tenant was taken over."""
        self._metrics.count(TAKE_OVERS)

    def retried(self) -> None:
        """An attempt failed and is repeated."""
        self._metrics.count(RETRIES, stage=self._stage)

    def hide_refused(self, delivery: Delivery, reason: str) -> None:
        """The store refuses a hide: what was taken away is still shown, until an attempt or its mutation gets in."""
        self._metrics.count(ALERTS, alert="hide_refused")
        log.error("hide refused", stage=self._stage, at=str(delivery.coordinates), reason=reason)

    def healed(self, delivery: Delivery, healing: Healing) -> None:
        """A change lies behind one that counts more, which was appended again, or cannot be: then the next build from
        documents.changes would come to another state.
        """
        outcome = {Healed: "healed", LiesBehind: "lay_behind", Gone: "gone"}[type(healing)]
        self._metrics.count(HEALINGS, outcome=outcome)
        if isinstance(healing, Gone):
            self._metrics.count(ALERTS, alert="heal_gone")
            log.error("what counts is not in the log any more", stage=self._stage, at=str(delivery.coordinates))
        else:
            log.info("healed", stage=self._stage, at=str(delivery.coordinates), outcome=outcome, copy=str(healing.at))

    def committed(self, mutations: int, seconds: float) -> None:
        """A batch was committed."""
        self._metrics.observe(COMMIT_MUTATIONS, mutations)
        self._metrics.observe(STEP_SECONDS, seconds, stage=self._stage, step="commit")

    def swept(self, swept: Swept, seconds: float) -> None:
        """A run of the sweep; one that found nothing to look for is not worth a line."""
        if swept.closed or swept.removed:
            self._metrics.count(SWEPT_ROWS, swept.closed, what="closed")
            self._metrics.count(SWEPT_ROWS, swept.removed, what="removed")
            log.debug("swept", closed=swept.closed, removed=swept.removed, ms=round(seconds * 1e3, 2))
        self._metrics.observe(SWEEP_SECONDS, seconds)

    def sweep_failed(self, error: MillstreamError) -> None:
        """A run was cut off; another is tried later."""
        broken = not isinstance(error, TransientError)
        self._metrics.count(SWEEPS_FAILED, reason="broken" if broken else "transient")
        if broken:
            self._metrics.count(ALERTS, alert="sweep_broken")
        (log.error if broken else log.warning)("sweep cut off", error=str(error))

    def _tell(self, line: Line, seconds: float) -> None:
        self._metrics.observe(RECORD_SECONDS, seconds, stage=self._stage)
        self._metrics.count(RECORDS, stage=self._stage, outcome=line.outcome)
        if line.reason is not None:
            self._metrics.count(DEAD_LETTERS, stage=self._stage, reason=line.reason)
            line.fields["reason"] = line.reason
        if line.freshness is not None and line.op is not None:
            self._metrics.count(COMMITS, op=line.op)
            self._metrics.observe(FRESHNESS_SECONDS, line.freshness, op=line.op)
        if line.hidden is not None and line.op is not None:
            self._metrics.observe(HIDE_SECONDS, line.hidden, op=line.op)
        if line.told_elsewhere:
            return
        tell = log.error if line.outcome == WITHDRAWAL_LOST else log.warning if line.reason else log.info
        tell("record", stage=self._stage, outcome=line.outcome, op=line.op, ms=round(seconds * 1e3, 2), **line.fields)
