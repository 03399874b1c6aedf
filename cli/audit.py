"""`millstream audit`: compares the live build with the log and with itself, and has it repaired."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli.console import JSON, err, errors_in_one_line, out, show

if TYPE_CHECKING:
    from cli.auditing import Audited, Reported

T = TypeVar("T")
_LOOK_SECONDS = 0.25
FOUND = 1
"""Exit code where something differs."""


def audit(
    repair: Annotated[
        bool, typer.Option("--repair", help="append what differs to the log again, and look once more")
    ] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="of this tenant alone")] = None,
    as_json: bool = JSON,
) -> None:
    """Compare the index with the log, and each row with the search indexes. Exit code 1 where something differs, or the
    log could not be compared.

    It may be run at any time: everything is looked at twice. The process that applies does the same all the time, and
    repairs by itself.
    """
    from cli.auditing import Reported, run_audit
    from cli.session import open_settings

    with errors_in_one_line():
        reported = Reported()
        settings = open_settings()
        done = asyncio.run(
            _shown(lambda: run_audit(settings, tenant, reported, repair=repair), reported, quiet=as_json)
        )
        show(_as_json(done), as_json, lambda: _print(done))
        if done.left or done.not_compared:
            raise typer.Exit(FOUND)


def _as_json(done: "Audited") -> dict[str, object]:
    return {
        "build": done.build,
        "documents": done.documents,
        "chunks": done.chunks,
        "records": done.records,
        "seconds": done.seconds,
        "repaired": done.repaired,
        "findings": [
            {
                "kind": one.kind,
                "tenant": one.tenant,
                "document": one.document.key if one.document else None,
                "seq": one.seq,
                "source": one.source,
                "rows": one.rows,
            }
            for one in done.findings
        ],
        "left": len(done.left),
        "not_compared": done.not_compared,
    }


def _print(done: "Audited") -> None:
    out.print(f"{done.build}: {done.documents} documents, {done.chunks} chunks, {done.records} records", end="")
    out.print(f" of the log in {done.seconds} s")
    for kind, count in sorted(Counter(one.kind for one in done.findings).items()):
        examples = [one for one in done.findings if one.kind == kind][:3]
        shown = ", ".join(_named(one.document.key if one.document else one.source, one.seq) for one in examples)
        out.print(f"[red]{kind}[/] {count}: {shown}", markup=True)
    if done.not_compared:
        out.print(f"[red]not compared with the log[/]: {done.not_compared}")
    if not done.findings:
        out.print("[green]nothing differs[/]")
    elif done.repaired:
        left = f"{len(done.left)} differ still" if done.left else "nothing differs any more"
        out.print(f"{done.repaired} documents were appended to the log again; {left}")
    else:
        out.print("`millstream audit --repair` appends what differs again; the process that applies does so by itself")


def _named(name: str | None, seq: int | None) -> str:
    return (name or f"seq {seq}").replace("[", r"\[")


async def _shown(run: Callable[[], Awaitable[T]], reported: "Reported", *, quiet: bool) -> T:
    """Run, and show how far it is meanwhile."""
    if quiet or not err.is_terminal:
        return await run()
    with err.status("audit") as status:

        async def refresh() -> None:
            while True:
                status.update(reported.line())
                await asyncio.sleep(_LOOK_SECONDS)

        showing = asyncio.create_task(refresh())
        try:
            return await run()
        finally:
            showing.cancel()
