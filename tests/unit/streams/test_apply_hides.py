"""Hides in the applier: before everything that waits, in between what is being written, and in nobody's way."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from index.outcomes import Outcome, Unchanged, Waiting
from index.rows import Item, PositionedHide
from index.sweeper import Swept
from runtime.clock import ManualClock
from runtime.log_port import MemoryLog, MemoryShare
from schemas.codec import decode, encode
from schemas.errors import BrokenIndexError, DecodeError, PermanentError, TransientError, UnknownTenantError
from schemas.records import DeadLetter
from schemas.topics import DLQ, HIDES
from streams import tenant_queue
from streams.apply import Applier
from streams.dead_letters import DeadLetters
from streams.hide_feed import HideFeed
from streams.tenant_queue import Bounds, DeadLettered, Hooks
from streams.window import Delivery, Lease, LeaseEndedError
from tests.unit.streams.records import hide, hide_delivery, mutation, mutation_delivery, topics

DONE = Unchanged(conflict=False)


@dataclass
class SlicingWriter:
    """A writer that stops at `gate` in every batch of mutations, and then takes hides that wait, as often as there are
    some; `errors` are raised by the next commits of their kind.
    """

    commits: list[list[str]] = field(default_factory=list)
    gate: "asyncio.Future[None] | None" = None
    errors: list[Exception] = field(default_factory=list)
    errors_between: list[Exception] = field(default_factory=list)
    refused: frozenset[str] = frozenset()
    takes: bool = True
    """Whether it takes hides in between."""

    async def commit(self, batch: Sequence[Item], waiting: Waiting) -> Sequence[Outcome]:
        names = [str(item.document.doc_id) for item in batch]
        if not isinstance(batch[0], PositionedHide):
            if self.gate is not None:
                await self.gate
            while self.takes and (hides := waiting.take()):
                if self.errors_between:
                    raise self.errors_between.pop(0)
                self.commits.append([f"between: {item.document.doc_id}" for item in hides])
                waiting.settled([DONE for _ in hides])
        self.commits.append(names)
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        if self.refused & set(names):
            raise PermanentError("a row is refused", reason="refused")
        return [DONE for _ in batch]

    async def sweep(self, seconds: Callable[[], float], *, take_over: bool) -> Swept:
        return Swept(60.0)


@dataclass
class Bench:
    writer: SlicingWriter = field(default_factory=SlicingWriter)
    log: MemoryLog = field(default_factory=MemoryLog)
    lease: Lease = field(default_factory=Lease)
    alerts: list[tuple[Delivery, str]] = field(default_factory=list)
    under_way: list["asyncio.Task[object]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        letters = DeadLetters(self.log, topics(), "apply", ManualClock())
        hooks = Hooks(on_refused_hide=lambda delivery, reason: self.alerts.append((delivery, reason)))
        self.applier = Applier(lambda _tenant: self.writer, letters, topics(), Bounds(64), hooks)

    def mutate(self, doc: str, offset: int = 0) -> "asyncio.Task[object]":
        return self._begin(self._outcome(self.applier.apply(mutation_delivery(mutation(doc), offset), self.lease)))

    def hide(self, doc: str, offset: int = 0, sequence: int = 1) -> "asyncio.Task[object]":
        delivery = hide_delivery(hide(doc, sequence=sequence), offset)
        return self._begin(self._outcome(self.applier.hide(delivery, self.lease)))

    def _begin(self, steps: object) -> "asyncio.Task[object]":
        task = asyncio.ensure_future(steps)  # type: ignore[call-overload]
        self.under_way.append(task)
        return task  # type: ignore[no-any-return]

    async def _outcome(self, applied: object) -> object:
        _, outcome = await applied  # type: ignore[misc]
        return outcome

    async def all_done(self) -> list[object]:
        return await asyncio.gather(*self.under_way, return_exceptions=True)

    def letters(self) -> list[DeadLetter]:
        return [decode(record.value or b"", DeadLetter) for record in self.log.records(DLQ)]


async def turns(count: int = 6) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_hides_are_committed_before_all_mutations_that_wait() -> None:
    bench = Bench()
    bench.mutate("a"), bench.mutate("b", 1)
    bench.hide("c"), bench.hide("d", 1)
    assert await bench.all_done() == [DONE] * 4
    assert bench.writer.commits == [["c", "d"], ["a", "b"]]


async def test_a_backlog_of_hides_does_not_hold_up_the_mutations_for_as_long_as_it_lasts() -> None:
    bench = Bench(SlicingWriter(takes=False))
    changed = bench.mutate("a")
    for number in range(64 * 12):
        bench.hide(f"h{number}", number)
    assert await changed == DONE
    ahead = bench.writer.commits.index(["a"])
    assert ahead == 4
    await bench.all_done()
    assert sum(len(names) for names in bench.writer.commits) == 64 * 12 + 1


async def test_a_hide_does_not_wait_for_a_batch_that_is_being_written() -> None:
    bench = Bench(SlicingWriter(gate=asyncio.get_running_loop().create_future()))
    written = bench.mutate("large")
    await turns()
    hidden = bench.hide("secret")
    await turns()
    assert bench.writer.gate is not None
    bench.writer.gate.set_result(None)
    assert await hidden == DONE
    assert await written == DONE
    assert bench.writer.commits == [["between: secret"], ["large"]]


async def test_hides_of_one_document_are_committed_one_after_the_other() -> None:
    bench = Bench()
    for number in range(3):
        bench.hide("a", number, sequence=number)
    bench.hide("b", 3)
    await bench.all_done()
    assert bench.writer.commits == [["a", "b"], ["a"], ["a"]]


async def test_what_was_taken_and_not_committed_goes_first_at_the_next_attempt() -> None:
    loop = asyncio.get_running_loop()
    bench = Bench(SlicingWriter(gate=loop.create_future(), errors_between=[TransientError("superseded")]))
    bench.mutate("large")
    await turns()
    bench.hide("secret")
    await turns()
    assert bench.writer.gate is not None
    bench.writer.gate.set_result(None)
    assert await bench.all_done() == [DONE, DONE]
    assert bench.writer.commits == [["secret"], ["large"]]


async def test_a_hide_waits_for_a_store_that_is_away_and_still_goes_first() -> None:
    bench = Bench(SlicingWriter(errors=[TransientError("away")] * 2))
    bench.mutate("a")
    bench.hide("b")
    assert await bench.all_done() == [DONE, DONE]
    assert bench.writer.commits == [["b"], ["b"], ["b"], ["a"]]


async def test_a_refused_hide_alerts_is_kept_as_a_dead_letter_and_is_in_nobodys_way() -> None:
    bench = Bench(SlicingWriter(refused=frozenset({"bad"})))
    refused, other = bench.hide("bad"), bench.hide("good", 1)
    changed = bench.mutate("a")
    assert await other == DONE
    assert await changed == DONE
    assert await refused == DeadLettered("refused")
    assert [reason for _, reason in bench.alerts] == ["refused"]
    assert [(letter.doc_id, letter.origin.topic) for letter in bench.letters()] == [("bad", "index.hides")]
    bench.lease.end()


async def test_a_refused_hide_is_tried_again_for_as_long_as_the_lease_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_queue, "_REFUSED_SECONDS", 0.01)
    bench = Bench(SlicingWriter(refused=frozenset({"bad"})))
    await bench.hide("bad")
    while len(bench.alerts) < 3:
        await asyncio.sleep(0.01)
    bench.writer.refused = frozenset()
    tried = len(bench.writer.commits)
    while len(bench.writer.commits) == tried:
        await asyncio.sleep(0.01)
    alerts = len(bench.alerts)
    await asyncio.sleep(0.05)
    assert bench.writer.commits[tried:] == [["bad"]]
    assert len(bench.alerts) == alerts
    assert len(bench.letters()) == 1


async def test_after_the_lease_a_refused_hide_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_queue, "_REFUSED_SECONDS", 0.01)
    bench = Bench(SlicingWriter(refused=frozenset({"bad"})))
    await bench.hide("bad")
    bench.lease.end()
    tried = len(bench.writer.commits)
    await asyncio.sleep(0.05)
    assert len(bench.writer.commits) == tried


async def test_any_number_of_hides_gets_past_a_refused_one() -> None:
    bench, many = Bench(SlicingWriter(refused=frozenset({"bad"}))), 1500
    partition, acknowledged = hide_delivery(hide()).coordinates.partition, dict[int, int]()
    for number in range(many):
        record = hide("bad" if number == 0 else f"good{number}", sequence=number)
        await bench.log.append(HIDES, partition, record.key, encode(record))

    async def work(delivery: Delivery, lease: Lease) -> None:
        await bench.applier.hide(delivery, lease)

    share, crashes = MemoryShare(bench.log, HIDES, acknowledged), list[BaseException]()
    feed = HideFeed(share, work, lambda: frozenset({partition}), lambda: bench.lease, crashes.append)
    await feed.start()
    async with asyncio.timeout(30):
        while acknowledged != {partition: many}:
            await asyncio.sleep(0.01)
    bench.lease.end()
    await feed.stop()
    assert crashes == []
    assert {name for names in bench.writer.commits for name in names} == {"bad", *(f"good{n}" for n in range(1, many))}


async def test_a_hide_of_a_tenant_that_nobody_applied_is_a_dead_letter() -> None:
    bench = Bench(SlicingWriter(errors=[UnknownTenantError("run `millstream source apply`")]))
    assert await bench.hide("a") == DeadLettered("no_source")
    assert [(letter.doc_id, letter.origin.topic) for letter in bench.letters()] == [("a", "index.hides")]


async def test_what_nobody_planned_for_reaches_the_hides_of_the_batch() -> None:
    error = BrokenIndexError("no head")
    bench = Bench(SlicingWriter(errors=[error]))
    bench.hide("a"), bench.hide("b", 1)
    assert await bench.all_done() == [error, error]


async def test_after_the_end_of_the_lease_nothing_begins() -> None:
    bench = Bench()
    bench.lease.end()
    bench.hide("a"), bench.mutate("b")
    assert [type(outcome) for outcome in await bench.all_done()] == [LeaseEndedError] * 2
    assert bench.writer.commits == []


async def test_a_record_that_is_no_hide_is_refused() -> None:
    bench = Bench()
    with pytest.raises(DecodeError):
        await bench.applier.hide(replace(hide_delivery(hide("a")), value=b"nonsense"), bench.lease)
    misplaced = hide_delivery(hide("a"))
    with pytest.raises(DecodeError):
        await bench.applier.hide(replace(misplaced, key=b"acme/wiki/b"), bench.lease)
