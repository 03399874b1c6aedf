"""How the command line speaks: tables and colour for a person, one JSON document for a program, one line for an
error.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import typer
from rich.console import Console

from schemas.errors import MillstreamError

_CONTROL = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160)), " ")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

JSON = typer.Option(False, "--json", help="print one JSON document instead of text")

INTERRUPTED = 130


def plain(text: object) -> str:
    """Text of a document for a terminal: what it says to the terminal itself (escape sequences) is blanked."""
    return str(text).translate(_CONTROL)


def show(value: object, as_json: bool, render: Callable[[], None]) -> None:
    """Print `value` as JSON, or let `render` print it for a person."""
    if as_json:
        sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS, default=str).decode())
        sys.stdout.write("\n")
    else:
        render()


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Whatever Millstream raises on purpose ends the command with one line and exit 1; Ctrl-C with exit 130."""
    try:
        yield
    except MillstreamError as error:
        err.print(f"[red]millstream:[/] {_escaped(str(error))}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        err.print("[yellow]millstream:[/] stopped")
        raise typer.Exit(INTERRUPTED) from None


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
