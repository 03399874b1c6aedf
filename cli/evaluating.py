"""`millstream eval`: the golden questions, asked of the running API and judged."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import JSON, errors_in_one_line, out, show

FOLDER = Path(__file__).parent.parent / "evaluation" / "golden"


def evaluate(
    name: Annotated[
        str, typer.Option("--set", help="first_light (tuned on) or held_out (never tuned on)")
    ] = "held_out",
    as_json: bool = JSON,
) -> None:
    """Ask the golden questions about examples/; exit 1 when a forbidden string is said or a refusal is answered."""
    import asyncio

    from cli.session import open_settings
    from evaluation.asking import ask_all
    from evaluation.golden import load_golden
    from evaluation.run import is_unsafe, score

    with errors_in_one_line():
        judged = asyncio.run(ask_all(open_settings(), load_golden(FOLDER / f"{name}.yaml").questions))
        found = score(judged)
        faults = {one.question.id: "; ".join(one.faults) for one in judged if not one.is_right}

        def render() -> None:
            for question, fault in faults.items():
                out.print(f"{question:<28} {fault}", markup=False)
            out.print(f"{name}: answers right {found.answers_right} of {found.answers}, ", end="")
            out.print(f"refusals right {found.refusals_right} of {found.refusals}")

        described = {
            "set": name,
            "answers_right": found.answers_right,
            "answers": found.answers,
            "refusals_right": found.refusals_right,
            "refusals": found.refusals,
            "faults": faults,
        }
        show(described, as_json, render)
        if any(is_unsafe(one) for one in judged):
            raise typer.Exit(1)
