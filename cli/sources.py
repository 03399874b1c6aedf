"""`millstream source list|apply|clear`: who sends documents, making an edit of sources.yaml take effect, and deleting
all that one of them sent.
"""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import JSON, err, errors_in_one_line, out, show

app = typer.Typer(help="the declared sources of documents", no_args_is_help=True)


@app.command("list")
def list_(as_json: bool = JSON) -> None:
    """List the sources that are in force."""
    from cli.session import open_settings
    from runtime.declarations import load_sources

    with errors_in_one_line():
        declared = load_sources(open_settings()).sources

        def render() -> None:
            for source in declared:
                acl = ", ".join(source.default_acl) or "nobody"
                out.print(
                    f"{source.name:<16} {source.kind:<9} tenant {source.tenant:<12} default acl: {acl}", markup=False
                )

        show([source.model_dump(mode="json") for source in declared], as_json, render)


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="the file to apply")] = Path("sources.yaml"), as_json: bool = JSON
) -> None:
    """Check an edited sources.yaml, create what it needs (topics, tenants, signing secrets, connectors) and put it in
    force.
    """
    from cli.installing import apply_sources

    with errors_in_one_line():
        in_force = apply_sources(file, lambda line: None if as_json else err.print(line, style="dim", markup=False))
        applied, connectors = in_force.sources, in_force.connectors

        def render() -> None:
            out.print(f"[green]applied[/] {len(applied.sources)} sources of {len(applied.tenants)} tenants")
            for source in connectors.removed:
                out.print(f"{source}: connector removed", markup=False)
            for note in in_force.notes:
                out.print(note, style="yellow", markup=False)

        found = {
            "sources": [source.name for source in applied.sources],
            "tenants": list(applied.tenants),
            "connectors": {name: action.value for name, action in connectors.actions.items()},
            "connectors_removed": list(connectors.removed),
            "notes": list(in_force.notes),
        }
        show(found, as_json, render)


@app.command()
def clear(
    name: Annotated[str, typer.Argument(help="the source")],
    version: Annotated[
        str | None, typer.Option("--version", help="what is older goes: the source's own number, or an LSN")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    as_json: bool = JSON,
) -> None:
    """Delete every document of a source that is older than now, or than --version.

    Nothing is touched at the source: what it sends again, or a captured row that changes, is there again.
    """
    from dataclasses import asdict

    from cli.clearing import clear_source
    from schemas.errors import ConfigError

    def confirm(documents: int) -> None:
        if yes or documents == 0:
            return
        if as_json:
            raise ConfigError(f"{documents} documents of source {name} would go: repeat with --yes")
        typer.confirm(f"Delete {documents} documents of source {name}?", abort=True, err=True)

    with errors_in_one_line(), err.status(f"reading what the log holds of {name}") as status:
        read = 0

        def progress(more: int) -> None:
            nonlocal read
            read += more
            status.update(f"{name}: {read:,} records read or deleted")

        def asked(documents: int) -> None:
            status.stop()
            confirm(documents)
            status.start()

        cleared = clear_source(name, version, asked, progress)
        status.stop()
        show(asdict(cleared), as_json, lambda: out.print(f"[green]cleared[/] {cleared.documents} documents of {name}"))
