"""The applier: group commits, what follows failures, dead letters, and what the end of a lease means."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from index.outcomes import Outcome, Unchanged, Waiting
from index.rows import Item
from index.sweeper import Swept
from runtime.clock import ManualClock
from runtime.log_port import MemoryLog
from schemas.codec import decode
from schemas.errors import BrokenIndexError, DecodeError, PermanentError, TransientError, UnknownTenantError
from schemas.identity import Tenant
from schemas.records import DeadLetter
from schemas.topics import DLQ
from streams.apply import Applier
from streams.dead_letters import DeadLetters
from streams.store_offsets import StoreOffsets
from streams.tenant_queue import Bounds, DeadLettered, Hooks
from streams.window import Lease, LeaseEndedError
from tests.unit.streams.records import mutation, mutation_delivery, topics


@dataclass
class ScriptedWriter:
    """A writer whose next commits fail as scripted; `refused` documents fail for ever."""

    failures: list[Exception] = field(default_factory=list)
    refused: frozenset[str] = frozenset()
    batches: list[list[str]] = field(default_factory=list)
    gate: "asyncio.Future[None] | None" = None

    async def commit(self, batch: Sequence[Item], waiting: Waiting) -> Sequence[Outcome]:
        documents = [item.document.doc_id for item in batch]
        self.batches.append([str(name) for name in documents])
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate
        if self.failures:
            raise self.failures.pop(0)
        if self.refused & set(documents):
            raise PermanentError("a row is refused", reason="refused")
        return [Unchanged(conflict=False) for _ in batch]

    async def sweep(self, seconds: Callable[[], float], *, take_over: bool) -> Swept:
        return Swept(60.0)


@dataclass
class Bench:
    writer: ScriptedWriter
    log: MemoryLog = field(default_factory=MemoryLog)
    waits: list[bool] = field(default_factory=list)
    lease: Lease = field(default_factory=Lease)
    taken: list[str] = field(default_factory=list)

    def applier(self, mutations: int = 64, size: int = 1_000_000) -> Applier:
        letters = DeadLetters(self.log, topics(), "apply", ManualClock())

        def writer_for(tenant: Tenant) -> ScriptedWriter:
            self.taken.append(tenant)
            return self.writer

        return Applier(writer_for, letters, topics(), Bounds(mutations, size), Hooks(self.waits.append))

    async def apply(self, applier: Applier, *docs: str) -> list[object]:
        results = await asyncio.gather(
            *(applier.apply(mutation_delivery(mutation(doc), offset), self.lease) for offset, doc in enumerate(docs)),
            return_exceptions=True,
        )
        return [result if isinstance(result, BaseException) else result[1] for result in results]

    def letters(self) -> list[DeadLetter]:
        return [decode(record.value or b"", DeadLetter) for record in self.log.records(DLQ)]


DONE = Unchanged(conflict=False)


async def test_what_queued_up_while_a_commit_ran_is_the_next_commit() -> None:
    bench = Bench(ScriptedWriter(gate=asyncio.get_running_loop().create_future()))
    applier = bench.applier()
    first = asyncio.create_task(bench.apply(applier, "a"))
    for _ in range(5):
        await asyncio.sleep(0)
    rest = asyncio.create_task(bench.apply(applier, "b", "c"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert bench.writer.gate is not None
    bench.writer.gate.set_result(None)
    assert await first == [DONE]
    assert await rest == [DONE, DONE]
    assert bench.writer.batches == [["a"], ["b", "c"]]


async def test_a_commit_is_bounded_in_mutations_and_in_bytes() -> None:
    bench = Bench(ScriptedWriter())
    await bench.apply(bench.applier(mutations=2), "a", "b", "c")
    assert [len(batch) for batch in bench.writer.batches] == [2, 1]
    bench.writer.batches.clear()
    await bench.apply(bench.applier(size=1), "a", "b")
    assert [len(batch) for batch in bench.writer.batches] == [1, 1]


async def test_a_store_that_is_away_is_waited_for_and_nothing_is_dead_lettered() -> None:
    bench = Bench(ScriptedWriter([TransientError("away")] * 3))
    assert await bench.apply(bench.applier(), "a", "b") == [DONE, DONE]
    assert bench.waits == [True, False] * 3
    assert bench.letters() == []


async def test_only_the_mutation_at_fault_becomes_a_dead_letter() -> None:
    bench = Bench(ScriptedWriter(refused=frozenset({"b"})))
    assert await bench.apply(bench.applier(), "a", "b", "c") == [DONE, DeadLettered("refused"), DONE]
    assert bench.writer.batches == [["a", "b", "c"], ["a", "b", "c"], ["a"], ["b"], ["c"]]
    (letter,) = bench.letters()
    assert (letter.doc_id, letter.reason, letter.stage, letter.attempts) == ("b", "refused", "apply", 2)
    assert letter.origin.offset == 1
    assert letter.value == mutation_delivery(mutation("b")).value


async def test_a_failure_that_passes_costs_nothing_but_a_second_try() -> None:
    bench = Bench(ScriptedWriter([PermanentError("once")]))
    assert await bench.apply(bench.applier(), "a", "b") == [DONE, DONE]
    assert bench.writer.batches == [["a", "b"], ["a", "b"]]


async def test_a_tenant_without_a_source_goes_to_the_dead_letters_at_once() -> None:
    bench = Bench(ScriptedWriter([UnknownTenantError("run `millstream source apply`")]))
    assert await bench.apply(bench.applier(), "a", "b") == [DeadLettered("no_source")] * 2
    assert [letter.error for letter in bench.letters()] == ["run `millstream source apply`"] * 2


@pytest.mark.parametrize("error", [BrokenIndexError("no head"), RuntimeError("unplanned")])
async def test_what_nobody_planned_for_reaches_every_record_of_the_batch(error: Exception) -> None:
    bench = Bench(ScriptedWriter([error]))
    assert await bench.apply(bench.applier(), "a", "b") == [error, error]
    assert bench.letters() == []


async def test_a_dead_letter_that_cannot_be_kept_leaves_its_record_unsettled() -> None:
    bench = Bench(ScriptedWriter(refused=frozenset({"a"})), MemoryLog(refuse=lambda *_: TransientError("no broker")))
    (outcome,) = await bench.apply(bench.applier(), "a")
    assert isinstance(outcome, TransientError)


async def test_the_end_of_the_lease_breaks_a_wait_off_and_settles_nothing() -> None:
    bench = Bench(ScriptedWriter([TransientError("away")] * 100))
    applying = asyncio.create_task(bench.apply(bench.applier(), "a"))
    while not bench.waits:
        await asyncio.sleep(0)
    bench.lease.end()
    (outcome,) = await applying
    assert isinstance(outcome, LeaseEndedError)
    assert bench.waits == [True, False]


async def test_a_new_lease_begins_with_a_new_writer() -> None:
    bench = Bench(ScriptedWriter())
    applier = bench.applier()
    await bench.apply(applier, "a")
    await bench.apply(applier, "b")
    bench.lease = Lease()
    await bench.apply(applier, "c")
    assert bench.taken == ["acme", "acme"]


async def test_tenants_do_not_wait_for_each_other() -> None:
    writers = {"acme": ScriptedWriter([TransientError("away")] * 1000), "initech": ScriptedWriter()}
    letters = DeadLetters(MemoryLog(), topics(), "apply", ManualClock())
    applier = Applier(lambda tenant: writers[tenant], letters, topics(), Bounds(8))
    lease = Lease()
    slow = asyncio.create_task(applier.apply(mutation_delivery(mutation("a")), lease))
    _, outcome = await applier.apply(mutation_delivery(mutation("a", tenant="initech")), lease)
    assert outcome == DONE
    assert not slow.done()
    lease.end()
    with pytest.raises(LeaseEndedError):
        await slow


async def test_a_record_that_is_no_mutation_is_refused() -> None:
    bench = Bench(ScriptedWriter())
    with pytest.raises(DecodeError):
        await bench.applier().apply(replace(mutation_delivery(mutation("a")), value=b"nonsense"), bench.lease)


async def test_an_offset_that_a_predecessor_wrote_over_is_told_again() -> None:
    stored = dict[int, int]()

    async def put(partition: int, offset: int) -> None:
        stored[partition] = offset

    offsets = StoreOffsets(put, lambda _error: None, seconds=0.0)
    offsets.note(0, 102)
    offsets.note(1, 7)
    await asyncio.sleep(0.01)
    stored.update({0: 101, 1: 6})
    offsets.look(stored, {0})
    await asyncio.sleep(0.01)
    assert stored == {0: 102, 1: 6}, "what is another's by now is left to it"


async def test_an_offset_waits_for_the_write_of_the_one_before() -> None:
    written, gate = list[int](), asyncio.Event()

    async def put(_partition: int, offset: int) -> None:
        if offset == 1:
            await gate.wait()
        written.append(offset)

    offsets = StoreOffsets(put, lambda _error: None, seconds=0.0)
    offsets.note(0, 1)
    await asyncio.sleep(0)
    offsets.note(0, 2)
    flushing = asyncio.create_task(offsets.flush())
    await asyncio.sleep(0.01)
    gate.set()
    await flushing
    assert written == [1, 2]


async def test_the_store_learns_offsets_in_order_and_again_after_it_was_away() -> None:
    written: list[tuple[int, int]] = []
    away = [True]

    async def put(partition: int, offset: int) -> None:
        if away[0]:
            raise TransientError("away")
        written.append((partition, offset))

    offsets = StoreOffsets(put, lambda _error: None, seconds=0.0)
    offsets.note(0, 5)
    await asyncio.sleep(0.01)
    offsets.note(0, 6)
    offsets.note(1, 2)
    away[0] = False
    await asyncio.sleep(0.02)
    assert sorted(written) == [(0, 6), (1, 2)]
    offsets.note(0, 7)
    await asyncio.sleep(0.02)
    assert [offset for partition, offset in written if partition == 0] == [6, 7]
