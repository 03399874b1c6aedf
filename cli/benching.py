"""`millstream bench`: measures the running stack. The benchmarks themselves lie in benchmarks/."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.bench_shown import run_shown
from cli.console import JSON, errors_in_one_line

if TYPE_CHECKING:
    from benchmarks.freshness import FreshnessPlan
    from benchmarks.progress import Progress
    from benchmarks.results import Figure, Setup
    from runtime.settings import Settings
    from schemas.sources import SourceConfig

app = typer.Typer(
    help="measure the running stack; the load generator shares its machine, and the result says so",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_FRESHNESS = (
    "How soon a change posted to a webhook, or a row written to a captured table, is answerable, on an idle stack.\n\n"
    "Posts signed one-chunk documents, one every 150 to 300 ms, and with each 202's token at once asks a question "
    "that the document answers (at_least, wait_ms). Measured from reading the 202 to reading the answer: the question "
    "itself is in it, so it is an upper bound. Beside it stand 202 to committed_at, as the commit states it, and the "
    "stages received, prepared, committed, answered. Embedding is done anew for every document. About a minute and a "
    "half; the documents are deleted afterwards.\n\n"
    "With a source of kind postgres the documents are rows inserted into its table, their tokens are made from the LSN "
    "before the write, and a sample begins when the transaction is committed."
)
_QUERY = (
    "How long an uncached extractive answer takes, alone and under load.\n\n"
    "The corpus is generated and goes in through the webhook once, into a tenant of its own (bench-20000), embedding "
    "included: some minutes for 20,000 chunks, much less for --chunks 2000. Later runs use it again; millstream down "
    "--purge removes it.\n\n"
    "Then: one client in a closed loop (time inside the server, and of the whole request); an open loop with Poisson "
    "arrivals, latencies counted from the moment a request was due; 1, 2, 4, … clients until throughput stops rising "
    "or requests are turned away. Times of each step and the share of right answers stand beside."
)

_CHURN = (
    "Whether a corpus that changes all day stays as fast as one that does not.\n\n"
    "Writes a generated corpus and many versions of every document to an index of its own in the running Weaviate, "
    "with a writer of its own that sweeps between its commits; asks the same questions before, right after the last "
    "version and when everything superseded is swept, and each time of a corpus beside it that never changed. Once "
    "without history, once with 24 hours. Published are the times, p50_ratio and p99_ratio to the unchanged corpus, "
    "and the rows in the store. Retrieval alone, in this process. Some minutes; nothing is left behind."
)

_REBUILD = (
    "How fast the index is built from the log, beside inserting the same chunk rows bare.\n\n"
    "Appends generated mutations, vectors and all, to a topic of their own; then, taking turns, builds an index of its "
    "own from them, as `millstream replay` does, and inserts the same chunk rows into another one in big batches. "
    "Published are chunk rows a second of the build, of the bare inserts (bare_rows_per_s), and their ratio; no "
    "embedding model is loaded. Some minutes; nothing is left behind."
)

_CACHE = (
    "What the answer cache gives while everything changes, and how fast it is when nothing does.\n\n"
    "Documents of a tenant of its own (bench-cache) are edited, deleted, superseded and given to other groups through "
    "the webhook, while askers of different groups ask by Zipf's law. Every answer out of the cache is computed anew "
    "at its position; published are how many were stale (0), the hit rate beside that of an oracle which knows when "
    "an answer would come out the same, and what was purged though nothing changed. Then cached answers alone: one "
    "client, and several in closed loops. About a minute and a half; the documents are deleted afterwards."
)

_DELETE = (
    "How soon a delete and a revocation are seen, idle or ahead of a backlog.\n\n"
    "Posts one-chunk documents; then, one every 150 to 300 ms, deletes one or takes its readers away and asks "
    "/v1/search or /v1/query until it is gone: measured from reading the 202 to reading the first answer without it. "
    "With --backlog so many documents wait to be parsed meanwhile, and now and then a document of a thousand chunks is "
    "committed among them. Beside it stands 202 to committed_at of the hide. Everything is deleted afterwards."
)

CORPUS = "bench-{chunks}"
"""Tenant and source of a generated corpus: one for each size, so that none disturbs another."""

CACHE_CORPUS = "bench-cache"

_TOKEN_TTL = timedelta(hours=1)
_READER = "bench"

Seed = Annotated[int, typer.Option("--seed", help="of arrivals, documents and questions")]
Ways = Annotated[Literal["both", "search", "query"], typer.Option("--ask", help="ask /v1/search, /v1/query or both")]


@app.command(help=_FRESHNESS)
def freshness(
    source: Annotated[
        str, typer.Option("--source", "-s", help="a declared source of kind webhook or postgres")
    ] = "helpdesk",
    events: Annotated[int, typer.Option("--events", "-n", min=1, help="samples for each way of asking")] = 200,
    ask: Ways = "both",
    wait_ms: Annotated[int, typer.Option("--wait-ms", min=1, max=10_000, help="how long an answer may wait")] = 5000,
    seed: Seed = 1,
    keep: Annotated[bool, typer.Option("--keep", help="leave the posted documents in the index")] = False,
    as_json: bool = JSON,
) -> None:
    """How soon a change posted to a webhook, or a row of a captured table, is answerable, on an idle stack."""
    from benchmarks import freshness as benchmark

    with errors_in_one_line():
        settings = running_settings()
        declared = _source_of(settings, source, "webhook", "postgres")
        plan = benchmark.FreshnessPlan(
            source=declared,
            bearer=_bearer(settings, declared),
            events=events,
            ways=("search", "query") if ask == "both" else (ask,),
            wait_ms=wait_ms,
            seed=seed,
            keep=keep,
        )
        run_shown(partial(_freshness, settings, plan, looking_around()), as_json)


async def _freshness(
    settings: "Settings", plan: "FreshnessPlan", setup: "Callable[[], Setup]", progress: "Progress"
) -> "list[Figure]":
    """Through the webhook, or as rows of the source's table."""
    from benchmarks import freshness as benchmark

    if plan.source.kind != "postgres":
        return await benchmark.measure(settings, plan, setup, progress)
    from benchmarks.rows import Rows
    from cli.session import open_environment
    from connectors.debezium.postgres import dsn_of
    from runtime.freshness_token import token_key

    key = token_key(settings.token_key.get_secret_value())
    async with Rows(plan.source, dsn_of(plan.source, open_environment()).text, key) as rows:
        return await benchmark.measure(settings, plan, setup, progress, rows)


@app.command(help=_QUERY)
def query(
    chunks: Annotated[int, typer.Option("--chunks", min=100, max=400_000, help="size of the corpus")] = 20_000,
    questions: Annotated[int, typer.Option("--questions", "-n", min=1, help="questions of the single client")] = 500,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="requests per second of the open loop")] = 20.0,
    seconds: Annotated[float, typer.Option("--seconds", min=1.0, help="how long the open loop runs")] = 30.0,
    clients: Annotated[int, typer.Option("--clients", min=1, max=256, help="most clients of the saturation run")] = 32,
    seed: Seed = 1,
    as_json: bool = JSON,
) -> None:
    """How long an uncached extractive answer takes, alone and under load."""
    from benchmarks import query as benchmark

    with errors_in_one_line():
        settings = running_settings()
        name = CORPUS.format(chunks=chunks)
        declared = _corpus_source(settings, name)
        plan = benchmark.QueryPlan(
            source=declared,
            bearer=_bearer(settings, declared),
            chunks=chunks,
            questions=questions,
            rate=rate,
            seconds=seconds,
            most_clients=clients,
            seed=seed,
        )
        run_shown(partial(benchmark.measure, settings, plan, looking_around()), as_json)


@app.command(help=_CHURN)
def churn(
    documents: Annotated[int, typer.Option("--documents", min=10, max=20_000, help="documents of the corpus")] = 500,
    versions: Annotated[int, typer.Option("--versions", min=1, max=1000, help="new versions of each")] = 50,
    questions: Annotated[int, typer.Option("--questions", "-n", min=1, help="questions at each moment")] = 300,
    seed: Seed = 1,
    as_json: bool = JSON,
) -> None:
    """Whether a corpus that changes all day stays as fast as one that does not."""
    from benchmarks import churn as benchmark

    with errors_in_one_line():
        settings = running_settings()
        plan = benchmark.ChurnPlan(documents=documents, versions=versions, questions=questions, seed=seed)
        run_shown(partial(benchmark.measure, settings, plan, looking_around()), as_json)


@app.command(help=_REBUILD)
def rebuild(
    documents: Annotated[int, typer.Option("--documents", min=10, max=1_000_000, help="documents of the log")] = 4000,
    chunks: Annotated[int, typer.Option("--chunks", min=1, max=4000, help="chunks of each")] = 5,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="how often each is measured, taking turns")] = 2,
    seed: Seed = 1,
    as_json: bool = JSON,
) -> None:
    """How fast the index is built from the log, beside inserting the same rows bare."""
    from benchmarks import rebuild as benchmark

    with errors_in_one_line():
        settings = running_settings()
        plan = benchmark.RebuildPlan(documents=documents, chunks=chunks, rounds=rounds, seed=seed)
        run_shown(partial(benchmark.measure, settings, plan, looking_around()), as_json)


@app.command(help=_CACHE)
def cache(
    documents: Annotated[int, typer.Option("--documents", min=5, max=5000, help="documents that change")] = 60,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="questions per second")] = 15.0,
    changes: Annotated[float, typer.Option("--changes", min=0.01, help="changes per second")] = 1.0,
    seconds: Annotated[float, typer.Option("--seconds", min=5.0, help="how long documents change")] = 60.0,
    clients: Annotated[int, typer.Option("--clients", min=1, max=256, help="of the closed loop at the end")] = 16,
    seed: Seed = 1,
    as_json: bool = JSON,
) -> None:
    """What the answer cache gives while everything changes, and how fast it is when nothing does."""
    from benchmarks import cache as benchmark
    from benchmarks.cache_changes import AUDIENCES
    from serving.auth import issue_token

    with errors_in_one_line():
        settings = running_settings()
        declared = _corpus_source(settings, CACHE_CORPUS)
        plan = benchmark.CachePlan(
            source=declared,
            bearers=[issue_token(settings, declared.tenant, _READER, groups, ttl=_TOKEN_TTL) for groups in AUDIENCES],
            reader=_READER,
            documents=documents,
            rate=rate,
            changes=changes,
            seconds=seconds,
            clients=clients,
            seed=seed,
        )
        run_shown(partial(benchmark.measure, settings, plan, looking_around()), as_json)


@app.command(help=_DELETE)
def delete(
    source: Annotated[str, typer.Option("--source", "-s", help="a declared webhook source")] = "helpdesk",
    samples: Annotated[int, typer.Option("--samples", "-n", min=1, help="of each operation and way of asking")] = 50,
    backlog: Annotated[int, typer.Option("--backlog", min=0, max=100_000, help="documents that wait to be parsed")] = 0,
    seed: Seed = 1,
    keep: Annotated[bool, typer.Option("--keep", help="leave what is posted to the stages and the index")] = False,
    as_json: bool = JSON,
) -> None:
    """How soon a delete and a revocation are seen, idle or ahead of a backlog."""
    from benchmarks import delete as benchmark

    with errors_in_one_line():
        settings = running_settings()
        declared = _webhook_source(settings, source)
        bearer = _bearer(settings, declared)
        plan = benchmark.DeletePlan(declared, bearer, samples=samples, backlog=backlog, seed=seed, keep=keep)
        run_shown(partial(benchmark.measure, settings, plan, looking_around()), as_json)


def running_settings() -> "Settings":
    """Settings of the running stack. Raises ConfigError where it is not up."""
    from cli.session import open_profile, open_settings, state_dir
    from infra.local.status import read_status
    from schemas.errors import ConfigError

    open_profile()
    if not read_status(state_dir()).ready:
        raise ConfigError("the stack is not up: run `millstream up` first, `millstream status` says what is missing")
    return open_settings()


def _webhook_source(settings: "Settings", name: str) -> "SourceConfig":
    return _source_of(settings, name, "webhook")


def _source_of(settings: "Settings", name: str, *kinds: str) -> "SourceConfig":
    """The declared source of that name, if of one of these kinds. Raises ConfigError."""
    from runtime.declarations import load_sources
    from schemas.errors import ConfigError

    declared = load_sources(settings)
    found = declared.get(name)
    if found is None or found.kind not in kinds:
        known = ", ".join(source.name for source in declared.sources if source.kind in kinds) or "none"
        raise ConfigError(f"{name!r} is no declared {' or '.join(kinds)} source; there are: {known}")
    if not found.default_acl:
        raise ConfigError(f"source {name} gives nobody access by default, so nothing could be asked: choose another")
    return found


def _corpus_source(settings: "Settings", name: str) -> "SourceConfig":
    """The corpus's source, put in force beside the declared ones where it is not yet; sources.yaml stays as it is."""
    from cli.installing import declare_beside
    from schemas.sources import SourceConfig

    return declare_beside(settings, SourceConfig(name=name, tenant=name, kind="webhook", default_acl=("public",)))


def _bearer(settings: "Settings", source: "SourceConfig") -> str:
    """A token of somebody who may read what the source brings in by default."""
    from schemas.identity import PUBLIC, USER_PREFIX
    from serving.auth import issue_token

    groups = [entry for entry in source.default_acl if entry != PUBLIC and not entry.startswith(USER_PREFIX)]
    users = [entry.removeprefix(USER_PREFIX) for entry in source.default_acl if entry.startswith(USER_PREFIX)]
    return issue_token(settings, source.tenant, [*users, _READER][0], groups, ttl=_TOKEN_TTL)


def looking_around() -> "Callable[[], Setup]":
    """Notes how busy the machine is now; the result describes it and the memory of every process when called."""
    from benchmarks.machine import load_average, setup
    from cli.session import state_dir
    from infra.local.status import read_status

    load_before = load_average()

    def look() -> "Setup":
        units = read_status(state_dir()).units
        return setup({unit.name: unit.pid for unit in units if unit.pid is not None}, load_before)

    return look
