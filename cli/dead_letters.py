"""`millstream dlq list|show`: what could not be processed, with its reason and its coordinates."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.console import JSON, errors_in_one_line, out, show


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


app = typer.Typer(help="inputs that could not be processed, kept with their reason", no_args_is_help=True)


@app.command("list")
def list_(
    reason: Annotated[str | None, typer.Option("--reason", help="only letters with this reason")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="only letters of this tenant")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="most letters to list")] = 100,
    as_json: bool = JSON,
) -> None:
    """List dead letters, newest first: coordinates, stage, reason, document; never their text."""
    from cli.session import open_settings
    from runtime.kafka import read_topic
    from schemas.topics import DLQ
    from streams.dead_letters import list_letters

    with errors_in_one_line():
        lines = list_letters(read_topic(open_settings(), DLQ), reason=reason, tenant=tenant)

        def render() -> None:
            for line in lines[:limit]:
                out.print(
                    f"{line.at}  {line.stage:<8} {line.reason:<18} {line.document or '?'}  {line.error}", markup=False
                )
            out.print(f"{len(lines)} dead letters", style="dim")

        described = [asdict(line) | {"at": str(line.at), "origin": str(line.origin)} for line in lines[:limit]]
        show(described, as_json, render)


@app.command("show")
def show_(
    at: Annotated[str, typer.Argument(help="coordinates as `dlq list` prints them: documents.dlq/PARTITION/OFFSET")],
    save: Annotated[Path | None, typer.Option("--save", help="write the original bytes to this file (0600)")] = None,
    as_json: bool = JSON,
) -> None:
    """Show one dead letter. Its original bytes are printed nowhere: --save writes them to a file of yours."""
    from cli.session import open_settings
    from runtime.kafka import read_topic
    from schemas.errors import ConfigError
    from schemas.records import Coordinates
    from schemas.topics import DLQ
    from streams.dead_letters import show_letter

    with errors_in_one_line():
        try:
            coordinates = Coordinates.parse(at)
        except ValueError:
            raise ConfigError("coordinates are TOPIC/PARTITION/OFFSET, as `millstream dlq list` prints them") from None
        start = {coordinates.partition: coordinates.offset}
        found = show_letter(read_topic(open_settings(), DLQ, start=start), coordinates)
        if found is None:
            raise ConfigError(f"no dead letter at {at}: it may be past its 14 days")
        letter = found.letter
        described = letter.model_dump(mode="json", exclude={"value", "key", "headers"}) | {
            "at": at,
            "value_bytes": len(letter.value or b""),
            "headers": [header.name for header in letter.headers],
        }
        if save is not None:
            save_private(save, letter.value or b"")

        def render() -> None:
            for name, value in described.items():
                out.print(f"{name:<12} {value}", markup=False)

        show(described, as_json, render)
