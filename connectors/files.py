"""A folder as a source: what is in it, how it differs from what is indexed, and sending the difference.

`scan` reads the folder, `plan_load` decides (pure), `load` appends. What was loaded is told by a fingerprint that the
document row keeps as its origin, so a second load of the same folder sends nothing.
"""

import asyncio
import hashlib
import os
import unicodedata
from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import orjson

from connectors.changes import Accepted, Event, Receipt, append_change, change_from
from connectors.sidecar import SIDECAR, Described, read_sidecar
from runtime.clock import Clock
from runtime.log_port import Log
from schemas.errors import ConfigError, PermanentError, TransientError
from schemas.records import Origin
from schemas.sources import SourceConfig
from schemas.topics import Topics
from schemas.versions import Op

CONNECTOR = "files"
_OFFICE = "application/vnd.openxmlformats-officedocument."
CONTENT_TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".rst": "text/x-rst",
    ".org": "text/org",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".docx": f"{_OFFICE}wordprocessingml.document",
    ".pptx": f"{_OFFICE}presentationml.presentation",
    ".xlsx": f"{_OFFICE}spreadsheetml.sheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".epub": "application/epub+zip",
    ".eml": "message/rfc822",
    ".msg": "application/vnd.ms-outlook",
    ".rtf": "application/rtf",
    ".pdf": "application/pdf",
}
"""What a folder's files are called and sent as; `prepare` looks at their bytes all the same."""
VANISH_LIMIT = 0.2
"""More of a source's documents than this never vanish unasked: the folder is more likely wrong than empty."""

_LOOKED_AT = 8192
"""Bytes of a file without a suffix."""
_ATTEMPTS = 3
_BACKOFF_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file to load. `reference` is `<doc_id>@sha256:<16 hex>` over all that makes up the document."""

    doc_id: str
    path: Path
    content_type: str
    described: Described
    reference: str


@dataclass(frozen=True, slots=True)
class Found:
    """A folder's files in the order of their ids, and what was left out, by reason: paths within the folder."""

    files: tuple[FoundFile, ...]
    skipped: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to send. With `refusal`, nothing is to be sent, and it says why."""

    upserts: tuple[FoundFile, ...] = ()
    unchanged: int = 0
    deletes: tuple[str, ...] = ()
    given_up: tuple[FoundFile, ...] = ()
    """Sent before, as they are now, and not readable then."""
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that cannot become a document."""

    doc_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a load: wait for `accepted` to be answerable."""

    accepted: tuple[Accepted, ...]
    refused: tuple[RefusedFile, ...]


Progress = Callable[[int, int], None]
"""Called with how many documents are done, of how many."""


def scan(folder: Path) -> Found:
    """Walk a folder. Raises ConfigError with one line for what is not a folder, for a broken sidecar, and for a file or
    a folder that cannot be read.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise ConfigError(f"{folder} is not a folder")
    sidecar = read_sidecar(root)
    skipped: dict[str, list[str]] = defaultdict(list)
    files: dict[str, FoundFile] = {}
    for path in _walk(root, skipped):
        doc_id = _doc_id(root, path)
        described = sidecar.describe(doc_id)
        content_type = _content_type(path, described)
        if content_type is None:
            skipped["other kind of file"].append(doc_id)
            continue
        if doc_id in files:
            raise ConfigError(f"{doc_id}: two files have this name once normalised (NFC): rename one")
        files[doc_id] = _found(path, doc_id, content_type, described)
    left_out = {reason: tuple(names) for reason, names in skipped.items()}
    return Found(tuple(files[doc_id] for doc_id in sorted(files)), left_out)


def _walk(root: Path, skipped: dict[str, list[str]]) -> Iterator[Path]:
    """Files that may be documents."""

    def leave_out(path: Path, reason: str) -> None:
        skipped[reason].append(_doc_id(root, path).encode("utf-8", "replace").decode())

    for where, folders, names in os.walk(root, onerror=_refuse):
        for name in sorted(folders):
            hidden = name.startswith(".")
            if hidden or Path(where, name).is_symlink():
                leave_out(Path(where, name), "hidden" if hidden else "link to a folder")
                folders.remove(name)
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            if name == SIDECAR:
                continue
            if (reason := _why_not(root, path)) is not None:
                leave_out(path, reason)
            else:
                yield path


def _why_not(root: Path, path: Path) -> str | None:
    """Why a directory entry is no file to load, or None."""
    if path.name.startswith("."):
        return "hidden"
    try:
        path.relative_to(root).as_posix().encode()
    except UnicodeEncodeError:
        return "name that is not UTF-8"
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return "not a file"
    if not target.is_relative_to(root):
        return "link to outside"
    return None if target.is_file() else "not a file"


def _doc_id(root: Path, path: Path) -> str:
    return unicodedata.normalize("NFC", path.relative_to(root).as_posix())


def _content_type(path: Path, described: Described) -> str | None:
    """What a rule says, else what the suffix does; a file without one is text unless it holds a NUL. None: unknown."""
    if described.content_type is not None:
        return described.content_type
    if path.suffix:
        return CONTENT_TYPES.get(path.suffix.lower())
    with _readable(path), path.open("rb") as file:
        return None if b"\0" in file.read(_LOOKED_AT) else "text/plain"


def _found(path: Path, doc_id: str, content_type: str, described: Described) -> FoundFile:
    with _readable(path):
        if described.event_time is None:
            modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            described = described.at(modified)
        reference = fingerprint(doc_id, path.read_bytes(), described)
    return FoundFile(doc_id, path, content_type, described, reference)


def _refuse(error: OSError, path: Path | None = None) -> NoReturn:
    """What cannot be read ends the load: left out, its documents would be deleted."""
    raise ConfigError(f"{path or error.filename} cannot be read: {error.strerror}") from None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _refuse(error, path)


def fingerprint(doc_id: str, body: bytes, described: Described) -> str:
    """`<doc_id>@sha256:<16 hex>` over body, acl, labels, url, event time, and a content type that a rule states."""
    acl = None if described.acl is None else sorted(set(described.acl))
    stated = [acl, sorted(described.labels.items()), described.url, described.event_time]
    stated += [] if described.content_type is None else [described.content_type]
    digest = hashlib.sha256(orjson.dumps(stated, option=orjson.OPT_UTC_Z) + b"\0" + body)
    return f"{doc_id}@sha256:{digest.hexdigest()[:16]}"


def plan_load(
    found: Sequence[FoundFile], indexed: Mapping[str, str], *, prune: bool, given_up: Container[str] = ()
) -> LoadPlan:
    """Compare a folder with the source's indexed documents (doc_id -> origin reference; deleted ones are left out), and
    with the references of what was sent before and could not be read.

    Without `prune`, a plan that would delete more than VANISH_LIMIT of them is refused.
    """
    present = {file.doc_id for file in found}
    deletes = tuple(sorted(doc_id for doc_id in indexed if doc_id not in present))
    if deletes and not prune and len(deletes) > VANISH_LIMIT * len(indexed):
        return LoadPlan(
            refusal=f"{len(deletes)} of {len(indexed)} documents of this source are not in the folder and would be "
            "deleted: check the folder, or repeat with --prune"
        )
    differing = [file for file in found if indexed.get(file.doc_id) != file.reference]
    unreadable = tuple(file for file in differing if file.reference in given_up)
    upserts = tuple(file for file in differing if file.reference not in given_up)
    return LoadPlan(upserts, len(found) - len(differing), deletes, unreadable)


async def load(
    plan: LoadPlan,
    source: SourceConfig,
    log: Log,
    topics: Topics,
    *,
    clock: Clock,
    max_bytes: int,
    concurrency: int = 64,
    progress: Progress | None = None,
) -> Loaded:
    """Append what a plan says, `concurrency` documents at a time.

    A file that cannot become a document is refused and told; the others go on. Raises ConfigError for a refused plan
    or a source that does not fit, TransientError when the log stays away. Cancelled, it starts nothing more and waits
    for what is under way.
    """
    if plan.refusal is not None:
        raise ConfigError(plan.refusal)
    if source.versioning != "log":
        raise ConfigError(f"source {source.name}: a folder states no versions; it needs versioning: log")
    waiting: deque[FoundFile | str] = deque([*plan.upserts, *plan.deletes])
    total = len(waiting)
    accepted: list[Accepted] = []
    refused: list[RefusedFile] = []
    door = _Door(source, log, topics, clock, max_bytes)

    async def work() -> None:
        while waiting:
            item = waiting.popleft()
            try:
                accepted.append(await door.send(item))
            except TransientError:
                waiting.clear()
                raise
            except PermanentError as error:
                refused.append(RefusedFile(item if isinstance(item, str) else item.doc_id, str(error)))
            if progress is not None:
                progress(len(accepted) + len(refused), total)

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, total))]
    try:
        if workers:
            await asyncio.wait(workers)
    except asyncio.CancelledError:
        waiting.clear()
        await asyncio.wait(workers)
        raise
    for worker in workers:
        worker.result()
    return Loaded(tuple(accepted), tuple(sorted(refused, key=lambda each: each.doc_id)))


@dataclass(frozen=True, slots=True)
class _Door:
    """Takes one document of a plan into the log."""

    source: SourceConfig
    log: Log
    topics: Topics
    clock: Clock
    max_bytes: int

    async def send(self, item: FoundFile | str) -> Accepted:
        """Append an upsert or, for an id, a delete. Raises PermanentError, TransientError."""
        event, reference = await asyncio.to_thread(_event, item)
        receipt = Receipt(self.clock.now(), reference, Origin(connector=CONNECTOR, reference=reference))
        change = change_from(event, self.source, receipt, self.max_bytes)
        for attempt in range(1, _ATTEMPTS):
            try:
                return await append_change(self.log, self.topics, change)
            except TransientError:
                # A load sends a document once, so a second copy of the same content can overtake nothing.
                await asyncio.sleep(_BACKOFF_SECONDS * attempt)
        return await append_change(self.log, self.topics, change)


def _event(item: FoundFile | str) -> tuple[Event, str]:
    if isinstance(item, str):
        return Event(op=Op.DELETE, doc_id=item), f"{item}@deleted"
    try:
        body = item.path.read_bytes()
    except OSError as error:
        raise PermanentError(f"cannot be read any more: {error.strerror}", reason="unreadable") from None
    described = item.described
    event = Event(
        op=Op.UPSERT,
        doc_id=item.doc_id,
        url=described.url,
        content_type=item.content_type,
        body=body,
        acl=described.acl,
        labels=described.labels,
        event_time=described.event_time,
    )
    # Of what is sent, not of what was scanned: the file may have changed in between.
    return event, fingerprint(item.doc_id, body, described)
