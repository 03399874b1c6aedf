"""Brings the project's processes up and down, for `millstream up|down` and the demo."""

import os
from collections.abc import Callable
from pathlib import Path

from cli.console import err
from cli.installing import apply_sources, check_change, connect_sources, read_sources
from cli.session import open_profile, state_dir
from infra.local import launch
from infra.local import profile as profiles
from infra.local.profile import write_private
from infra.local.status import State, Status, UnitStatus
from schemas.errors import MillstreamError
from schemas.sources import parse_sources

SOURCES = Path("sources.yaml")
EXAMPLE = Path(__file__).parent.parent / "sources.example.yaml"

_MARKS = {
    State.BUILDING: "[cyan]building[/]",
    State.STARTING: "[cyan]starting[/]",
    State.READY: "[green]ready[/]",
    State.FAILED: "[red]failed[/]",
    State.STOPPED: "[dim]stopped[/]",
}


def bring_up(only: tuple[str, ...] = (), *, quiet: bool = False) -> bool:
    """Start everything, showing progress on standard error; returns whether it was up already. Raises
    MillstreamError.
    """
    folder = state_dir()
    was_up = launch.read_status(folder).ready
    profiles.load_or_create(folder, os.environ)
    declare_sources(running=launch.read_status(folder).running)
    launch.up(folder, launch.ignore if quiet else _progress(), only=only, services=not only)
    if not only:
        connect_declared(quiet=quiet)
    return was_up


def connect_declared(*, quiet: bool) -> None:
    """Apply the connectors; what one of them refuses is said and keeps nothing else from running."""

    def report(line: str) -> None:
        if not quiet:
            err.print(line, style="dim", markup=False)

    try:
        connect_sources(report)
    except MillstreamError as error:
        err.print(str(error), style="yellow", markup=False)


def declare_sources(*, running: bool) -> None:
    """Put the project's sources.yaml in force, made from the example where the project has none yet."""
    if not SOURCES.exists() and EXAMPLE.exists():
        SOURCES.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
        err.print(f"[dim]created {SOURCES} from {EXAMPLE.name}: edit it, then `millstream source apply`[/]")
    wanted, text = read_sources(SOURCES)
    profile = open_profile()
    before = profile.sources_file.read_text(encoding="utf-8") if profile.sources_file.exists() else None
    if before == text:
        return
    if running:
        apply_sources(SOURCES)
        return
    if before is not None:
        check_change(parse_sources(before), wanted)
    profile.ensure_webhook_secrets(source.name for source in wanted.sources if source.kind == "webhook")
    write_private(profile.sources_file, text)


def take_down(*, purge: bool = False) -> bool:
    """Stop everything; returns whether anything ran."""
    return launch.down(state_dir(), purge)


def describe(unit: UnitStatus) -> str:
    """One line about a unit, for a person."""
    share = f" {unit.progress:.0%}" if unit.progress is not None else ""
    restarts = f"  restarted {unit.restarts}x" if unit.restarts else ""
    message = f"  {unit.message}" if unit.message else ""
    pid = f"  pid {unit.pid}" if unit.pid else ""
    return f"{unit.name:<10} {_MARKS[unit.state]}{share}  {unit.address}{pid}{restarts}[dim]{message}[/]"


def _progress() -> Callable[[Status], None]:
    """Prints each unit's line when its state changes, and its progress now and then."""
    shown: dict[str, tuple[State, str]] = {}

    def report(status: Status) -> None:
        for unit in status.units:
            seen = (unit.state, unit.message if unit.state is State.BUILDING else "")
            if shown.get(unit.name) != seen and not (unit.state is State.STOPPED and unit.name not in shown):
                shown[unit.name] = seen
                err.print(describe(unit))

    return report
