"""What the answer cache gives while everything changes, and how fast it is when nothing does.

While questions by Zipf's law come at a steady rate, documents are edited, deleted, superseded and given to others
through the webhook. Every answer out of the cache is computed anew at its position at once (as_of, past the cache), and
the commits of the run are read afterwards; benchmarks.cache_oracle judges. Then the changes stop: cached answers alone,
by one client and by several in closed loops.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, islice

from benchmarks.arrivals import poisson
from benchmarks.cache_changes import AUDIENCES, Asked, Company, Event, questions
from benchmarks.cache_oracle import Given, Verdict, judge
from benchmarks.client import Client, Posted
from benchmarks.commits import CommitReader
from benchmarks.load import Outcome, Reply, Sample, closed_loop, counted, open_loop, throughput
from benchmarks.progress import Progress
from benchmarks.quantiles import by_name, quantiles
from benchmarks.results import Figure, LoadStep, NothingMeasuredError, Setting, Setup
from runtime.settings import Settings
from schemas.errors import TransientError
from schemas.records import Commit
from schemas.sources import SourceConfig

_BATCH = 50
_NOT_YET = frozenset({0, 401, 429, 503})
"""401: the receiver has not read the new source yet."""
_POST_SECONDS = 20.0
_WAIT_MS = 10_000
_ANEW_AT_ONCE = 2
_HOT = 20
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CachePlan:
    """What to do; `bearers` are of the askers of benchmarks.cache_changes.AUDIENCES, in their order."""

    source: SourceConfig
    bearers: Sequence[str]
    reader: str
    documents: int = 60
    rate: float = 15.0
    changes: float = 1.0
    seconds: float = 60.0
    clients: int = 16
    step_seconds: float = 8.0
    seed: int = 1


@dataclass
class _Run:
    """What happened while everything changed."""

    samples: list[Sample[Asked]] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter[str])
    commits: list[Commit] = field(default_factory=list)


async def measure(settings: Settings, plan: CachePlan, setup: Callable[[], Setup], progress: Progress) -> list[Figure]:
    """Run the plan. Raises TransientError, NothingMeasuredError."""
    async with Client(settings) as client:
        await client.check_ready()
        source = plan.source
        reader = await asyncio.to_thread(CommitReader, settings, source.owner, source.source, from_now=True)
        company = Company(plan.documents, plan.seed, str(int(time.time())))
        await _post(client, plan, company.founding())
        try:
            run = await _while_changing(client, plan, company, progress)
            await asyncio.sleep(_SETTLE_SECONDS)
            run.commits = await asyncio.to_thread(lambda: list(reader.read()))
            alone, together = await _when_still(client, plan, progress)
        finally:
            await _post(client, plan, company.closing())
        return figures(plan, run, alone, together, setup())


async def _post(client: Client, plan: CachePlan, events: Sequence[Event]) -> None:
    """Post, and wait until all of it is answerable."""
    for first in range(0, len(events), _BATCH):
        posted = await _accepted(client, plan.source.name, events[first : first + _BATCH])
        body = {"question": "fees", "at_least": list(posted.tokens), "wait_ms": _WAIT_MS}
        await client.ask("/v1/search", plan.bearers[0], body)


async def _accepted(client: Client, source: str, events: Sequence[Event]) -> Posted:
    until = time.monotonic() + _POST_SECONDS
    while True:
        posted = await client.post(source, events)
        if posted.accepted:
            return posted
        if posted.status not in _NOT_YET or time.monotonic() > until:
            raise TransientError(f"source {source} does not take the documents: {posted.status} {posted.problem}")
        await asyncio.sleep(0.5)


async def _while_changing(client: Client, plan: CachePlan, company: Company, progress: Progress) -> _Run:
    run = _Run()
    queue: asyncio.Queue[tuple[Asked, Reply]] = asyncio.Queue()
    due = poisson(plan.rate, plan.seconds, plan.seed)

    async def ask(asked: Asked) -> Reply:
        reply = await client.ask("/v1/query", plan.bearers[asked.audience], {"question": asked.text})
        queue.put_nowait((asked, reply))
        progress("asking while documents change", queue.qsize() + len(run.given), len(due))
        return reply

    changing = asyncio.create_task(_change(client, plan, company, run.done))
    again = [asyncio.create_task(_compute_anew(client, plan, queue, run.given)) for _ in range(_ANEW_AT_ONCE)]
    try:
        run.samples = await open_loop(ask, questions(plan.documents, plan.seed), due)
        await queue.join()
    finally:
        for task in (changing, *again):
            task.cancel()
        await asyncio.wait([changing, *again])
    if not changing.cancelled():
        changing.result()
    return run


async def _change(client: Client, plan: CachePlan, company: Company, done: Counter[str]) -> None:
    """Change one document after the other, at a steady pace."""
    begun = time.perf_counter()
    for at in poisson(plan.changes, plan.seconds, plan.seed + 1):
        await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
        kind, event = company.change()
        posted = await client.post(plan.source.name, [event])
        done[kind if posted.accepted else "not_accepted"] += 1


async def _compute_anew(
    client: Client, plan: CachePlan, queue: asyncio.Queue[tuple[Asked, Reply]], given: list[Given]
) -> None:
    """Whatever came out of the cache is computed at its position, once for each question and position."""
    while True:
        asked, reply = await queue.get()
        anew = None
        if reply.is_cached:
            anew = next((one.anew for one in given if one.asked == asked and one.seq == reply.seq and one.anew), None)
            if anew is None:
                body = {"question": asked.text, "as_of": reply.seq, "cache": "bypass"}
                found = await client.ask("/v1/query", plan.bearers[asked.audience], body)
                anew = found if found.outcome in (Outcome.ANSWER, Outcome.REFUSAL) else None
        if reply.outcome in (Outcome.ANSWER, Outcome.REFUSAL):
            given.append(Given(asked, reply, anew))
        queue.task_done()


async def _when_still(
    client: Client, plan: CachePlan, progress: Progress
) -> tuple[list[Sample[Asked]], list[Sample[Asked]]]:
    """Cached answers alone: one client, then `clients` of them."""
    hot = list(dict.fromkeys(islice(questions(plan.documents, plan.seed), 10 * _HOT)))[:_HOT]

    async def ask(asked: Asked) -> Reply:
        return await client.ask("/v1/query", plan.bearers[asked.audience], {"question": asked.text})

    await closed_loop(ask, iter(hot), clients=1)
    progress("cached answers", 0, 2)
    alone = await closed_loop(ask, cycle(hot), clients=1, seconds=plan.step_seconds)
    progress("cached answers", 1, 2)
    together = await closed_loop(ask, cycle(hot), clients=plan.clients, seconds=plan.step_seconds)
    progress("cached answers", 2, 2)
    return alone, together


def figures(
    plan: CachePlan, run: _Run, alone: Sequence[Sample[Asked]], together: Sequence[Sample[Asked]], setup: Setup
) -> list[Figure]:
    """What the runs showed. Raises NothingMeasuredError for a run without a single cached answer."""
    base: dict[str, Setting] = {"documents": plan.documents, "askers": len(AUDIENCES), "seed": plan.seed}
    return [
        _changing(plan, run, base, setup),
        _still("one_client", alone, {**base, "clients": 1}, setup),
        _still("several_clients", together, {**base, "clients": plan.clients}, setup),
    ]


def _changing(plan: CachePlan, run: _Run, base: Mapping[str, Setting], setup: Setup) -> Figure:
    verdict = judge(run.given, run.commits, plan.reader)
    hits = _hits(run.samples)
    missed = [sample for sample in run.samples if sample.served and not sample.reply.is_cached]
    stages = {"hit.request": quantiles(sample.latency_ms for sample in hits)}
    with suppress(ValueError):
        stages["computed.server"] = quantiles(sample.reply.timings_ms["total"] for sample in missed)
    return setup.figure(
        "cache.while_changing.server",
        quantiles(sample.reply.timings_ms["total"] for sample in hits),
        "time inside the server of answers out of the cache, timings_ms.total, while documents change",
        stages=stages | by_name(sample.reply.timings_ms for sample in hits),
        outcomes={**counted(run.samples), **_counts(verdict), **{f"change.{kind}": n for kind, n in run.done.items()}},
        settings={
            **base,
            "rate": plan.rate,
            "changes": plan.changes,
            "seconds": plan.seconds,
            "hit_rate": round(verdict.hit_rate, 3),
            "hits_of_oracle": round(verdict.of_oracle, 3),
            "over_purge": round(verdict.could_hit / max(1, verdict.computed), 3),
            "findings": "; ".join(verdict.spoiled[:5]),
        },
        requests_per_s=round(throughput(run.samples), 2),
    )


def _counts(verdict: Verdict) -> dict[str, int]:
    return {
        "cached": verdict.cached,
        "computed": verdict.computed,
        "computed_though_equal": verdict.could_hit,
        "compared": verdict.compared,
        "same": verdict.same,
        "stale": verdict.stale,
        "rule_broken": verdict.rule_broken,
        "unknown_origin": verdict.unknown_origin,
        "ranked_otherwise": verdict.ranked_otherwise,
        "moved_on": verdict.moved_on,
    }


def _still(name: str, samples: Sequence[Sample[Asked]], settings: Mapping[str, Setting], setup: Setup) -> Figure:
    hits = _hits(samples)
    rate = round(throughput(samples), 2)
    latency = quantiles(sample.latency_ms for sample in hits)
    found = counted(samples)
    step = LoadStep(
        clients=int(settings["clients"]),
        requests_per_s=rate,
        shed=found[Outcome.SHED],
        errors=found[Outcome.ERROR],
        p50=latency.p50,
        p99=latency.p99,
    )
    return setup.figure(
        f"cache.{name}.server",
        quantiles(sample.reply.timings_ms["total"] for sample in hits),
        "closed loop on questions whose answers are known, nothing changes: time inside the server, timings_ms.total",
        stages={"request": latency, **by_name(sample.reply.timings_ms for sample in hits)},
        outcomes={**found, "cached": len(hits)},
        settings=settings,
        requests_per_s=rate,
        steps=[step],
    )


def _hits(samples: Sequence[Sample[Asked]]) -> list[Sample[Asked]]:
    hits = [sample for sample in samples if sample.reply.is_cached]
    if not hits:
        raise NothingMeasuredError(
            f"not one of {len(samples)} answers came from the cache: is MILLSTREAM_ANSWER_CACHE_MB 0, or does "
            "millstream_cache_bypasses_total say why?"
        )
    return hits
