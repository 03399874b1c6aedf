"""How commands end and what they print: one line for an error, one JSON document, 130 after Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import typer

from cli.console import errors_in_one_line, plain, show
from cli.http import RefusedError, send
from schemas.errors import BrokenIndexError, ConfigError, MillstreamError, PermanentError, TransientError
from tests.unit.cli.conftest import Project


@pytest.mark.parametrize("kind", [ConfigError, TransientError, PermanentError, BrokenIndexError])
def test_what_millstream_raises_on_purpose_is_one_line_and_exit_1(
    kind: type[MillstreamError], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, errors_in_one_line():
        raise kind("topic [a] is missing: run `millstream topics apply`")
    assert ended.value.exit_code == 1
    printed = capsys.readouterr()
    assert printed.err == "millstream: topic [a] is missing: run `millstream topics apply`\n"
    assert printed.out == ""


def test_a_bug_of_ours_is_not_dressed_up_as_an_error_of_the_user() -> None:
    with pytest.raises(ZeroDivisionError), errors_in_one_line():
        raise ZeroDivisionError


def test_ctrl_c_is_exit_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, errors_in_one_line():
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "millstream: stopped\n"


def test_ctrl_c_ends_a_command_that_follows_a_log(project: Project) -> None:
    (project.folder / ".millstream" / "logs" / "kafka.log").write_text("first line\n")
    command = [sys.executable, "-m", "cli", "logs", "kafka", "--follow"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "first line\n"
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=60)
    assert following.returncode == 130
    assert err == "millstream: stopped\n"


def test_json_is_one_document_and_the_renderer_stays_silent(capsys: pytest.CaptureFixture[str]) -> None:
    def render() -> None:
        raise AssertionError("nothing else is printed")

    show({"path": Path("x"), "list": [1]}, True, render)
    assert orjson.loads(capsys.readouterr().out) == {"path": "x", "list": [1]}


def test_a_problem_is_told_by_status_title_and_detail() -> None:
    assert (
        str(RefusedError(404, {"title": "Not found", "detail": "No such thing."}))
        == "HTTP 404: Not found: No such thing."
    )
    assert str(RefusedError(502, {})) == "HTTP 502: "


def test_only_http_addresses_are_called() -> None:
    with pytest.raises(ConfigError, match="http"):
        send("GET", "file:///etc/passwd", None, {})


def test_text_of_a_document_cannot_speak_to_the_terminal() -> None:
    assert plain("a\x1b[31mb\x9b2J\tc\nd") == "a [31mb 2J\tc\nd"
