"""What `millstream demo` shows, step by step. Each step checks what it claims and fails the demo when it does not
hold.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.asking import Asker, post, render_answer
from cli.console import out
from schemas.errors import MillstreamError

QUESTION = "When is the support line open?"
HOTEL = "How much may a hotel cost per night since January 2026?"
SALARY = "What is the salary band of a senior engineer?"
NEW_FACT = "Monday to Saturday from 07:00 to 20:00"
OLD_FACT = "Monday to Friday from 08:00 to 18:00"
_EXAMPLES = Path("examples")
_FOLDERS = (("handbook", "aurora/handbook"), ("manuals", "harbor/manuals"))


class StoryError(MillstreamError):
    """A step of the demo did not show what it claims."""


@dataclass(frozen=True, slots=True)
class Teller:
    """Numbers the steps and times them."""

    started: float

    @contextmanager
    def step(self, number: int, title: str) -> Iterator[None]:
        """Announce a step and say how long it took."""
        out.rule(f"[bold]{number}. {title}", align="left")
        begun = time.monotonic()
        yield
        out.print(f"   {1000 * (time.monotonic() - begun):.0f} ms", style="dim")


def tell(*, keep: bool) -> None:
    """Run the whole story. Raises StoryError when a step does not hold; leaves nothing running unless `keep`."""
    from cli import running

    teller = Teller(time.monotonic())
    with teller.step(1, "Start Kafka, Weaviate, Postgres, Connect and Millstream itself, on loopback"):
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
    with teller.step(2, "Load two companies' documents from examples/"):
        for source, folder in _FOLDERS:
            _load(source, _EXAMPLES / folder)
    staff = Asker("aurora", ("staff",), "ada", None)
    with teller.step(3, f"Ask, as somebody of Aurora: {QUESTION}"):
        _post_event("helpdesk", "helpdesk-support-hours-delete.json", staff)
        before = _ask(QUESTION, staff)
        _expect(OLD_FACT in str(before.get("answer")), "the answer quotes the handbook's hours")
        _expect("support/support-handbook.md" in _cited(before), "the answer cites the support handbook")
    with teller.step(4, "The helpdesk posts a change to the signed webhook"):
        tokens = _post_event("helpdesk", "helpdesk-support-hours.json", None)
    with teller.step(5, "Ask the same again, at least as fresh as that change"):
        after = _ask(QUESTION, staff, at_least=tokens)
        _expect(NEW_FACT in str(after.get("answer")), "the answer quotes the new hours")
        _expect("announcements/support-hours" in _cited(after), "the answer cites the announcement")
        _expect(_seq(after) > _seq(before), "the position moved on")
    with teller.step(6, "Ask as of the position of the first answer"):
        then = _ask(QUESTION, staff, as_of=_seq(before))
        _expect(then.get("answer") == before.get("answer"), "the answer is the one given then")
    with teller.step(7, "The same question to two companies"):
        aurora, harbor = _ask(HOTEL, staff), _ask(HOTEL, Asker("harbor", ("staff",), "hugo", None))
        _expect("120 EUR" in str(aurora.get("answer")), "Aurora's people read Aurora's limit")
        _expect("95 GBP" in str(harbor.get("answer")), "Harbor's people read Harbor's limit, and nothing of Aurora's")
    with teller.step(8, "The same question with and without the group that may read the document"):
        refused = _ask(SALARY, staff)
        _expect(refused.get("refusal") is not None, "what only hr may read is refused to staff, as if it did not exist")
        _expect("64,000" in str(_ask(SALARY, Asker("aurora", ("hr",), "hana", None)).get("answer")), "hr is answered")


def _ask(question: str, asker: Asker, **body: object) -> Mapping[str, object]:
    answer = post("/v1/query", {"question": question, "wait_ms": 5000, **body}, asker)
    out.print()
    render_answer(answer)
    out.print()
    return answer


def _cited(answer: Mapping[str, object]) -> list[str]:
    citations = answer.get("citations")
    return [citation["doc_id"] for citation in citations] if isinstance(citations, list) else []


def _seq(answer: Mapping[str, object]) -> int:
    position = answer.get("position")
    assert isinstance(position, Mapping)
    return int(position["seq"])


def _expect(holds: bool, claim: str) -> None:
    if not holds:
        raise StoryError(f"the demo does not hold: {claim}: it does not")
    out.print(f"   [green]✓[/] {claim}")


def _load(source: str, folder: Path) -> None:
    from cli.folder import load_folder

    done = load_folder(folder, source, prune=True)
    out.print(f"   {source}: {done.sent} sent, {done.unchanged} unchanged, {done.deleted} deleted, all answerable")


def _post_event(source: str, file: str, wait_as: Asker | None) -> Sequence[str]:
    """Post a signed event; with `wait_as`, wait until it is answerable."""
    from cli.session import open_settings
    from connectors.webhook.client import post_signed

    settings = open_settings()
    begun = time.monotonic()
    tokens = post_signed(settings, source, (_EXAMPLES / "events" / file).read_bytes())
    out.print(f"   {source}: 202 after {1000 * (time.monotonic() - begun):.0f} ms", style="dim")
    if wait_as is not None:
        post("/v1/search", {"question": QUESTION, "at_least": list(tokens), "wait_ms": 5000}, wait_as)
    return tokens


def _how_to_go_on() -> None:
    out.print("Everything is still up. Go on with:")
    for command in (
        'millstream ask --tenant aurora --group staff "How long is the warranty of a Polar heat pump?"',
        "millstream status",
        "millstream down",
    ):
        out.print(f"  {command}", style="bold")
