"""Exact copies among the passages of one answer: of those that say the same under the same headings one is enough.

Pages that are kept in several places would otherwise fill the places of a result set with one passage. What counts as
the same is what the model reads: the same words under another title are about something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from index.manifest import ChunkId
from index.model import ChunkRow
from serving.evidence import Evidence

_NO_TIME = datetime.min.replace(tzinfo=UTC)


def said(chunks: Mapping[ChunkId, ChunkRow]) -> int:
    """How many different things the chunks say."""
    return len({chunk.embedded_hash for chunk in chunks.values()})


def collapsed(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """One of each group of copies, at the place of its best, with the others as its `copies`.

    It is the one whose document is of the latest time: an older edition may be left out of an answer for a newer one's
    sake, and what both say must not go with it.
    """
    groups: dict[str, list[Evidence]] = {}
    for one in evidence:
        groups.setdefault(one.chunk.embedded_hash, []).append(one)
    return tuple(_shown(group) for group in groups.values())


def _shown(group: Sequence[Evidence]) -> Evidence:
    shown = max(group, key=lambda one: one.passage.event_time or _NO_TIME)
    return replace(shown, copies=tuple(one for one in group if one is not shown)) if len(group) > 1 else shown
