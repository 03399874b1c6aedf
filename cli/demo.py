"""`millstream demo`: the way of a document, on screen and with times. A step that does not show what it claims
fails it.
"""

from typing import Annotated

import typer

from cli.console import errors_in_one_line


def demo(keep: Annotated[bool, typer.Option("--keep", help="leave everything up afterwards")] = False) -> None:
    """Bring everything up, load the example company, ask, change a document by webhook, ask again."""
    from cli.story import tell

    with errors_in_one_line():
        tell(keep=keep)
