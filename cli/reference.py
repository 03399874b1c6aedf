"""Writes docs/reference from the code: settings, topics, metrics, errors, commands. `make docs` runs it; a test holds
the files to it.
"""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import typer

from runtime.metrics import METRICS
from runtime.settings import PACKAGED_TOPICS, Settings
from schemas import errors
from schemas.topics import parse_topics

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
_NOTE = "<!-- Written by `make docs`. Edit the code it is made from. -->"

_SETTINGS = (
    "Read once by each process from its environment. `millstream up` writes a development profile into `.millstream/` "
    "and passes it on; what the environment sets itself wins."
)
_TOPICS = "Stated in topics.yaml; `millstream topics plan|apply` brings the brokers in line."
_METRICS = (
    "Prometheus text at `/metrics` of the API, the webhook receiver and each stage (`MILLSTREAM_METRICS_PORT`; under "
    "`millstream up` 18811 to 18815: prepare, apply, hide, capture, builds). Processes that `builds` keeps up for "
    "other builds than the installation's own have none: after a switch set MILLSTREAM_GENERATION and "
    "MILLSTREAM_INCARNATION to the live build's and start again. No label holds text of documents or of questions."
)
_COMMANDS = "Every command has `--help`; those that print have `--json`."

Row = tuple[str, ...]


class _Parameter(Protocol):
    """An option or an argument of a command."""

    @property
    def name(self) -> str | None: ...
    @property
    def opts(self) -> list[str]: ...


class _Verb(Protocol):
    """A command of the command line, or a group of them."""

    help: str | None
    hidden: bool

    @property
    def params(self) -> Sequence[_Parameter]: ...


def pages() -> dict[str, str]:
    """File name -> text of every generated page."""
    return {
        "settings.md": _page("Settings", _SETTINGS, _table(("variable", "default", "meaning"), _setting_rows())),
        "topics.md": _page("Topics", _TOPICS, _table(_TOPIC_HEAD, _topic_rows())),
        "metrics.md": _page("Metrics", _METRICS, _table(("metric", "kind", "labels", "meaning"), _metric_rows())),
        "errors.md": _page("Errors", _error_tree(), _table(("error", "is a", "reason", "meaning"), _error_rows())),
        "commands.md": _page("Commands", _COMMANDS, _table(("command", "what it does", "options"), _command_rows())),
    }


def _page(title: str, introduction: str, body: str) -> str:
    return f"{_NOTE}\n\n# {title}\n\n{introduction}\n\n{body}"


def _table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def _setting_rows() -> Iterator[Row]:
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "") or "Secret" in str(field.annotation) else f"`{field.default}`"
        if name == "topics_file":
            default = "the packaged topics.yaml"
        yield f"`MILLSTREAM_{name.upper()}`", default, field.description or ""


_TOPIC_HEAD = ("topic", "key", "partition by", "partitions", "cleanup", "dead letters", "holds")


def _topic_rows() -> Iterator[Row]:
    topics = parse_topics(PACKAGED_TOPICS.read_text(encoding="utf-8"))
    for topic in topics.topics:
        kept = f"delete after {topic.retention_days} d" if topic.retention_days else "compact"
        count = str(topics.partitions(topic.name))
        yield f"`{topic.name}`", topic.key, topic.partition_by, count, kept, topic.dead_letters, topic.holds


def _metric_rows() -> Iterator[Row]:
    for metric in METRICS:
        yield f"`{metric.name}`", metric.kind, ", ".join(metric.labels), metric.help


def _error_tree() -> str:
    tree = (errors.__doc__ or "").partition("\n\n")[2].strip()
    return f"```\n{tree}\n```"


def _error_rows() -> Iterator[Row]:
    for name, found in inspect.getmembers(errors, inspect.isclass):
        if found.__module__ == errors.__name__:
            reason = f"`{found.reason}`" if issubclass(found, errors.PermanentError) else ""
            yield f"`{name}`", found.__bases__[0].__name__, reason, " ".join((found.__doc__ or "").split())


def _command_rows() -> Iterator[Row]:
    from cli.__main__ import app

    return _verbs(typer.main.get_command(app), "millstream")


def _verbs(command: _Verb, path: str) -> Iterator[Row]:
    nested = getattr(command, "commands", None)
    if nested:
        if getattr(command, "invoke_without_command", False):
            yield _verb(command, path)
        for name, child in nested.items():
            if not child.hidden:
                yield from _verbs(child, f"{path} {name}")
        return
    yield _verb(command, path)


def _verb(command: _Verb, path: str) -> Row:
    options = [max(found.opts, key=len) for found in command.params if found.opts[0].startswith("-")]
    arguments = [(found.name or "").upper() for found in command.params if not found.opts[0].startswith("-")]
    text = " ".join((command.help or "").split("\f")[0].split())
    return f"`{' '.join([path, *arguments])}`", text, " ".join(f"`{option}`" for option in options)


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
