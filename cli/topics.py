"""`millstream topics plan|apply`: what topics.yaml states against what the broker has."""

import typer

from cli.console import JSON, errors_in_one_line, out, show

app = typer.Typer(help="compare topics.yaml with the broker, and bring the broker in line", no_args_is_help=True)


@app.command()
def plan(as_json: bool = JSON) -> None:
    """Show what `apply` would do; exit 1 when it would refuse."""
    _run(as_json, execute=False)


@app.command()
def apply(as_json: bool = JSON) -> None:
    """Create missing topics and bring configurations in line; partition counts never change."""
    _run(as_json, execute=True)


def _run(as_json: bool, *, execute: bool) -> None:
    from cli.bootstrap import cdc_sources
    from cli.session import open_settings
    from runtime.declarations import load_sources, load_topics
    from runtime.kafka import KafkaAdmin

    with errors_in_one_line():
        settings = open_settings()
        declared = load_topics(settings)
        wanted = declared.concrete(sources=cdc_sources(load_sources(settings)), generations=(settings.generation,))
        admin = KafkaAdmin(settings)
        found = admin.plan(wanted)
        actions = [str(action) for action in found.actions]
        refusals = [str(refusal) for refusal in found.refusals]
        if execute:
            admin.apply(found)

        def render() -> None:
            for line in actions:
                out.print(f"[green]{'done' if execute else 'would'}[/] {line}")
            for line in refusals:
                out.print(f"[red]refused[/] {line}")
            if not actions and not refusals:
                out.print(f"{len(wanted)} topics are as topics.yaml states")

        show({"actions": actions, "refusals": refusals, "applied": execute, "topics": len(wanted)}, as_json, render)
        if refusals:
            raise typer.Exit(1)
