"""How long an uncached extractive answer takes, alone and under load, over a generated corpus of stated size.

Three runs: one client in a closed loop; an open loop at a fixed mean rate, its latencies counted from the moments at
which requests were due; closed loops with ever more clients until throughput stops rising or requests are turned away.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from benchmarks.arrivals import poisson
from benchmarks.client import Client
from benchmarks.corpus import Question, questions
from benchmarks.load import Ask, Outcome, Reply, Sample, closed_loop, counted, open_loop, throughput
from benchmarks.preparation import Prepared, prepare
from benchmarks.progress import Progress
from benchmarks.quantiles import Quantiles, by_name, quantiles
from benchmarks.results import Figure, LoadStep, NothingMeasuredError, Setting, Setup
from runtime.settings import Settings
from schemas.sources import SourceConfig

_WARM_UP = 30
_SETTLE_SECONDS = 2.0
_RISES = 1.05
"""A step whose throughput is not this much over the best before has found the top."""


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """What to do; `bearer` may read what `source` brings in."""

    source: SourceConfig
    bearer: str
    chunks: int = 20_000
    questions: int = 500
    rate: float = 20.0
    seconds: float = 30.0
    most_clients: int = 32
    step_seconds: float = 6.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """The samples of the three runs."""

    alone: Sequence[Sample[Question]]
    open: Sequence[Sample[Question]]
    saturating: Sequence[tuple[int, Sequence[Sample[Question]]]]
    """Clients and samples of each step."""


async def measure(settings: Settings, plan: QueryPlan, setup: Callable[[], Setup], progress: Progress) -> list[Figure]:
    """Prepare the corpus where it is missing, then run the plan. Raises TransientError, NothingMeasuredError."""
    async with Client(settings) as client:
        await client.check_ready()
        prepared = await prepare(client, settings, plan.source, plan.chunks, progress)

        async def ask(asked: Question) -> Reply:
            return await client.ask("/v1/query", plan.bearer, {"question": asked.text, "cache": "bypass"})

        await closed_loop(ask, iter(questions(plan.chunks, _WARM_UP, plan.seed + 1000)), clients=2)
        await asyncio.sleep(_SETTLE_SECONDS)
        measured = await _measured(ask, plan, progress)
        return figures(plan, prepared, measured, setup())


async def _measured(ask: Ask[Question], plan: QueryPlan, progress: Progress) -> Measured:
    asked = questions(plan.chunks, plan.questions, plan.seed)
    alone = await closed_loop(ask, _told(asked, "one client", progress), clients=1)
    due = poisson(plan.rate, plan.seconds, plan.seed)
    asked = questions(plan.chunks, len(due), plan.seed + 1)
    opened = await open_loop(ask, _told(asked, f"{plan.rate:g} requests/s", progress), due)
    return Measured(alone, opened, await _saturate(ask, plan, progress))


def _told(asked: Sequence[Question], step: str, progress: Progress) -> Iterator[Question]:
    """The questions, telling how many are taken."""
    for number, one in enumerate(asked, start=1):
        yield one
        progress(step, number, len(asked))


async def _saturate(
    ask: Ask[Question], plan: QueryPlan, progress: Progress
) -> list[tuple[int, Sequence[Sample[Question]]]]:
    supply = cycle(questions(plan.chunks, min(plan.chunks, 5000), plan.seed + 2))
    levels = client_levels(plan.most_clients)
    steps: list[tuple[int, Sequence[Sample[Question]]]] = []
    for number, clients in enumerate(levels):
        progress("more clients until throughput stops rising", number, len(levels))
        steps.append((clients, await closed_loop(ask, supply, clients, plan.step_seconds)))
        if is_saturated([samples for _, samples in steps]):
            break
    progress("more clients until throughput stops rising", len(levels), len(levels))
    return steps


def client_levels(most: int) -> tuple[int, ...]:
    """1, 2, 4, … up to `most`, which is the last."""
    powers = [2**power for power in range(most.bit_length()) if 2**power < most]
    return (*powers, most)


def is_saturated(steps: Sequence[Sequence[Sample[Question]]]) -> bool:
    """Whether the last step found the top: requests were turned away or failed, or throughput no longer rose."""
    *before, last = steps
    if any(not sample.served for sample in last):
        return True
    return bool(before) and throughput(last) < _RISES * max(throughput(step) for step in before)


def figures(plan: QueryPlan, prepared: Prepared, measured: Measured, setup: Setup) -> list[Figure]:
    """What the runs showed. Raises NothingMeasuredError for a run without a single answer."""
    base: dict[str, Setting] = {
        "source": plan.source.name,
        "chunks": prepared.chunks,
        "documents": prepared.documents,
        "preparation_s": prepared.seconds,
        "seed": plan.seed,
        "cache": "bypass",
    }
    return [*_alone(measured.alone, base, setup), _open(measured.open, plan, base, setup), _top(measured, base, setup)]


def _alone(samples: Sequence[Sample[Question]], base: Mapping[str, Setting], setup: Setup) -> list[Figure]:
    served = _served(samples)
    settings = {**base, "clients": 1}
    inside = quantiles(sample.reply.timings_ms["total"] for sample in served)
    return [
        setup.figure(
            "query.one_client.server",
            inside,
            "one client, closed loop: time inside the server, timings_ms.total",
            stages=_steps(served),
            outcomes=outcomes(samples),
            settings=settings,
            requests_per_s=round(throughput(samples), 2),
        ),
        setup.figure(
            "query.one_client.request",
            _latency(served),
            "one client, closed loop: the whole HTTP request as the client sees it",
            stages={"server": inside},
            outcomes=outcomes(samples),
            settings=settings,
            requests_per_s=round(throughput(samples), 2),
        ),
    ]


def _open(samples: Sequence[Sample[Question]], plan: QueryPlan, base: Mapping[str, Setting], setup: Setup) -> Figure:
    served = _served(samples)
    return setup.figure(
        "query.open_loop.request",
        _latency(served),
        f"open loop, Poisson arrivals, {plan.rate:g} requests/s: from the moment a request was due to its answer read",
        stages={"generator_late": quantiles(sample.late_ms for sample in samples), **_steps(served)},
        outcomes=outcomes(samples),
        settings={**base, "rate": plan.rate, "seconds": plan.seconds},
        requests_per_s=round(throughput(samples), 2),
    )


def _top(measured: Measured, base: Mapping[str, Setting], setup: Setup) -> Figure:
    clients, best = max(measured.saturating, key=lambda step: throughput(step[1]))
    served = _served(best)
    return setup.figure(
        "query.saturation.request",
        _latency(served),
        "closed loops with ever more clients: latency of whole requests at the highest throughput, requests_per_s",
        stages=_steps(served),
        outcomes=outcomes(best),
        settings={**base, "clients": clients},
        requests_per_s=round(throughput(best), 2),
        steps=[_step(number, samples) for number, samples in measured.saturating],
    )


def _step(clients: int, samples: Sequence[Sample[Question]]) -> LoadStep:
    served = [sample for sample in samples if sample.served]
    latency = _latency(served) if served else None
    found = counted(samples)
    return LoadStep(
        clients=clients,
        requests_per_s=round(throughput(samples), 2),
        shed=found[Outcome.SHED],
        errors=found[Outcome.ERROR],
        p50=None if latency is None else latency.p50,
        p99=None if latency is None else latency.p99,
    )


def outcomes(samples: Sequence[Sample[Question]]) -> dict[str, int]:
    """Requests by outcome, and how many answers were `right`: they cite the document and state the fact asked for."""
    return {**counted(samples), "right": sum(is_right(sample.asked, sample.reply) for sample in samples)}


def is_right(asked: Question, reply: Reply) -> bool:
    """Whether an answer cites the document that has the fact, and contains it."""
    return asked.doc_id in reply.sources and asked.fact in reply.answer


def _served(samples: Sequence[Sample[Question]]) -> list[Sample[Question]]:
    served = [sample for sample in samples if sample.served]
    if not served:
        reasons = sorted({sample.reply.reason for sample in samples})
        raise NothingMeasuredError(f"not one of {len(samples)} questions was answered: {', '.join(reasons) or 'none'}")
    return served


def _latency(samples: Sequence[Sample[Question]]) -> Quantiles:
    return quantiles(sample.latency_ms for sample in samples)


def _steps(samples: Sequence[Sample[Question]]) -> dict[str, Quantiles]:
    return by_name(sample.reply.timings_ms for sample in samples)
