"""How far a rebuild is, for a person: each partition, and how long the rest may take."""

import time
from dataclasses import dataclass

from rich.table import Table

from cli.rebuilding import Watched


@dataclass(frozen=True, slots=True)
class Pace:
    """Since the step began."""

    per_second: float
    left_seconds: float | None
    """None while nothing is done yet."""


def pace(done: int, total: int, seconds: float) -> Pace:
    """Offsets done of `total` in so many seconds."""
    per_second = done / seconds if seconds > 0 else 0.0
    return Pace(per_second, (total - done) / per_second if per_second > 0 else None)


def table_of(watched: Watched) -> Table:
    """One row a partition."""
    spans = watched.progress.spans
    done = watched.done
    if watched.step == "build":
        done = {number: (span.applied - span.begin, span.end - span.begin) for number, span in spans.items()}
    begun = watched.began(time.monotonic())
    whole = pace(sum(part for part, _ in done.values()), sum(total for _, total in done.values()), begun)
    left = "" if whole.left_seconds is None else f", {whole.left_seconds:,.0f} s left"
    table = Table(title=f"{watched.step}: {whole.per_second:,.0f} records/s{left}", title_justify="left", box=None)
    for name in ("partition", "done", "of"):
        table.add_column(name, justify="right")
    for number, (part, total) in sorted(done.items()):
        table.add_row(str(number), f"{part:,}", f"{total:,}")
    return table
