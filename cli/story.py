"""What `millstream demo` shows, step by step. Each step checks what it claims and fails the demo when it does not
hold.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cli.asking import Asker, get, post, render_answer
from cli.console import out, plain
from schemas.errors import MillstreamError
from schemas.topics import HIDES

if TYPE_CHECKING:
    from cli.story_rows import Table

SUPPORT = "When is the support line open?"
LOAN = "How long may the loan tool case T-7 be kept?"
RECALL = "Which serial numbers of the circulation pump CP-7 are recalled?"
HOTEL = "How much may a hotel cost per night since January 2026?"
SALARY = "What is the salary band of a senior engineer?"
NEW_HOURS = "Monday to Saturday from 07:00 to 20:00"
OLD_HOURS = "Monday to Friday from 08:00 to 18:00"
BULLETIN = ("bulletins", "B-101")
_EXAMPLES = Path("examples")
_FOLDERS = (("handbook", "aurora/handbook"), ("manuals", "harbor/manuals"))
_STAFF = Asker("aurora", ("staff",), "ada", None)
_SALES = Asker("aurora", ("sales",), "sol", None)
_SUPPORT = Asker("aurora", ("support",), "sue", None)


class StoryError(MillstreamError):
    """A step of the demo did not show what it claims."""


@dataclass
class Teller:
    """Numbers the steps and times them."""

    started: float
    number: int = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step and say how long it took."""
        self.number += 1
        out.rule(f"[bold]{self.number}. {title}", align="left")
        begun = time.monotonic()
        yield
        out.print(f"   {1000 * (time.monotonic() - begun):.0f} ms", style="dim")


def tell(*, keep: bool) -> None:
    """Run the whole story. Raises StoryError when a step does not hold; leaves nothing running unless `keep`."""
    from cli import running

    teller = Teller(time.monotonic())
    with teller.step("Start Kafka, Weaviate, Postgres, Connect and Millstream itself, on loopback"):
        was_up = running.bring_up()
    try:
        _steps(teller)
        out.rule(align="left")
        out.print(f"[green]The story holds.[/] {time.monotonic() - teller.started:.1f} s in all.")
        if keep or was_up:
            _how_to_go_on()
    finally:
        if not keep and not was_up:
            running.take_down()


def _steps(teller: Teller) -> None:
    from cli.story_rows import Table

    with teller.step("Load two companies' documents from examples/, and capture a table of Aurora's Postgres"):
        table = Table.captured(_EXAMPLES / "aurora" / "bulletins.sql", BULLETIN[0])
        for source, folder in _FOLDERS:
            _load(source, _EXAMPLES / folder)
        _post_event("helpdesk", "helpdesk-support-hours-delete.json", wait=True)
        table.wait(_STAFF, BULLETIN[1])
    _tell_of_the_table(teller, table)
    _tell_of_the_webhook(teller)
    _tell_of_permissions(teller, table)
    _tell_of_the_delete(teller, table)


def _tell_of_the_table(teller: Teller, table: "Table") -> None:
    with teller.step(f"Ask, as somebody of Aurora: {LOAN}"):
        first = _ask(LOAN, _STAFF)
        _expect("24 days" in _answer(first), "the answer quotes the row")
        _expect(BULLETIN[1] in _cited(first), "it cites the row, with its place in the log")
    with teller.step("Ask the same again"):
        again = _ask(LOAN, _STAFF)
        _expect(again.get("cached") == "exact", f"it comes from the cache, after {_milliseconds(again):.1f} ms")
        _expect(_answer(again) == _answer(first), "the answer is the same")
    with teller.step("UPDATE the row in Postgres, and ask again, at least as fresh as that"):
        token = table.write(
            _STAFF,
            BULLETIN[1],
            "UPDATE public.bulletins SET body = replace(body, '24 days', '12 days') WHERE id = %s",
        )
        after = _ask(LOAN, _STAFF, at_least=[token])
        _expect("12 days" in _answer(after), table.since_commit("the new answer came"))
        _expect(after.get("cached") is False, "the cached answer was not used")


def _tell_of_the_webhook(teller: Teller) -> None:
    with teller.step(f"Ask twice: {SUPPORT}"):
        _ask(SUPPORT, _STAFF, quiet=True)
        before = _ask(SUPPORT, _STAFF)
        _expect(OLD_HOURS in _answer(before), "the answer quotes the handbook's hours")
        _expect(before.get("cached") == "exact", "it comes from the cache")
        _expect("announcements/support-hours" not in _cited(before), "it cites no announcement: there is none yet")
    with teller.step("The helpdesk posts an announcement that supersedes the handbook; ask again"):
        tokens = _post_event("helpdesk", "helpdesk-support-hours.json")
        after = _ask(SUPPORT, _STAFF, at_least=tokens)
        _expect(NEW_HOURS in _answer(after), "the answer quotes the new hours")
        _expect("announcements/support-hours" in _cited(after), "it cites a document that the cached one never cited")
        _expect(_seq(after) > _seq(before), "the position moved on")


def _tell_of_permissions(teller: Teller, table: "Table") -> None:
    with teller.step("The same question to two companies, and to two groups"):
        aurora, harbor = _ask(HOTEL, _STAFF), _ask(HOTEL, Asker("harbor", ("staff",), "hugo", None))
        _expect("120 EUR" in _answer(aurora), "Aurora's people read Aurora's limit")
        _expect("95 GBP" in _answer(harbor), "Harbor's people read Harbor's limit, and nothing of Aurora's")
        _expect(_is_refused(_ask(SALARY, _STAFF)), "what only hr may read is refused to staff, as if it did not exist")
        _expect("64,000" in _answer(_ask(SALARY, Asker("aurora", ("hr",), "hana", None))), "hr is answered")
    with teller.step("Take a bulletin away from sales: UPDATE its readers in Postgres"):
        _expect("4100 to 4980" in _answer(_ask(RECALL, _SALES)), "sales is answered while it may read the row")
        token = table.write(_SUPPORT, "B-102", "UPDATE public.bulletins SET readers = '{support}' WHERE id = %s")
        refused = _ask(RECALL, _SALES, at_least=[token])
        _expect(_is_refused(refused), table.since_commit("sales is refused"))
        _expect("4100 to 4980" in _answer(_ask(RECALL, _SUPPORT)), "support, which keeps it, is answered")


def _tell_of_the_delete(teller: Teller, table: "Table") -> None:
    with teller.step("DELETE the first row in Postgres, and ask again"):
        before = _ask(LOAN, _STAFF, quiet=True)
        token = table.write(_STAFF, BULLETIN[1], "DELETE FROM public.bulletins WHERE id = %s", op="delete")
        after = _ask(LOAN, _STAFF, at_least=[token])
        _expect(_is_refused(after), table.since_commit("it is refused"))
        _expect(BULLETIN[1] not in _cited(after), "nothing cites the row any more")
    historian = replace(_STAFF, scopes=("history",))
    with teller.step("Ask as of before the delete, without and with the history scope"):
        _expect(_is_refused(_ask(LOAN, _STAFF, as_of=_seq(before))), "without the scope it stays refused")
        then = _ask(LOAN, historian, as_of=_seq(before))
        _expect(_answer(then) == _answer(before), f"with it, the answer is the one given at position {_seq(before)}")
    with teller.step("The audit trail of that row"):
        _show_trail(historian)


def _show_trail(asker: Asker) -> None:
    found = _versions(*BULLETIN, asker)
    versions = [version for version in found if isinstance(version, dict)] if isinstance(found, list) else []
    for version in versions:
        change = version["change"]
        where = f"{change['topic']}/{change['partition']}/{change['offset']}"
        state = "there" if version["present"] else "gone"
        ahead = "  (ran ahead of the queue)" if version["mutation"]["topic"] == HIDES else ""
        out.print(
            f"   seq {version['seq']:>4}  {version['op']:<7} {state:<6} version {version['version']}  {where}  "
            f"committed {version['committed_at']}{ahead}",
            markup=False,
        )
    ops = [version["op"] for version in versions]
    _expect(ops[:1] == ["delete"] and ops.count("upsert") >= 2, "it tells the delete, the update and the first version")


def _versions(source: str, doc_id: str, asker: Asker) -> object:
    return get(f"/v1/documents/{source}/{quote(doc_id, safe='')}/versions", asker).get("versions")


def _ask(question: str, asker: Asker, *, quiet: bool = False, **body: object) -> Mapping[str, object]:
    answer = post("/v1/query", {"question": question, "wait_ms": 10_000, **body}, asker)
    if not quiet:
        out.print()
        render_answer(answer)
        out.print()
    return answer


def _answer(response: Mapping[str, object]) -> str:
    return plain(response.get("answer"))


def _is_refused(response: Mapping[str, object]) -> bool:
    refusal = response.get("refusal")
    return isinstance(refusal, Mapping) and refusal.get("reason") == "no_source"


def _cited(answer: Mapping[str, object]) -> list[str]:
    citations = answer.get("citations")
    return [citation["doc_id"] for citation in citations] if isinstance(citations, list) else []


def _seq(answer: Mapping[str, object]) -> int:
    position = answer.get("position")
    assert isinstance(position, Mapping)
    return int(position["seq"])


def _milliseconds(answer: Mapping[str, object]) -> float:
    timings = answer.get("timings_ms")
    return float(timings["total"]) if isinstance(timings, Mapping) else 0.0


def _expect(holds: bool, claim: str) -> None:
    if not holds:
        raise StoryError(f"the demo does not hold: {claim}: it does not")
    out.print(f"   [green]✓[/] {claim}")


def _load(source: str, folder: Path) -> None:
    from cli.folder import load_folder

    done = load_folder(folder, source, prune=True)
    out.print(f"   {source}: {done.sent} sent, {done.unchanged} unchanged, {done.deleted} deleted, all answerable")


def _post_event(source: str, file: str, *, wait: bool = False) -> Sequence[str]:
    """Post a signed event; with `wait`, until it is answerable."""
    from cli.session import open_settings
    from connectors.webhook.client import post_signed

    settings = open_settings()
    begun = time.monotonic()
    tokens = post_signed(settings, source, (_EXAMPLES / "events" / file).read_bytes())
    out.print(f"   {source}: 202 after {1000 * (time.monotonic() - begun):.0f} ms", style="dim")
    if wait:
        post("/v1/search", {"question": SUPPORT, "at_least": list(tokens), "wait_ms": 5000}, _STAFF)
    return tokens


def _how_to_go_on() -> None:
    out.print("Everything is still up. Go on with:")
    for command in (
        'millstream ask --tenant aurora --group staff "How long is the warranty of a Polar heat pump?"',
        "millstream status",
        "millstream down",
    ):
        out.print(f"  {command}", style="bold")
