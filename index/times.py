"""Filters by event time: asked of the legs as a hint, decided by the document's row.

A chunk row has the time of the change it was written for. A later version that keeps the row may have another time, and
rows never change; which rows a version keeps depends on what an installation has seen before, so their times cannot
decide what is found.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from index.port import Hit, LegFilter

_OTHER_TIMES = 4
"""Hits of any time that are asked for beside each one written within the times."""


async def within_times(
    ask: Callable[[LegFilter, int], Awaitable[tuple[Hit, ...]]], where: LegFilter, limit: int, most: int
) -> tuple[Hit, ...]:
    """One leg, best first: rows written within the times, and where times are filtered the best of any time as well,
    for documents that kept their rows. `most`: what the store answers at most.
    """
    if where.after is None and where.before is None:
        return await ask(where, limit)
    written, others = await asyncio.gather(
        ask(where, limit), ask(replace(where, after=None, before=None), min(limit * _OTHER_TIMES, most))
    )
    hits = {hit.chunk_id: hit for hit in (*written, *others)}
    return tuple(sorted(hits.values(), key=lambda hit: -hit.score))


def is_within(time: datetime | None, after: datetime | None, before: datetime | None) -> bool:
    """[after, before); what has no time is in no bounded interval."""
    if after is None and before is None:
        return True
    return time is not None and (after is None or time >= after) and (before is None or time < before)
