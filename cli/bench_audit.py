"""`millstream bench audit`: what the audit costs beside commits and questions, and how long one of everything takes."""

from functools import partial
from typing import Annotated

import typer

from cli.bench_shown import run_shown
from cli.benching import Seed, looking_around, running_settings
from cli.console import JSON, errors_in_one_line

AUDIT = (
    "What the audit costs beside commits and questions, and how long one of everything takes.\n\n"
    "Writes generated documents to an index of its own in the running Weaviate; then, taking turns, one writer and one "
    "reader work with and without an audit beside them, at the share of its time that `apply` gives it by default. "
    "ingest_ratio and query_ratio are the one over the other. Then one audit of all rows alone. The store's part: no "
    "log is read. Some minutes; nothing is left behind."
)


def audit(
    documents: Annotated[int, typer.Option("--documents", min=64, max=200_000, help="documents of the corpus")] = 4000,
    chunks: Annotated[int, typer.Option("--chunks", min=1, max=4000, help="chunks of each")] = 5,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="how often each is measured, taking turns")] = 6,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="of a round")] = 10.0,
    seed: Seed = 1,
    as_json: bool = JSON,
) -> None:
    """What the audit costs, and how long one takes."""
    from benchmarks import audit as benchmark
    from runtime.declarations import load_topics

    with errors_in_one_line():
        settings = running_settings()
        plan = benchmark.AuditPlan(
            load_topics(settings),
            documents,
            chunks,
            rounds,
            seconds,
            share=settings.audit_share or 0.04,
            seed=seed,
        )
        run_shown(partial(benchmark.measure, settings, plan, looking_around()), as_json)
