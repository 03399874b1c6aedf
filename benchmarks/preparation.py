"""Brings the generated corpus into a tenant of its own, through the webhook like any other documents, once.

Which documents are there is read from index.commits, so that a later run uses them again and an interrupted one can go
on.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.client import Client, Posted
from benchmarks.commits import CommitReader
from benchmarks.corpus import GeneratedDocument, documents
from benchmarks.progress import Progress
from runtime.settings import Settings
from schemas.errors import TransientError
from schemas.records import Commit
from schemas.sources import SourceConfig

STEP = "parsing, embedding and committing the corpus (once)"
_BATCH = 50
_LOOK_SECONDS = 1.0
_STILL_SECONDS = 120.0
_POST_SECONDS = 20.0
_NOT_YET = frozenset({0, 401, 429, 503})
"""401: the receiver has not read the new source yet."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the tenant holds; `seconds` is 0 where all of it was there."""

    documents: int
    chunks: int
    seconds: float


class _Tally:
    """Chunks of each document as the commits tell."""

    def __init__(self) -> None:
        self.chunks: Counter[str] = Counter()

    def take(self, commits: Iterable[Commit]) -> int:
        """How many commits there were."""
        number = 0
        for commit in commits:
            self.chunks[commit.doc_id] += len(commit.added) - len(commit.removed)
            number += 1
        return number


async def prepare(
    client: Client, settings: Settings, source: SourceConfig, chunks: int, progress: Progress
) -> Prepared:
    """Make `source` hold a corpus of `chunks` chunks. Raises TransientError when nothing moves any more."""
    reader = await asyncio.to_thread(CommitReader, settings, source.owner, source.source, from_now=False)
    tally = _Tally()
    await asyncio.to_thread(lambda: tally.take(reader.read()))
    wanted = list(documents(chunks))
    missing = [document for document in wanted if not tally.chunks[document.doc_id]]
    begun = time.monotonic()
    if missing:
        await _post_all(client, source, missing)
        await _wait(reader, tally, missing, progress)
    total = sum(tally.chunks[document.doc_id] for document in wanted)
    return Prepared(len(wanted), total, round(time.monotonic() - begun, 1) if missing else 0.0)


async def _post_all(client: Client, source: SourceConfig, missing: Sequence[GeneratedDocument]) -> None:
    for first in range(0, len(missing), _BATCH):
        events = [
            {
                "op": "upsert",
                "doc_id": document.doc_id,
                "title": document.title,
                "content_type": "text/markdown",
                "body": document.body,
            }
            for document in missing[first : first + _BATCH]
        ]
        posted = await _post(client, source, events)
        if not posted.accepted:
            raise TransientError(f"source {source.name} does not take the corpus: {posted.status} {posted.problem}")


async def _post(client: Client, source: SourceConfig, events: Sequence[dict[str, str]]) -> Posted:
    """Post a batch, again for a while where that may help."""
    until = time.monotonic() + _POST_SECONDS
    while True:
        posted = await client.post(source.name, events)
        if posted.status not in _NOT_YET or time.monotonic() > until:
            return posted
        await asyncio.sleep(0.5)


async def _wait(reader: CommitReader, tally: _Tally, missing: Sequence[GeneratedDocument], progress: Progress) -> None:
    """Until every missing document is committed, telling how many of their chunks are."""
    total = sum(document.sections for document in missing)
    moved = time.monotonic()
    while True:
        if await asyncio.to_thread(lambda: tally.take(reader.read())):
            moved = time.monotonic()
        done = sum(tally.chunks[document.doc_id] for document in missing)
        if all(tally.chunks[document.doc_id] for document in missing):
            progress(STEP, total, total)
            return
        progress(STEP, min(done, total - 1), total)
        if time.monotonic() - moved > _STILL_SECONDS:
            raise TransientError(
                f"nothing was committed for {_STILL_SECONDS:.0f} s, {done} of {total} chunks are there: "
                "see `millstream status` and `millstream dlq list`; a later run goes on from here"
            )
        await asyncio.sleep(_LOOK_SECONDS)
