"""Loads a folder: plans against what is indexed, appends the difference, waits until it is answerable."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cli.console import err
from cli.live import live_build
from cli.session import open_settings
from connectors.changes import Accepted
from connectors.files import Loaded, LoadPlan, load, plan_load, scan
from index.model import DocumentRow
from index.reader import Reader
from index.weaviate import open_build
from runtime.clock import SystemClock
from runtime.declarations import load_sources, load_topics
from runtime.kafka import KafkaAdmin, Producer, read_topic
from runtime.settings import Settings
from schemas.codec import decode
from schemas.errors import ConfigError, DecodeError, TransientError
from schemas.identity import DocId, Document
from schemas.records import DeadLetter
from schemas.sources import SourceConfig
from schemas.topics import CHANGES, DLQ
from streams.dead_letters import read_letters
from streams.redrive import GivenUp, given_up

_STALLED_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_LOOKED_AT = 128
_PAUSE_SECONDS = 0.1
_TELL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a load."""

    sent: int
    unchanged: int
    deleted: int
    waited: bool
    refused: tuple[str, ...] = ()
    """Files that cannot become documents, with the reason."""
    dead: tuple[str, ...] = ()
    """Documents that became dead letters, with the reason."""
    given_up: tuple[str, ...] = ()
    """Documents that are not sent again: they are dead letters of an earlier load, with the reason, and unchanged."""
    discarded: int = 0
    """Of which the letter was discarded."""
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What was left out, by reason."""


def load_folder(folder: Path, source: str, *, prune: bool, wait: bool = True, quiet: bool = False) -> Outcome:
    """Load `folder` into `source`. Raises ConfigError, TransientError; Ctrl-C leaves the log and the index
    consistent.
    """
    settings = open_settings()
    declared = load_sources(settings).get(source)
    if declared is None:
        raise ConfigError(f"source {source} is not declared: add it to sources.yaml and run `millstream source apply`")
    if declared.kind != "files":
        raise ConfigError(f"source {source} is of kind {declared.kind}: `load` needs one of kind files")
    return asyncio.run(_load(folder, settings, declared, prune=prune, wait=wait, quiet=quiet))


async def _load(
    folder: Path, settings: Settings, source: SourceConfig, *, prune: bool, wait: bool, quiet: bool
) -> Outcome:
    found = await asyncio.to_thread(scan, folder)
    index = open_build(settings, await live_build(settings))
    log = Producer(settings)
    reader = Reader(index, SystemClock())
    try:
        rows = await reader.source_documents(source.owner, source.source)
        indexed = _indexed(rows)
        plan = plan_load(found.files, indexed, prune=prune)
        letters = await asyncio.to_thread(_given_up, settings, source, rows) if plan.upserts else {}
        plan = plan_load(found.files, indexed, prune=prune, given_up=letters) if letters else plan
        letters_from = await asyncio.to_thread(KafkaAdmin(settings).end_offsets, DLQ)
        with _bar(quiet) as bar:
            shown = _Shown(bar, lines=not quiet and not err.is_terminal)
            loaded = await _append(plan, source, settings, log, shown)
            dead = await _until_answerable(reader, settings, loaded, letters_from, shown) if wait else ()
    finally:
        await log.close()
        await index.close()
    deleted = sum(accepted.op == "delete" for accepted in loaded.accepted)
    refused = tuple(f"{each.doc_id}: {each.detail}" for each in loaded.refused)
    sent = len(loaded.accepted) - deleted
    kept = [(file.doc_id, letters[file.reference]) for file in plan.given_up]
    told = tuple(f"{doc_id}: {one.line.reason}: {one.line.error}" for doc_id, one in kept if not one.discarded)
    return Outcome(
        sent, plan.unchanged, deleted, wait, refused, tuple(dead), told, len(kept) - len(told), found.skipped
    )


def _given_up(settings: Settings, source: SourceConfig, rows: Mapping[Document, DocumentRow]) -> dict[str, GivenUp]:
    """What of this source is a dead letter and newer than what is indexed, by the reference of its origin."""
    letters = (
        one
        for one in read_letters(read_topic(settings, DLQ))
        if (one.letter.tenant, one.letter.source) == (source.tenant, source.name)
    )
    newest = {document.doc_id: row.content_version for document, row in rows.items()}

    def counts(reference: str, one: GivenUp) -> bool:
        version = newest.get(DocId(reference.rpartition("@")[0]))
        return version is None or version < one.version

    return {reference: one for reference, one in given_up(letters).items() if counts(reference, one)}


def _indexed(rows: Mapping[Document, DocumentRow]) -> dict[str, str]:
    """doc_id -> what its newest content was loaded from."""
    return {document.doc_id: row.origin.reference for document, row in rows.items() if row.is_present}


async def _append(plan: LoadPlan, source: SourceConfig, settings: Settings, log: Producer, shown: "_Shown") -> Loaded:
    shown.begin("into the log", len(plan.upserts) + len(plan.deletes))
    return await load(
        plan,
        source,
        log,
        load_topics(settings),
        clock=SystemClock(),
        max_bytes=settings.max_document_bytes,
        progress=lambda done, _total: shown.reached(done),
    )


async def _until_answerable(
    reader: Reader, settings: Settings, loaded: Loaded, letters_from: Mapping[int, int], shown: "_Shown"
) -> list[str]:
    """Wait for every accepted change, or its dead letter. Raises TransientError when nothing moves for a minute."""
    pending = {accepted.document: accepted for accepted in loaded.accepted}
    total = len(pending)
    shown.begin("answerable", total)
    dead: list[str] = []
    moved = time.monotonic()
    while pending:
        before = len(pending)
        await _settle(reader, pending)
        if pending and time.monotonic() - moved > _LOOK_SECONDS:
            dead += await asyncio.to_thread(_dead_letters, settings, letters_from, pending)
        shown.reached(total - len(pending))
        if len(pending) < before:
            moved = time.monotonic()
        elif time.monotonic() - moved > _STALLED_SECONDS:
            raise TransientError(
                f"{len(pending)} documents are in the log but not answerable after {_STALLED_SECONDS:.0f} s without "
                "progress: see `millstream status` and `millstream logs prepare`; nothing is lost"
            )
        await asyncio.sleep(_PAUSE_SECONDS)
    return dead


async def _settle(reader: Reader, pending: dict[Document, Accepted]) -> None:
    """Take out what is answerable by now, of the oldest."""
    oldest = sorted(pending.values(), key=lambda accepted: accepted.coordinates.offset)[:_LOOKED_AT]
    wanted = {accepted.document: (accepted.register, accepted.version) for accepted in oldest}
    for document in await reader.reached(oldest[0].document.tenant, wanted):
        del pending[document]


def _dead_letters(settings: Settings, start: Mapping[int, int], pending: dict[Document, Accepted]) -> list[str]:
    """Take out what became a dead letter since the load began; one line each."""
    lines = []
    for record in read_topic(settings, DLQ, start=start):
        try:
            letter = decode(record.value or b"", DeadLetter)
        except DecodeError:
            continue
        accepted = _lost(letter, pending)
        if accepted is not None:
            del pending[accepted.document]
            lines.append(f"{accepted.document.doc_id}: {letter.reason}: {letter.error}")
    return lines


def _lost(letter: DeadLetter, pending: Mapping[Document, Accepted]) -> Accepted | None:
    """The change a letter is about: by its own coordinates, or by its document where a later stage gave it up."""
    for accepted in pending.values():
        document = accepted.document
        same = (letter.tenant, letter.source, letter.doc_id) == (document.tenant, document.source, document.doc_id)
        if letter.origin == accepted.coordinates or (same and letter.origin.topic not in (CHANGES, DLQ)):
            return accepted
    return None


class _Shown:
    """How far a load is: a bar for a person, a line now and then for a file."""

    def __init__(self, bar: Progress, *, lines: bool) -> None:
        self._bar = bar
        self._lines = lines
        self._step = ""
        self._total = 0
        self._task: TaskID | None = None
        self._told = time.monotonic()

    def begin(self, step: str, total: int) -> None:
        self._step, self._total = step, total
        self._task = self._bar.add_task(step, total=total)

    def reached(self, done: int) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=done)
        if self._lines and time.monotonic() > self._told + _TELL_SECONDS:
            self._told = time.monotonic()
            err.print(f"{self._step}: {done} of {self._total}")


def _bar(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description:<13}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal)
