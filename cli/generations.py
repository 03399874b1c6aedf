"""`millstream replay` and `millstream generation list|switch|retire`: the index built anew from the log, and which
build answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli.console import JSON, err, errors_in_one_line, out, show

if TYPE_CHECKING:
    from cli.rebuilding import Watched

T = TypeVar("T")

app = typer.Typer(help="builds of the index: which there are, and which one answers", no_args_is_help=True)

Quiet = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
_LOOK_SECONDS = 0.25


def replay(
    incarnation: Annotated[
        str | None, typer.Option("--incarnation", help="build the live generation anew under this name, e.g. i2")
    ] = None,
    generation: Annotated[
        str | None, typer.Option("--generation", help="prepare every document again by today's recipe, e.g. g2")
    ] = None,
    then_switch: Annotated[bool, typer.Option("--switch/--no-switch", help="answer from it once it has caught up")] = (
        True
    ),
    skip: Annotated[
        list[str] | None, typer.Option("--skip", help="leave out the record at these coordinates; may be repeated")
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Build the index anew from the log while everything goes on, and switch to it. Ctrl-C is safe: the same command
    goes on where it was.
    """
    from cli.rebuilding import Watched, rebuild, target_of
    from cli.session import open_environment, open_settings
    from schemas.errors import ConfigError
    from schemas.records import Coordinates

    with errors_in_one_line():
        try:
            skipped = [Coordinates.parse(at) for at in skip or ()]
        except ValueError:
            raise ConfigError("--skip takes coordinates as they are printed: topic/partition/offset") from None
        watched = Watched()

        async def run() -> dict[str, object]:
            settings = await target_of(open_settings(), generation, incarnation)
            done = await rebuild(settings, open_environment(), skipped, watched, then_switch=then_switch)
            return asdict(done)

        done = asyncio.run(_shown(run, watched, quiet=as_json))

        def render() -> None:
            out.print(f"[green]built[/] {done['build']}: {done['records']} records, {done['chunks']} chunks", end="")
            out.print(f" in {done['seconds']} s", end="")
            out.print("; it answers now" if done["switched"] else "; millstream generation switch makes it answer")

        show(done, as_json, render)


@app.command("list")
def list_(as_json: bool = JSON) -> None:
    """List the builds there are."""
    from cli.session import open_settings
    from streams.generations import read_catalogue

    with errors_in_one_line():
        catalogue = read_catalogue(open_settings())
        live = catalogue.live
        found = [
            {
                "build": str(build.identity),
                "state": _state(build.is_retired, build.is_covered, build == live),
                "recipe": build.record.recipe,
                "at": build.record.at,
            }
            for build in sorted(catalogue.builds.values(), key=lambda build: build.at)
        ]

        def render() -> None:
            for one in found:
                out.print(f"{one['build']:<16} {one['state']:<9} recipe {one['recipe']}  {one['at']:%Y-%m-%d %H:%M}")

        show(found, as_json, render)


def _state(is_retired: bool, is_covered: bool, is_live: bool) -> str:
    if is_retired:
        return "retired"
    return "live" if is_live else "standby" if is_covered else "building"


@app.command()
def switch(
    name: Annotated[str, typer.Argument(help="g2-i1; or i2, of the live generation; or g2, where it has one build")],
    as_json: bool = JSON,
) -> None:
    """Answer from another build, as soon as it has what the live one has; back likewise."""
    from cli import rebuilding
    from cli.session import open_settings

    with errors_in_one_line():
        watched = rebuilding.Watched()
        build = asyncio.run(_shown(lambda: rebuilding.switch(open_settings(), name, watched), watched, quiet=as_json))
        show({"live": str(build.identity)}, as_json, lambda: out.print(f"[green]live[/] {build.identity}"))


@app.command()
def retire(
    name: Annotated[str, typer.Argument(help="the build, as for `switch`")], yes: Quiet = False, as_json: bool = JSON
) -> None:
    """Stop a build that does not answer and drop its collections. Its name is not used again."""
    from cli import rebuilding
    from cli.session import open_settings
    from schemas.errors import ConfigError

    with errors_in_one_line():
        if not yes and as_json:
            raise ConfigError(f"the build {name} would be dropped: repeat with --yes")
        if not yes:
            rebuilding.retirable(open_settings(), name)
            typer.confirm(f"Drop the build {name}?", abort=True, err=True)
        build = asyncio.run(rebuilding.retire(open_settings(), name))
        show({"retired": str(build.identity)}, as_json, lambda: out.print(f"[green]retired[/] {build.identity}"))


async def _shown(run: Callable[[], Awaitable[T]], watched: "Watched", *, quiet: bool) -> T:
    """Run, and show how far it is meanwhile."""
    if quiet or not err.is_terminal:
        return await run()
    from rich.live import Live

    from cli.rebuilding_view import table_of

    with Live(console=err, transient=True, auto_refresh=False) as live:

        async def refresh() -> None:
            while True:
                live.update(table_of(watched), refresh=True)
                await asyncio.sleep(_LOOK_SECONDS)

        showing = asyncio.create_task(refresh())
        try:
            return await run()
        finally:
            showing.cancel()
