"""`millstream dlq list|show|redrive|discard`: what could not be processed, with its reason and its coordinates, and
what to do about it.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import JSON, err, errors_in_one_line, out, plain, show

if TYPE_CHECKING:
    from runtime.log_port import StoredRecord
    from runtime.settings import Settings
    from schemas.records import Coordinates, DeadLetter
    from streams.redrive import ReadRecord, Redriven, Selection, Shown

Reason = Annotated[str | None, typer.Option("--reason", help="only letters with this reason")]
Stage = Annotated[str | None, typer.Option("--stage", help="only letters of this stage")]
Tenant = Annotated[str | None, typer.Option("--tenant", "-t", help="only letters of this tenant")]
Source = Annotated[str | None, typer.Option("--source", "-s", help="only letters of this source")]
DocId = Annotated[str | None, typer.Option("--doc-id", help="only letters of this document")]
At = Annotated[
    str | None, typer.Argument(help="one letter, by its coordinates or those of the record that it is about")
]
Everything = Annotated[bool, typer.Option("--all", help="every letter, when nothing else narrows it")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]


def save_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whatever it was before. Raises ConfigError."""
    from schemas.errors import ConfigError

    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as output:
            os.fchmod(handle, 0o600)
            output.truncate()
            output.write(content)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from None


def _document_of(letter: "DeadLetter") -> bytes:
    """The bytes of the document that it is about; those of the whole record where there is none to be found."""
    from schemas.codec import decode
    from schemas.errors import DecodeError
    from schemas.records import DocumentChange
    from schemas.topics import CHANGES

    value = letter.value or b""
    if letter.origin.topic != CHANGES:
        return value
    try:
        change = decode(value, DocumentChange)
    except DecodeError:
        return value
    return value if change.body is None else change.body


_NEXT = """
Mend it at its source and send it again: the new version overtakes this one. If the cause was here (a limit, a setting,
a part that was away) and is gone, `millstream dlq redrive {at}`; to forget it, `millstream dlq discard {at}`.
"""

app = typer.Typer(help="inputs that could not be processed, kept with their reason", no_args_is_help=True)


@app.command("list")
def list_(
    reason: Reason = None,
    stage: Stage = None,
    tenant: Tenant = None,
    source: Source = None,
    doc_id: DocId = None,
    settled: Annotated[bool, typer.Option("--settled", help="those redriven and discarded as well")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="most letters to list")] = 100,
    as_json: bool = JSON,
) -> None:
    """List dead letters, newest first: coordinates, stage, reason, document; never their text."""
    from cli.session import open_settings

    with errors_in_one_line():
        wanted = _selection(None, reason, stage, tenant, source, doc_id)
        found = [one for one in _found(open_settings(), wanted) if settled or one.settled is None]

        def render() -> None:
            for one in found[:limit]:
                _print_line(one)
            out.print(f"{len(found)} dead letter{'' if len(found) == 1 else 's'}", style="dim")
            if any(one.settled is None for one in found):
                out.print("`millstream dlq show AT` tells more of one, and what to do about it", style="dim")

        show([_described(one) for one in found[:limit]], as_json, render)


@app.command("show")
def show_(
    at: Annotated[str, typer.Argument(help="coordinates as `dlq list` prints them, or those of the record itself")],
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", help="write the document's bytes to this file (0600), or those of the record where it holds none"
        ),
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Show one dead letter. What it holds is printed nowhere: --save writes it to a file of yours."""
    from cli.session import open_settings

    with errors_in_one_line():
        (found, *_) = _one_or_more(_found(open_settings(), _selection(at, None, None, None, None, None)), at)
        letter = found.letter.letter
        described = letter.model_dump(mode="json", exclude={"value", "key", "headers"}) | {
            "at": str(found.line.at),
            "settled": found.settled,
            "value_bytes": len(letter.value or b""),
            "headers": [header.name for header in letter.headers],
        }
        if save is not None:
            save_private(save, _document_of(letter))

        def render() -> None:
            if save is not None:
                out.print(f"[green]saved[/] {save}")
            for name, value in described.items():
                out.print(f"{name:<12} {_told(value)}", markup=False)
            if found.settled is None:
                out.print(_NEXT.format(at=found.line.at), style="dim")

        show(described, as_json, render)


@app.command()
def redrive(
    at: At = None,
    reason: Reason = None,
    stage: Stage = None,
    tenant: Tenant = None,
    source: Source = None,
    doc_id: DocId = None,
    everything: Everything = False,
    yes: Yes = False,
    as_json: bool = JSON,
) -> None:
    """Send letters through again, oldest first, each under the version it had: what came after it still wins. Where
    something newer is in the index already, the letter is only settled.
    """
    import asyncio

    from cli.live import live_states
    from cli.session import open_settings
    from runtime.clock import SystemClock
    from runtime.kafka import open_producer
    from schemas.errors import MillstreamError
    from streams.redrive import change_of
    from streams.redrive import redrive as send

    with errors_in_one_line():
        settings = open_settings()
        letters = _chosen(
            settings, _selection(at, reason, stage, tenant, source, doc_id), at, everything, yes, "redrive"
        )

        async def run() -> "Redriven":
            changes = [change for one in letters if (change := change_of(one.letter.letter)) is not None]
            try:
                rows = await live_states(settings, {change.document for change in changes})
            except MillstreamError as error:
                err.print(f"[dim]the index was not asked what is newer ({plain(error)}): all are sent[/]")
                rows = {}
            async with open_producer(settings) as log:
                report = _progress(len(letters))
                return await send(log, letters, _reader(settings), SystemClock().now(), report, rows=rows)

        done = asyncio.run(run())

        def render() -> None:
            out.print(f"[green]redriven[/] {len(done.appended)} of {len(letters)}")
            if done.overtaken:
                out.print(f"settled without: {len(done.overtaken)}, whose documents are newer in the index")
            for line, why in done.refused:
                out.print(f"[yellow]not[/] {line.at}: {why}")
            if done.appended:
                out.print("What still cannot be processed becomes a letter again: `millstream dlq list`.", style="dim")

        told = {
            "redriven": [str(place) for place in done.appended],
            "overtaken": [str(line.at) for line in done.overtaken],
            "refused": [{"at": str(line.at), "why": why} for line, why in done.refused],
        }
        show(told, as_json, render)
        if done.refused:
            raise typer.Exit(1)


@app.command()
def discard(
    at: At = None,
    reason: Reason = None,
    stage: Stage = None,
    tenant: Tenant = None,
    source: Source = None,
    doc_id: DocId = None,
    why: Annotated[str, typer.Option("--why", help="kept beside the letter")] = "discarded by an operator",
    everything: Everything = False,
    yes: Yes = False,
    as_json: bool = JSON,
) -> None:
    """Settle letters for good. Their bytes stay in the log until the topic's retention ends."""
    import asyncio

    from cli.session import open_settings
    from runtime.clock import SystemClock
    from runtime.kafka import open_producer
    from streams.redrive import discard as settle

    with errors_in_one_line():
        settings = open_settings()
        letters = _chosen(
            settings, _selection(at, reason, stage, tenant, source, doc_id), at, everything, yes, "discard"
        )

        async def run() -> int:
            async with open_producer(settings) as log:
                return await settle(log, letters, why, SystemClock().now())

        done = asyncio.run(run())
        show({"discarded": done}, as_json, lambda: out.print(f"[green]discarded[/] {done}"))


def _selection(
    at: str | None, reason: str | None, stage: str | None, tenant: str | None, source: str | None, doc_id: str | None
) -> "Selection":
    from schemas.errors import ConfigError
    from schemas.records import Coordinates
    from streams.redrive import Selection

    try:
        place = None if at is None else Coordinates.parse(at)
    except ValueError:
        raise ConfigError("coordinates are TOPIC/PARTITION/OFFSET, as `millstream dlq list` prints them") from None
    return Selection(place, reason, stage, tenant, source, doc_id)


def _found(settings: "Settings", wanted: "Selection") -> "list[Shown]":
    from runtime.kafka import read_topic
    from schemas.topics import DLQ
    from streams.redrive import select

    return select(read_topic(settings, DLQ), wanted)


def _one_or_more(found: "list[Shown]", at: str | None) -> "list[Shown]":
    from schemas.errors import ConfigError

    if not found and at is not None:
        raise ConfigError(f"no dead letter at {at}: `millstream dlq list --settled` shows them; they are kept 14 days")
    return found


def _chosen(
    settings: "Settings", wanted: "Selection", at: str | None, everything: bool, yes: bool, verb: str
) -> "list[Shown]":
    """The open letters to act on, after asking. Raises ConfigError where nothing narrows them."""
    from schemas.errors import ConfigError

    if wanted.is_everything and not everything:
        raise ConfigError(f"say which letters to {verb}: coordinates, --reason, --source, …, or --all")
    found = _one_or_more(_found(settings, wanted), at)
    letters = [one for one in found if one.settled is None]
    if found and not letters:
        raise ConfigError(f"{len(found)} letters are settled already")
    if len(letters) > 1 and not yes:
        for one in letters[:10]:
            _print_line(one, to_error=True)
        typer.confirm(f"{verb} {len(letters)} dead letters?", abort=True, err=True)
    return letters


def _reader(settings: "Settings") -> "ReadRecord":
    """Reads a record that did not fit into its letter."""
    from runtime.kafka import read_topic

    def read(at: "Coordinates") -> "StoredRecord | None":
        records = read_topic(settings, at.topic, start={at.partition: at.offset})
        return next((record for record in records if record.coordinates == at), None)

    return read


def _progress(total: int) -> "Callable[[int], None]":
    def report(done: int) -> None:
        if done % 100 == 0 or done == total:
            err.print(f"[dim]{done} of {total}[/]")

    return report


def _told(value: object) -> str:
    """A field as a person reads it: `topic/partition/offset`, names without brackets, nothing as a dash."""
    if isinstance(value, dict):
        return "/".join(str(part) for part in value.values())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else plain(value)


def _described(one: "Shown") -> dict[str, object]:
    line = one.line
    return asdict(line) | {"at": str(line.at), "origin": str(line.origin), "settled": one.settled}


def _print_line(one: "Shown", *, to_error: bool = False) -> None:
    line = one.line
    mark = f"  ({one.settled})" if one.settled else ""
    text = f"{line.at}  {line.stage:<8} {line.reason:<18} {line.document or '?'}  {line.error}{mark}"
    (err if to_error else out).print(text, markup=False)
