"""`millstream token`: a bearer token to ask with; `millstream token row`: a freshness token for a row's change."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from cli.asking import Asker, Groups, Scopes, Subject, Tenant, Token, issue, post
from cli.console import JSON, errors_in_one_line, out, show

app = typer.Typer(
    help="Print a bearer token of the development profile (signed with its secret).", invoke_without_command=True
)


@app.callback()
def bearer(
    context: typer.Context,
    tenant: Tenant = None,
    group: Groups = None,
    sub: Subject = "operator",
    scope: Scopes = None,
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=1440, help="how long it is valid")] = 60,
    as_json: bool = JSON,
) -> None:
    if context.invoked_subcommand is not None:
        return
    with errors_in_one_line():
        issued = issue(Asker(tenant, group, sub, None, scope), minutes)
        show({"token": issued, "minutes": minutes}, as_json, lambda: out.print(issued))


@app.command()
def row(
    source: Annotated[str, typer.Option("--source", "-s", help="the row's source")],
    lsn: Annotated[str, typer.Option("--lsn", help="pg_current_wal_insert_lsn() before the write, as in 16/B374D848")],
    key: Annotated[
        list[str], typer.Option("--key", help="the key column's value, or column=value; repeat for a key of several")
    ],
    deleted: Annotated[bool, typer.Option("--deleted", help="the write deletes the row: gone is enough")] = False,
    acl: Annotated[bool, typer.Option("--acl", help="wait for the row's acl instead of its content")] = False,
    tenant: Tenant = None,
    sub: Subject = "operator",
    token: Token = None,
    as_json: bool = JSON,
) -> None:
    """Print a freshness token for --at-least: wait until a row's change is answerable."""
    with errors_in_one_line():
        body = row_body(source, key, lsn, deleted=deleted, acl=acl)
        found = post("/v1/tokens", body, Asker(tenant, (), sub, token))
        show({"token": found["token"]}, as_json, lambda: out.print(str(found["token"])))


def row_body(source: str, key: Sequence[str], lsn: str, *, deleted: bool, acl: bool) -> Mapping[str, object]:
    """The JSON body of POST /v1/tokens. One value without a column is the doc_id of a row with a single key column."""
    pairs = [text.partition("=") for text in key]
    single = len(pairs) == 1 and not pairs[0][1]
    named: dict[str, object] = {"doc_id": key[0]} if single else {"key": {name: value for name, _, value in pairs}}
    asked: dict[str, object] = {"source": source, "lsn": lsn, **named}
    if deleted:
        asked["op"] = "delete"
    if acl:
        asked["register"] = "acl"
    return asked
