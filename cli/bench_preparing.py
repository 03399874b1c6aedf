"""`millstream bench ingest|pii|memory`: what preparing documents costs, in this process: no stack is needed."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cli.bench_shown import looking_at_nothing, run_shown, show_figures, shown_progress
from cli.benching import Seed
from cli.console import JSON, errors_in_one_line

if TYPE_CHECKING:
    from index.embedding.fastembed_model import FastembedEmbedder

PII = (
    "How much personal data in generated texts is found, how much is found that is none, and what looking costs.\n\n"
    "Ten formats (letters, tickets, chats, tables, …) with known values among look-alikes: order numbers, dates, "
    "versions, products, cities. A value counts as touched when part of it is taken out. Needs the extra `ner`; the "
    "stack need not run. Two figures in milliseconds per kilobyte, parsing and cutting included."
)


INGEST = (
    "How many chunks a second preparing makes of documents, against the bare f32 model on the same chunks.\n\n"
    "Generated documents go through the whole of prepare (decode, parse, redact, cut, embed) with its parser "
    "processes, 64 at once, no Kafka and no store; the bare model then embeds the same texts. ratio_to_embedder is "
    "the one over the other: without names of people, and with every kind of personal data (needs the extra `ner`); "
    "then with int8 weights, and how much lower those rank what answers the golden questions."
)


MEMORY = (
    "Whether the memory of a worker stays what it is over many documents.\n\n"
    "Generated documents of eight formats, every tenth broken, go through the whole of prepare with its parser "
    "processes, every kind of personal data looked for (needs the extra `ner`); one text in fifty is embedded by the "
    "model. Memory after each tenth, and how much it rises for each thousand documents in the second half."
)


def ingest(
    documents: Annotated[int, typer.Option("--documents", "-n", min=8, help="generated documents")] = 60,
    seed: Seed = 1,
    as_json: bool = JSON,
) -> None:
    """Chunks a second of preparing, against the bare model."""
    from benchmarks import ingest as benchmark
    from cli.session import open_settings
    from index.embedding.minilm import INT8_MODEL
    from runtime.declarations import load_topics

    with errors_in_one_line():
        plan = benchmark.IngestPlan(documents, seed, load_topics(open_settings()))
        model = _model()
        run_shown(partial(benchmark.measure, plan, model, _model(INT8_MODEL), looking_at_nothing()), as_json)


def memory(
    documents: Annotated[int, typer.Option("--documents", "-n", min=20, help="generated documents")] = 10_000,
    seed: Seed = 1,
    as_json: bool = JSON,
) -> None:
    """Whether the memory of a worker stays what it is over many documents."""
    from benchmarks import memory as benchmark
    from cli.session import open_settings
    from runtime.declarations import load_topics

    with errors_in_one_line():
        plan = benchmark.MemoryPlan(documents, seed, load_topics(open_settings()))
        run_shown(partial(benchmark.measure, plan, _model(), looking_at_nothing()), as_json)


def pii(
    texts: Annotated[int, typer.Option("--texts", "-n", min=20, help="generated texts")] = 1500,
    seed: Seed = 1,
    as_json: bool = JSON,
) -> None:
    """How much personal data is found, how much that is none, and what looking costs."""
    from benchmarks import personal

    with errors_in_one_line():
        model = _model()
        with shown_progress() as progress:
            figures = personal.measure(texts, seed, model, looking_at_nothing(), progress)
        show_figures(figures, as_json)


def _model(name: str | None = None) -> "FastembedEmbedder":
    from cli.session import open_settings
    from index.embedding.fastembed_model import load_embedder
    from index.embedding.minilm import MODEL

    settings = open_settings()
    return load_embedder(name or MODEL, cache_dir=settings.cache_dir, threads=settings.embedding_threads)
