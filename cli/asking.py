"""`millstream ask|search`: questions to the query API, as a principal of one's choice."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cli.console import JSON, errors_in_one_line, out, plain, show

Tenant = Annotated[str | None, typer.Option("--tenant", "-t", help="default: the only tenant of sources.yaml")]
Groups = Annotated[list[str] | None, typer.Option("--group", "-g", help="a group of the principal; repeat for more")]
Subject = Annotated[str, typer.Option("--sub", help="the principal's name")]
Scopes = Annotated[list[str] | None, typer.Option("--scope", help="a scope beside query; repeat for more")]
Token = Annotated[str | None, typer.Option("--token", envvar="MILLSTREAM_TOKEN", help="bearer token to use as it is")]
TopK = Annotated[int | None, typer.Option("--top-k", "-k", help="most sources to use")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", help="answer as of a seq, a time (2026-11-21T12:00:00Z), or so long ago (90s, 10m, 2h, 1d)"
    ),
]
AtLeast = Annotated[list[str] | None, typer.Option("--at-least", help="freshness token from the webhook's 202")]
WaitMs = Annotated[int | None, typer.Option("--wait-ms", help="how long to wait for it")]
SourceFilter = Annotated[list[str] | None, typer.Option("--source", "-s", help="only these sources")]

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks."""

    tenant: str | None
    groups: Sequence[str] | None
    subject: str
    token: str | None
    scopes: Sequence[str] | None = None


def ask(
    question: Annotated[str, typer.Argument(help="the question")],
    tenant: Tenant = None,
    group: Groups = None,
    sub: Subject = "operator",
    token: Token = None,
    scope: Scopes = None,
    top_k: TopK = None,
    source: SourceFilter = None,
    as_of: AsOf = None,
    at_least: AtLeast = None,
    wait_ms: WaitMs = None,
    as_json: bool = JSON,
) -> None:
    """Ask a question; the answer cites its sources and names its position in the log."""
    with errors_in_one_line():
        body = request_body(question, top_k, source, position_of(as_of), at_least, wait_ms)
        answer = post("/v1/query", body, Asker(tenant, group, sub, token, scope))
        show(answer, as_json, lambda: render_answer(answer))


def search(
    question: Annotated[str, typer.Argument(help="words or a question")],
    tenant: Tenant = None,
    group: Groups = None,
    sub: Subject = "operator",
    token: Token = None,
    scope: Scopes = None,
    top_k: TopK = None,
    source: SourceFilter = None,
    as_of: AsOf = None,
    as_json: bool = JSON,
) -> None:
    """Search: the passages an answer would be built from, best first."""
    with errors_in_one_line():
        body = request_body(question, top_k, source, position_of(as_of), None, None)
        found = post("/v1/search", body, Asker(tenant, group, sub, token, scope))
        show(found, as_json, lambda: render_search(found))


def position_of(as_of: str | None, now: datetime | None = None) -> int | str | None:
    """--as-of as the API takes it: a seq, or a time; `10m` is ten minutes before `now`. What is neither goes to the API
    as it is, which says what is wrong with it.
    """
    if as_of is None or as_of.isdecimal():
        return None if as_of is None else int(as_of)
    ago = _AGO.fullmatch(as_of)
    if ago is None:
        return as_of
    seconds = int(ago[1]) * _SECONDS[ago[2]]
    return ((now or datetime.now(UTC)) - timedelta(seconds=seconds)).isoformat()


def request_body(
    question: str,
    top_k: int | None,
    sources: Sequence[str] | None,
    as_of: int | str | None,
    at_least: Sequence[str] | None,
    wait_ms: int | None,
) -> dict[str, object]:
    """The JSON body of a query, without what was not asked for."""
    optional: dict[str, object] = {
        "top_k": top_k,
        "filters": {"source": list(sources)} if sources else None,
        "as_of": as_of,
        "at_least": list(at_least) if at_least else None,
        "wait_ms": wait_ms,
    }
    return {"question": question} | {name: value for name, value in optional.items() if value is not None}


def issue(asker: Asker, minutes: int = 5) -> str:
    """A bearer token for `asker`, signed with the profile's secret."""
    from cli.session import open_settings
    from serving.auth import issue_token

    settings = open_settings()
    scopes = ("query", *(asker.scopes or ()))
    return issue_token(
        settings,
        tenant=only_tenant(asker.tenant),
        sub=asker.subject,
        groups=tuple(asker.groups or ()),
        scopes=scopes,
        ttl=timedelta(minutes=minutes),
    )


def only_tenant(given: str | None) -> str:
    """The tenant that is named, or else the only one that is declared. Raises ConfigError."""
    from cli.session import open_settings
    from runtime.declarations import load_sources
    from schemas.errors import ConfigError

    if given is not None:
        return given
    tenants = load_sources(open_settings()).tenants
    if len(tenants) != 1:
        raise ConfigError(f"say whose documents to ask with --tenant: {', '.join(tenants) or 'none is declared'}")
    return tenants[0]


def post(path: str, body: Mapping[str, object], asker: Asker) -> Mapping[str, object]:
    """Send a request to the query API. Raises MillstreamError with the problem's title and detail."""
    from cli.http import request

    return request("POST", api_url(path), body, authorization(asker))


def get(path: str, asker: Asker) -> Mapping[str, object]:
    """Read from the query API. Raises as `post`."""
    from cli.http import request

    return request("GET", api_url(path), headers=authorization(asker))


def api_url(path: str) -> str:
    """Where the query API of this installation answers."""
    from cli.session import open_settings

    settings = open_settings()
    return f"http://{settings.api_host}:{settings.api_port}{path}"


def authorization(asker: Asker) -> dict[str, str]:
    """The header that says who asks."""
    return {"Authorization": f"Bearer {asker.token or issue(asker)}"}


def render_answer(answer: Mapping[str, object]) -> None:
    """An answer with its citations, for a person."""
    refusal = answer.get("refusal")
    if isinstance(refusal, Mapping):
        out.print(f"[yellow]No answer[/] ({refusal.get('reason')}): {refusal.get('detail')}", markup=True)
    else:
        out.print(plain(answer.get("answer")), markup=False)
    citations = answer.get("citations")
    for citation in citations if isinstance(citations, list) else []:
        out.print()
        named = f"{plain(citation['title'])}  ({citation['source']}/{citation['doc_id']})"
        out.print(f"[{citation['n']}] {named}", markup=False)
        origin = citation["origin"]
        if citation["part_of"] is not None:
            out.print(f"    attached to {plain(citation['part_of'])}", style="dim", markup=False)
        page = f"page {origin['page']}  " if origin["page"] is not None else ""
        where = f"{origin['topic']}/{origin['partition']}/{origin['offset']}"
        out.print(
            f"    {page}version {citation['version']}  log {where}  {citation['url'] or ''}", style="dim", markup=False
        )
        out.print(f"    “{plain(citation['quote'])}”", style="italic", markup=False)
    _render_position(answer)


def render_search(found: Mapping[str, object]) -> None:
    """Search results, for a person."""
    results = found.get("results")
    for number, result in enumerate(results if isinstance(results, list) else [], start=1):
        out.print(f"{number}. {plain(result['title'])}  ({result['source']}/{result['doc_id']})", markup=False)
        out.print(f"   {plain(result['text'][:300])}", style="dim", markup=False)
    if not results:
        out.print("[yellow]nothing found[/]")
    _render_position(found)


def _render_position(answer: Mapping[str, object]) -> None:
    position, timings = answer.get("position"), answer.get("timings_ms")
    if isinstance(position, Mapping):
        total = f" · {timings['total']:.1f} ms" if isinstance(timings, Mapping) and "total" in timings else ""
        out.print()
        out.print(
            f"position {position['seq']} of {position['generation']}-{position['incarnation']}{total}",
            style="dim",
            markup=False,
        )
