"""Open and closed loops: everybody is asked, and a latency counts from the moment a request was due."""

import asyncio
from collections.abc import Iterator
from itertools import count

from benchmarks.load import Outcome, Reply, Sample, closed_loop, counted, open_loop, throughput

ANSWERED = Reply(Outcome.ANSWER)


def sample(due: float, sent: float, done: float, outcome: Outcome = Outcome.ANSWER) -> Sample[int]:
    return Sample(0, due, sent, done, Reply(outcome))


def test_a_latency_counts_from_the_moment_a_request_was_due_however_late_it_was_sent() -> None:
    late = sample(due=10.0, sent=12.0, done=12.5)
    assert late.latency_ms == 2500
    assert late.late_ms == 2000


async def test_an_open_loop_does_not_wait_for_answers() -> None:
    release = asyncio.Event()
    under_way = 0

    async def ask(_question: int) -> Reply:
        nonlocal under_way
        under_way += 1
        if under_way == 3:
            release.set()
        await release.wait()
        return ANSWERED

    samples = await open_loop(ask, iter([1, 2, 3]), [0.0, 0.0, 0.0])
    assert [one.asked for one in samples] == [1, 2, 3]
    assert all(one.sent >= one.due for one in samples)


async def test_a_closed_loop_has_as_many_under_way_as_clients_and_asks_everything_once() -> None:
    under_way, most = 0, 0

    async def ask(_question: int) -> Reply:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return ANSWERED

    samples = await closed_loop(ask, iter(range(10)), clients=3)
    assert sorted(one.asked for one in samples) == list(range(10))
    assert most == 3


async def test_a_closed_loop_with_an_end_takes_no_question_after_it() -> None:
    async def ask(_question: int) -> Reply:
        return ANSWERED

    numbers: Iterator[int] = count()
    samples = await closed_loop(ask, numbers, clients=2, seconds=0.0)
    assert [one.asked for one in samples] == [0, 1]


def test_what_was_turned_away_does_not_count_as_throughput() -> None:
    samples = [
        sample(0, 0.0, 1.0),
        sample(0, 0.0, 2.0, Outcome.REFUSAL),
        sample(0, 0.0, 2.0, Outcome.SHED),
        sample(0, 1.0, 2.0, Outcome.ERROR),
    ]
    assert throughput(samples) == 1.0
    assert throughput([]) == 0.0
    assert counted(samples) == {"answer": 1, "refusal": 1, "shed": 1, "error": 1}
