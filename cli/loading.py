"""`millstream load DIR --source S`: a folder becomes documents, and only what changed is sent."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.console import JSON, errors_in_one_line, out, plain, show

_NAMED = 5
"""Most files named of what was left out for one reason."""


def load(
    folder: Annotated[Path, typer.Argument(help="the folder; its .millstream.yaml says who may read what")],
    source: Annotated[str, typer.Option("--source", "-s", help="a source of kind files")],
    prune: Annotated[
        bool, typer.Option("--prune", help="delete what is not in the folder, however much it is")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="return when all of it is answerable")] = True,
    as_json: bool = JSON,
) -> None:
    """Load a folder of documents (text, HTML, Office, PDF, mail): sends what changed, deletes what is gone."""
    from dataclasses import asdict

    from cli.folder import load_folder

    with errors_in_one_line():
        done = load_folder(folder, source, prune=prune, wait=wait, quiet=as_json)
        not_taken = (*done.refused, *done.dead)

        def render() -> None:
            out.print(f"{done.sent} sent, {done.unchanged} unchanged, {done.deleted} deleted", end="")
            left = [f"{len(not_taken)} not taken"] if not_taken else []
            left += [f"{len(done.given_up)} not sent again"] if done.given_up else []
            left += [f"{done.discarded} left out (letter discarded)"] if done.discarded else []
            answerable = f", {', '.join(left)}, all others answerable" if left else ", all answerable"
            out.print(answerable if done.waited else "")
            for reason, names in done.skipped.items():
                out.print(f"  left out: {len(names)} ({reason}): {_named(names)}", style="dim", markup=False)
            for line in not_taken:
                out.print("  [red]not taken[/]", end=" ")
                out.print(plain(line), markup=False)
            for line in done.given_up:
                out.print("  [yellow]not sent again[/]", end=" ")
                out.print(plain(line), markup=False)
            if not_taken:
                out.print("  What was loaded of these before is still answered.")
            if done.refused:
                out.print("  Mend what was refused in its file or in .millstream.yaml, and load again.", style="dim")
            if done.dead or done.given_up:
                out.print(
                    "  A changed file is sent by the next load, an unchanged one is not: once the cause is gone,"
                    f" `millstream dlq redrive --source {source}`, or `dlq discard` to hear no more of it.",
                    style="dim",
                )

        show(asdict(done), as_json, render)
        if not_taken or done.given_up:
            raise typer.Exit(1)


def _named(names: Sequence[str]) -> str:
    """The first of them."""
    shown = ", ".join(plain(name) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown}, … (all: --json)"
