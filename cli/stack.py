"""`millstream up|down|status|logs|doctor`: the project's own stack on loopback."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli.console import JSON, errors_in_one_line, out, show

if TYPE_CHECKING:
    from infra.local.doctor import Finding


def up(
    only: Annotated[str, typer.Option("--only", help="these parts alone, comma-separated, without Millstream")] = "",
    as_json: bool = JSON,
) -> None:
    """Start everything on loopback, fetching parts once into the user's cache; idempotent. Ctrl-C takes it down
    again.
    """
    import orjson

    from cli.running import bring_up
    from cli.session import state_dir
    from infra.local.status import read_status

    with errors_in_one_line():
        was_up = bring_up(tuple(only.split(",")) if only else (), quiet=as_json)
        status = read_status(state_dir())

        def render() -> None:
            addresses = {unit.name: unit.address for unit in status.units}
            out.print("[green]up[/] already" if was_up else "[green]up[/]")
            for name, what in (("api", "questions"), ("ingest", "webhooks")):
                if name in addresses:
                    out.print(f"  {what:<10} {addresses[name]}")
            out.print("  next       millstream load DIR --source NAME, then millstream ask QUESTION")

        show(orjson.loads(status.as_json()), as_json, render)


def down(
    purge: Annotated[bool, typer.Option("--purge", help="remove the data, keys and logs as well")] = False,
    as_json: bool = JSON,
) -> None:
    """Stop everything; the data stays unless --purge."""
    from cli.running import take_down

    with errors_in_one_line():
        ran = take_down(purge=purge)

        def render() -> None:
            out.print(("stopped" if ran else "nothing ran") + (", data removed" if purge else ""))

        show({"stopped": ran, "purged": purge}, as_json, render)


def status(as_json: bool = JSON) -> None:
    """Show what runs, where, and where the keys lie; exit 1 when not all of it is ready."""
    import orjson

    from cli.captured import as_checks, captured_findings
    from cli.running import describe
    from cli.session import state_dir
    from infra.local.status import read_status

    with errors_in_one_line():
        found = read_status(state_dir())
        captured = captured_findings() if found.running else ()

        def render() -> None:
            for unit in found.units:
                out.print(describe(unit))
            if not found.running:
                out.print("not running: millstream up")
            for check in as_checks(captured):
                print_check(check)
            out.print(f"state {found.state_dir}  keys {found.secrets}", style="dim", markup=False)

        sources = [asdict(finding) for finding in captured]
        show(orjson.loads(found.as_json()) | {"captured": sources}, as_json, render)
        if not found.ready:
            raise typer.Exit(1)


def print_check(check: "Finding") -> None:
    """One line, and what to do about it."""
    mark = "[green]ok[/]     " if check.ok else "[red]missing[/]"
    out.print(f"{mark} {check.name:<22} {escape(check.found)}")
    if check.remedy:
        out.print(f"        → {check.remedy}", style="yellow", markup=False)


def logs(
    name: Annotated[
        str,
        typer.Argument(help="kafka, weaviate, postgres, connect, prepare, apply, hide, capture, builds, ingest, api"),
    ],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="how many of the last lines")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on as lines come; Ctrl-C ends it")] = False,
) -> None:
    """Print the last lines of a process's log."""
    from cli.following import print_log

    with errors_in_one_line():
        print_log(name, lines, follow=follow)


def doctor(as_json: bool = JSON) -> None:
    """Say on one screen what is missing and what to do; exit 1 when something is."""
    import os

    from cli.captured import as_checks, captured_findings
    from cli.session import state_dir
    from infra.local.doctor import examine
    from infra.local.status import read_status

    with errors_in_one_line():
        checks = examine(state_dir(), os.environ)
        if read_status(state_dir()).running:
            checks += as_checks(captured_findings())

        def render() -> None:
            for check in checks:
                print_check(check)

        show([asdict(check) for check in checks], as_json, render)
        if not all(check.ok for check in checks):
            raise typer.Exit(1)


def bootstrap() -> None:
    """Create what is missing of topics, index and tenants; run by `millstream up` before its processes start."""
    import asyncio

    from cli.installing import install
    from runtime.declarations import load_sources
    from runtime.settings import load_settings

    with errors_in_one_line():
        settings = load_settings()
        asyncio.run(install(settings, load_sources(settings)))
