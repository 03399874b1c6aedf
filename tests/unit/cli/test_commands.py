"""The command line as a whole: every command explains itself, and what is written about commands is true."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.testing import CliRunner

from cli.__main__ import app

ROOT = Path(__file__).parents[3]
PACKAGES = (
    "schemas",
    "runtime",
    "index",
    "connectors",
    "streams",
    "serving",
    "infra",
    "cli",
    "evaluation",
    "benchmarks",
)
WRITTEN = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "sources.example.yaml", "topics.yaml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
    *(file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))),
)
NAMED = re.compile(r"(?:`|bin/)millstream ((?:[a-z][a-z|]*)(?: [a-z][a-z|]*)?)")
WITHOUT_JSON = {("logs",), ("demo",), ("bootstrap",)}
"""What prints another program's lines, tells a story, or is run by the launcher alone."""
Command = TyperCommand | TyperGroup
HEAVY = ("weaviate", "grpc", "faust", "aiokafka", "confluent_kafka", "aiohttp", "onnxruntime", "unstructured", "numpy")


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Every command with its path, groups included."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))


def root() -> TyperGroup:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


COMMANDS = dict(commands(root()))
SINGLE = {path: command for path, command in COMMANDS.items() if not isinstance(command, TyperGroup)}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_each_of_its_options(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, TyperOption):
            assert parameter.opts[0] in result.output
            assert parameter.help, f"{' '.join(path)} {parameter.opts[0]} says nothing"


@pytest.mark.parametrize("path", SINGLE, ids=" ".join)
def test_every_command_can_speak_json(path: tuple[str, ...]) -> None:
    options = {name for parameter in SINGLE[path].params for name in parameter.opts}
    assert ("--json" in options) == (path not in WITHOUT_JSON)


def test_commands_that_are_written_about_exist() -> None:
    seen = 0
    for file in WRITTEN:
        for named in NAMED.findall(file.read_text(encoding="utf-8")):
            for path in spelled_out(named):
                assert path in COMMANDS, f"{file.relative_to(ROOT)} names `millstream {' '.join(path)}`"
                seen += 1
    assert seen > 30


def spelled_out(named: str) -> Iterator[tuple[str, ...]]:
    """`dlq list|show` names two commands, `up|down` too; what follows a command without commands is an argument."""
    first, _, second = named.partition(" ")
    for verb in first.split("|"):
        if isinstance(COMMANDS.get((verb,)), TyperGroup) and second:
            yield from ((verb, word) for word in second.split("|"))
        else:
            yield (verb,)


@pytest.mark.parametrize("arguments", [("nonsense",), ("ask",), ("load", "x"), ("dlq", "show", "--nonsense")])
def test_a_wrong_use_is_told_with_exit_2(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, list(arguments)).exit_code == 2


def test_help_imports_no_client_and_no_model() -> None:
    code = f"import sys, cli.__main__; print([name for name in {HEAVY!r} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
