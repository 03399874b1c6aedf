"""What `millstream load` says of a folder of which something was not taken."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli import folder
from cli.folder import Outcome
from cli.loading import load


@pytest.mark.parametrize(
    ("dead", "said", "exit_code"),
    [((), "3 sent, 1 unchanged, 0 deleted, all answerable", 0), (("a.pdf: empty",), "1 not taken, all others", 1)],
)
def test_only_what_was_taken_is_called_answerable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dead: tuple[str, ...], said: str, exit_code: int
) -> None:
    monkeypatch.setattr(folder, "load_folder", lambda *_args, **_named: Outcome(3, 1, 0, waited=True, dead=dead))
    app = typer.Typer()
    app.command()(load)
    done = CliRunner().invoke(app, [str(tmp_path), "--source", "handbook"])
    assert (done.exit_code, said in done.output) == (exit_code, True)
    assert ("still answered" in done.output) is bool(dead)


def test_what_is_not_sent_or_left_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    skipped = {"other kind of file": tuple(f"{number}.png" for number in range(7)), "hidden": (".git",)}
    done = Outcome(0, 1, 0, waited=True, given_up=("a.pdf: malformed: truncated [here]",), skipped=skipped)
    monkeypatch.setattr(folder, "load_folder", lambda *_args, **_named: done)
    app = typer.Typer()
    app.command()(load)
    shown = CliRunner().invoke(app, [str(tmp_path), "--source", "handbook"])
    assert shown.exit_code == 1
    assert "1 not sent again, all others answerable" in shown.output
    assert "left out: 7 (other kind of file): 0.png, 1.png, 2.png, 3.png, 4.png, … (all: --json)" in shown.output
    assert "left out: 1 (hidden): .git\n" in shown.output
    assert "not sent again a.pdf: malformed: truncated [here]" in shown.output
    assert "`millstream dlq redrive --source handbook`" in shown.output
