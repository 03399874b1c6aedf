"""`millstream`: every verb an operator or a new user needs. Commands import what they run when they run."""

import typer

from cli import (
    asking,
    audit,
    bench_audit,
    bench_preparing,
    benching,
    changes,
    dead_letters,
    demo,
    evaluating,
    generations,
    keys,
    loading,
    sources,
    stack,
    tokens,
    topics,
)
from cli.console import errors_in_one_line

app = typer.Typer(
    name="millstream",
    help="Retrieval and answers that stay true to sources that change all the time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command("up")(stack.up)
app.command("down")(stack.down)
app.command("status")(stack.status)
app.command("logs")(stack.logs)
app.command("doctor")(stack.doctor)
app.command("load")(loading.load)
app.command("ask")(asking.ask)
app.command("search")(asking.search)
app.command("changes")(changes.changes)
app.command("demo")(demo.demo)
app.command("replay")(generations.replay)
app.command("audit")(audit.audit)
app.command("eval")(evaluating.evaluate)
app.command("bootstrap", hidden=True)(stack.bootstrap)
app.add_typer(tokens.app, name="token")
app.add_typer(keys.app, name="key")
app.add_typer(sources.app, name="source")
app.add_typer(topics.app, name="topics")
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(generations.app, name="generation")
benching.app.command("ingest", help=bench_preparing.INGEST)(bench_preparing.ingest)
benching.app.command("pii", help=bench_preparing.PII)(bench_preparing.pii)
benching.app.command("memory", help=bench_preparing.MEMORY)(bench_preparing.memory)
benching.app.command("audit", help=bench_audit.AUDIT)(bench_audit.audit)
app.add_typer(benching.app, name="bench")


def main() -> None:
    """Entry point of the `millstream` script and of `python -m cli`."""
    with errors_in_one_line():
        app(standalone_mode=True)


if __name__ == "__main__":
    main()
