"""Sends requests by a schedule or as fast as they are answered, and keeps when each was due, sent and done.

An open loop sends at the moments that were fixed before it began, however slow the answers are, and its latencies count
from those moments: a stall of the server costs every request that was due in it (no coordinated omission).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")

BACK_OFF_SECONDS = 0.1
"""A client that was turned away waits so long: asking again at once would measure nothing but the turning away."""


class Outcome(StrEnum):
    """What a request came to."""

    ANSWER = "answer"
    REFUSAL = "refusal"
    SHED = "shed"
    """Turned away because of load: HTTP 429, or a refusal `overloaded`."""
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    outcome: Outcome
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    """The server's own times by step, `total` among them."""
    answer: str = ""
    sources: tuple[str, ...] = ()
    """doc_ids that were cited or found, best first."""
    reason: str = ""
    """Of a refusal; of an error its HTTP status or kind."""
    evidence: tuple[str, ...] = ()
    """chunk_ids that were cited or found, best first."""
    seq: int | None = None
    """The position it was given at."""
    is_cached: bool = False


@dataclass(frozen=True, slots=True)
class Sample(Generic[T]):
    """One request: what was asked, and its moments in seconds of one monotonic clock."""

    asked: T
    due: float
    sent: float
    done: float
    reply: Reply

    @property
    def latency_ms(self) -> float:
        """From the moment it was due."""
        return 1000 * (self.done - self.due)

    @property
    def late_ms(self) -> float:
        """How far the generator itself was behind its schedule."""
        return 1000 * (self.sent - self.due)

    @property
    def served(self) -> bool:
        """Whether the server did its work: an answer or a refusal with a reason of the documents'."""
        return self.reply.outcome in (Outcome.ANSWER, Outcome.REFUSAL)


Ask = Callable[[T], Awaitable[Reply]]


async def closed_loop(
    ask: Ask[T], questions: Iterator[T], clients: int, seconds: float | None = None
) -> list[Sample[T]]:
    """`clients` askers, each asking again once it is answered, until the questions or the `seconds` are over."""
    samples: list[Sample[T]] = []
    until = None if seconds is None else time.perf_counter() + seconds

    async def client() -> None:
        for question in questions:
            sent = time.perf_counter()
            reply = await ask(question)
            done = time.perf_counter()
            samples.append(Sample(question, sent, sent, done, reply))
            if until is not None and done >= until:
                return
            if reply.outcome is Outcome.SHED:
                await asyncio.sleep(BACK_OFF_SECONDS)

    await asyncio.gather(*(client() for _ in range(clients)))
    return samples


async def open_loop(ask: Ask[T], questions: Iterator[T], due: Sequence[float]) -> list[Sample[T]]:
    """One request at each moment of `due` (seconds from now, ascending), whatever became of those before."""
    begun = time.perf_counter()

    async def one(question: T, at: float) -> Sample[T]:
        sent = time.perf_counter()
        reply = await ask(question)
        return Sample(question, begun + at, sent, time.perf_counter(), reply)

    tasks: list[asyncio.Task[Sample[T]]] = []
    for at, question in zip(due, questions, strict=False):
        await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
        tasks.append(asyncio.create_task(one(question, at)))
    return list(await asyncio.gather(*tasks))


def throughput(samples: Sequence[Sample[T]]) -> float:
    """Served requests a second, from the first sent to the last done; 0 without samples."""
    if not samples:
        return 0.0
    took = max(sample.done for sample in samples) - min(sample.sent for sample in samples)
    return sum(sample.served for sample in samples) / took if took > 0 else 0.0


def counted(samples: Sequence[Sample[T]]) -> dict[str, int]:
    """How many samples came to each outcome; all outcomes are there."""
    return {outcome.value: sum(sample.reply.outcome is outcome for sample in samples) for outcome in Outcome}
