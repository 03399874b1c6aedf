"""`millstream load DIR --source S`: a folder becomes documents, and only what changed is sent."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import JSON, errors_in_one_line, out, show


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
            answerable = f", {len(not_taken)} not taken, all others answerable" if not_taken else ", all answerable"
            out.print(answerable if done.waited else "")
            for reason, count in done.skipped.items():
                out.print(f"  left out: {count} ({reason})", style="dim", markup=False)
            for line in not_taken:
                out.print(f"  [red]not taken[/] {line}")
            if not_taken:
                out.print("  What was loaded of these before is still answered. They are sent again by the next load.")

        show(asdict(done), as_json, render)
        if not_taken:
            raise typer.Exit(1)
