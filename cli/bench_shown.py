"""What every benchmark shows: bars while it measures, then its figures."""

import os
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.console import err, out, show

if TYPE_CHECKING:
    from benchmarks.progress import Progress
    from benchmarks.results import Figure, Setup


def run_shown(work: "Callable[[Progress], Coroutine[object, object, Sequence[Figure]]]", as_json: bool) -> None:
    """Measure with bars, then show the figures."""
    import uvloop

    with shown_progress() as progress:
        figures = uvloop.run(work(progress))
    show_figures(figures, as_json)


def looking_at_nothing() -> "Callable[[], Setup]":
    """The same where no process of the stack takes part."""
    from benchmarks.machine import load_average, setup

    load_before = load_average()
    return lambda: setup({"this": os.getpid()}, load_before)


@contextmanager
def shown_progress() -> "Iterator[Progress]":
    """A bar a step on standard error, with rate and time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bars:
        known: dict[str, TaskID] = {}

        def report(step: str, done: float, total: float) -> None:
            if step not in known:
                known[step] = bars.add_task(step, total=total, rate="")
            task = bars.tasks[known[step]]
            speed = f"{task.speed:.0f}/s" if task.speed else ""
            bars.update(known[step], completed=done, rate=speed)

        yield report


def show_figures(figures: "Sequence[Figure]", as_json: bool) -> None:
    show([figure.published() for figure in figures], as_json, _renderer(figures))


def _renderer(figures: "Sequence[Figure]") -> Callable[[], None]:
    def render() -> None:
        from rich.table import Table

        table = Table("figure", "n", "p50", "p95", "p99", "unit", "requests/s", box=None, pad_edge=False)
        for figure in figures:
            rate = "" if figure.requests_per_s is None else f"{figure.requests_per_s:.1f}"
            times = (f"{value:.1f}" for value in (figure.p50, figure.p95, figure.p99))
            table.add_row(figure.name, str(figure.n), *times, figure.unit, rate)
        out.print(table)
        _render_beside(figures)

    return render


def _render_beside(figures: "Sequence[Figure]") -> None:
    for figure in figures:
        out.print()
        out.print(figure.name, style="bold")
        out.print(f"  {figure.measures}", style="dim", markup=False)
        out.print("  " + ", ".join(f"{name} {count}" for name, count in figure.outcomes.items()), markup=False)
        for name, stage in figure.stages.items():
            out.print(f"  {name:<32} p50 {stage.p50:8.2f}  p95 {stage.p95:8.2f}  p99 {stage.p99:8.2f}", markup=False)
        for name, share in (figure.shares or {}).items():
            out.print(f"  {name:<32} {share:8.3f}", markup=False)
        for step in figure.steps or ():
            out.print(f"  {step.clients:>3} clients  {step.requests_per_s:7.1f} requests/s  {step.shed} turned away")
    last = figures[-1]
    out.print()
    memory = ", ".join(f"{name} {size:.0f} MB" for name, size in last.rss_mb.items())
    out.print(f"memory: {memory}", style="dim", markup=False)
    machine = last.machine
    if last.load_before > machine.cores / 4:
        out.print(f"[yellow]the machine was busy before: load {last.load_before:.1f} on {machine.cores} cores[/]")
    out.print(
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_mb} MB, Python {machine.python}; commit {last.commit}; "
        f"load generator: {last.load_generator}",
        style="dim",
        markup=False,
    )
