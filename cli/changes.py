"""`millstream changes`: what was committed and is the caller's to see, then and, with --follow, as it happens."""

import sys
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import orjson
import typer

from cli.asking import Asker, Groups, Scopes, SourceFilter, Subject, Tenant, Token, api_url, authorization
from cli.console import errors_in_one_line, out, plain

_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    name: str
    data: Mapping[str, object]
    last_id: str


def changes(
    after: Annotated[
        int | None,
        typer.Option("--after", min=0, help="begin after this seq; default: the beginning, with --follow now"),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on with what is committed from now on")] = False,
    source: SourceFilter = None,
    tenant: Tenant = None,
    group: Groups = None,
    sub: Subject = "operator",
    scope: Scopes = None,
    token: Token = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document a line")] = False,
) -> None:
    """List what was committed, oldest first: documents that changed, or that are gone for the caller."""
    with errors_in_one_line():
        begin = after if after is not None or follow else 0
        query = [("source", name) for name in source or ()] + [("follow", str(follow).lower())]
        query += [] if begin is None else [("after", str(begin))]
        for event in _events(urllib.parse.urlencode(query), Asker(tenant, group, sub, token, scope)):
            if as_json:
                sys.stdout.write(orjson.dumps(event.data).decode() + "\n")
                sys.stdout.flush()
            else:
                out.print(line_of(event.data), markup=False)


def _events(query: str, asker: Asker) -> Iterator[Event]:
    """Changes until the end; a stream that breaks off is taken up where it ended.

    Raises RefusedError for a problem, TransientError where the API was never reached.
    """
    import time

    from cli.http import stream
    from schemas.errors import TransientError

    url = api_url(f"/v1/changes?{query}")
    last_id, connected = "", False
    while True:
        headers = authorization(asker)
        try:
            for event in parse(stream(url, headers | ({"Last-Event-ID": last_id} if last_id else {}))):
                connected, last_id = True, event.last_id or last_id
                if event.name == "change":
                    yield event
                elif event.data.get("reason") == "caught_up":
                    return
        except TransientError:
            if not connected:
                raise
        time.sleep(_PAUSE_SECONDS)


def parse(lines: Iterable[bytes]) -> Iterator[Event]:
    """Server-sent events with data; an id on its own comes as an event without a name."""
    name, data, last_id = "message", b"", ""
    for line in lines:
        field, _, value = line.rstrip(b"\r\n").partition(b": ")
        if field == b"event":
            name = value.decode()
        elif field == b"data":
            data = value
        elif field == b"id":
            last_id = value.decode()
        elif not line.strip():
            found = orjson.loads(data) if data else {}
            yield Event(name if data else "", found if isinstance(found, dict) else {}, last_id)
            name, data = "message", b""


def line_of(change: Mapping[str, object]) -> str:
    """One change, for a person."""
    where = f"{change['source']}/{change['doc_id']}"
    title = plain(change["title"]) if change.get("title") else ""
    return f"{change['seq']:>8}  {str(change['committed_at'])[:19]}  {change['op']:<7} {plain(where)}  {title}".rstrip()
