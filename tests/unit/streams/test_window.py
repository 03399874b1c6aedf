"""The window around the order: bounds, crashes, and what the end of a lease means."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from runtime.cancellation import StrayCancellationError
from schemas.records import Coordinates
from streams.window import Delivery, Lease, LeaseEndedError, Window


@dataclass
class Bench:
    """Work that waits for its gate, and notes what happened."""

    started: list[int] = field(default_factory=list)
    acked: list[int] = field(default_factory=list)
    crashes: list[BaseException] = field(default_factory=list)
    gates: dict[int, "asyncio.Future[None]"] = field(default_factory=dict)

    def window(self, records: int = 8, max_bytes: int = 1_000_000) -> Window:
        return Window(
            self.work,
            self.crashes.append,
            records=records,
            max_bytes=max_bytes,
            is_barrier=lambda delivery: delivery.value == b"barrier",
        )

    async def work(self, delivery: Delivery, _lease: Lease) -> None:
        offset = delivery.coordinates.offset
        self.started.append(offset)
        self.gates[offset] = asyncio.get_running_loop().create_future()
        await self.gates[offset]

    def delivery(self, offset: int, key: bytes | None = None, value: bytes = b"", partition: int = 0) -> Delivery:
        def ack() -> None:
            self.acked.append(offset)

        at = Coordinates(topic="t", partition=partition, offset=offset)
        return Delivery(at, f"d{offset}".encode() if key is None else key, value, ack=ack)

    async def open(self, *offsets: int) -> None:
        for offset in offsets:
            self.gates[offset].set_result(None)
        await settled()


async def settled(until: Callable[[], bool] = lambda: True) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    assert until()


async def test_records_of_different_documents_overlap_and_are_acknowledged_in_order() -> None:
    bench = Bench()
    window = bench.window()
    for offset in range(3):
        await window.put(bench.delivery(offset))
    await settled()
    assert bench.started == [0, 1, 2]
    await bench.open(2, 1)
    assert bench.acked == []
    await bench.open(0)
    assert bench.acked == [0, 1, 2]
    assert window.positions == {0: 3}
    assert len(window) == 0


async def test_an_acl_record_is_of_the_same_document_as_the_content() -> None:
    bench = Bench()
    window = bench.window()
    await window.put(bench.delivery(0, b"acme/wiki/a"))
    await window.put(bench.delivery(1, b"acme/wiki/a#acl"))
    await settled()
    assert bench.started == [0]
    await bench.open(0)
    assert bench.started == [0, 1]


async def test_a_full_partition_holds_the_next_record_back_until_one_is_acknowledged() -> None:
    bench = Bench()
    window = bench.window(records=2)
    await window.put(bench.delivery(0))
    await window.put(bench.delivery(1))
    third = asyncio.create_task(window.put(bench.delivery(2)))
    await settled()
    assert not third.done()
    await bench.open(1)
    assert not third.done()
    await bench.open(0)
    assert third.done()
    assert bench.started == [0, 1, 2]


async def test_bytes_are_bounded_but_one_record_always_fits() -> None:
    bench = Bench()
    window = bench.window(max_bytes=100)
    await window.put(bench.delivery(0, value=b"x" * 1000))
    second = asyncio.create_task(window.put(bench.delivery(1, partition=1)))
    await settled()
    assert not second.done()
    await bench.open(0)
    assert second.done()


async def test_an_unexpected_error_ends_the_process_and_is_never_acknowledged() -> None:
    crashes: list[BaseException] = []
    bench = Bench()

    async def work(_delivery: Delivery, _lease: Lease) -> None:
        raise RuntimeError("unplanned")

    window = Window(work, crashes.append, records=8, max_bytes=1000)
    await window.put(bench.delivery(0))
    await settled()
    assert [type(error) for error in crashes] == [RuntimeError]
    assert bench.acked == []


async def test_draining_lets_running_records_finish_and_starts_no_more() -> None:
    bench = Bench()
    window = bench.window()
    await window.put(bench.delivery(0, b"a"))
    await window.put(bench.delivery(1, b"a"))
    await settled()
    draining = asyncio.create_task(window.drain(5))
    await settled()
    await window.put(bench.delivery(2))
    await bench.open(0)
    assert await draining
    assert bench.started == [0]
    assert bench.acked == [0]


async def test_nothing_is_acknowledged_after_the_lease_and_the_next_one_starts_clean() -> None:
    bench = Bench()
    window = bench.window()
    await window.put(bench.delivery(7))
    await settled()
    assert not await window.drain(0)
    window.renew()
    late = bench.gates[7]
    await window.put(bench.delivery(3))
    await settled()
    late.set_result(None)
    await settled()
    assert bench.acked == []
    await bench.open(3)
    assert bench.acked == [3]


async def test_a_caller_waiting_for_room_is_let_go_when_the_lease_ends() -> None:
    bench = Bench()
    window = bench.window(records=1)
    await window.put(bench.delivery(0))
    waiting = asyncio.create_task(window.put(bench.delivery(1)))
    await settled()
    assert not await window.drain(0)
    await settled()
    assert waiting.done()
    window.renew()
    assert bench.started == [0]


async def test_work_that_gives_up_at_the_end_of_the_lease_is_neither_acknowledged_nor_a_crash() -> None:
    bench = Bench()

    async def work(_delivery: Delivery, lease: Lease) -> None:
        await lease.pause(60)
        raise LeaseEndedError

    window = Window(work, bench.crashes.append, records=8, max_bytes=1000)
    await window.put(bench.delivery(0))
    await settled()
    assert await window.drain(5)
    assert bench.acked == []
    assert bench.crashes == []


async def test_a_record_delivered_twice_within_a_lease_runs_once() -> None:
    bench = Bench()
    window = bench.window()
    await window.put(bench.delivery(0))
    await window.put(bench.delivery(0))
    await settled()
    assert bench.started == [0]


@given(st.permutations(range(8)), st.lists(st.sampled_from(["a", "b", "c"]), min_size=8, max_size=8))
def test_whatever_finishes_first_every_acknowledgement_is_the_next_offset(order: list[int], keys: list[str]) -> None:
    async def run() -> list[int]:
        bench = Bench()
        window = bench.window()
        for offset, key in enumerate(keys):
            await window.put(bench.delivery(offset, key.encode()))
        await settled()
        wanted = list(order)
        while wanted:
            ready = next(offset for offset in wanted if offset in bench.gates)
            wanted.remove(ready)
            await bench.open(ready)
            assert bench.acked == list(range(len(bench.acked)))
        return bench.acked

    assert asyncio.run(run()) == list(range(8))


async def test_a_barrier_runs_alone_in_its_partition() -> None:
    bench = Bench()
    window = bench.window()
    for offset in range(3):
        await window.put(bench.delivery(offset, value=b"barrier" if offset == 1 else b""))
    await window.put(bench.delivery(7, partition=1))
    await settled()
    assert bench.started == [0, 7]
    await bench.open(0)
    assert bench.started == [0, 7, 1]
    await bench.open(1)
    assert bench.started == [0, 7, 1, 2]
    await bench.open(2)
    assert bench.acked == [0, 1, 2]


async def test_work_whose_wait_is_cancelled_by_others_ends_the_process() -> None:
    bench = Bench()
    window = bench.window()
    await window.put(bench.delivery(0))
    await settled()
    bench.gates[0].cancel()
    await settled()
    (crash,) = bench.crashes
    assert isinstance(crash, StrayCancellationError)
    assert bench.acked == []
