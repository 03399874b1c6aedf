"""`millstream key new`: an API key for a program that cannot get bearer tokens."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.asking import Groups, Scopes, Tenant, only_tenant
from cli.console import JSON, err, errors_in_one_line, out, show

app = typer.Typer(help="API keys of programs that ask", no_args_is_help=True)


@app.command()
def new(
    sub: Annotated[str, typer.Option("--sub", help="whose key it is: its principal is user:<sub>")],
    tenant: Tenant = None,
    group: Groups = None,
    scope: Scopes = None,
    days: Annotated[int | None, typer.Option("--days", min=1, help="how long it is valid; default: for ever")] = None,
    name: Annotated[str | None, typer.Option("--id", help="its name in the file; default: the subject")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="the file of keys; default: MILLSTREAM_API_KEYS_FILE, or the profile's"),
    ] = None,
    as_json: bool = JSON,
) -> None:
    """Make a key and put its hash into the file of keys. The key itself is printed once and kept nowhere."""
    from serving.api_keys import add_api_key, new_api_key

    with errors_in_one_line():
        expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
        scopes = ("query", *(scope or ()))
        key, entry = new_api_key(name or sub, only_tenant(tenant), sub, group or (), scopes, expires)
        target = file or _file()
        add_api_key(target, entry)
        show({"key": key, "id": entry.id, "file": str(target)}, as_json, lambda: out.print(key))
        err.print(f"[dim]{target} holds its hash: an API that reads this file knows the key in a second[/]")


def _file() -> Path:
    """Where the API reads keys from; in a development profile that has none yet, where it will."""
    from cli.session import open_profile, open_settings

    return open_settings().api_keys_file or open_profile().api_keys_file
