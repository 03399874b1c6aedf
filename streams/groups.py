"""Names of the stages' consumer groups, without the installation's prefix: what a build acknowledges is its own.

A generation prepares for itself; every incarnation applies for itself. `hide` serves all of them.
"""

from index.groups import apply_group, hides_group

__all__ = ["HIDE_GROUP", "apply_group", "capture_group", "hides_group", "prepare_group"]

HIDE_GROUP = "millstream.hide"


def capture_group(source: str) -> str:
    """Of cdc.<source> -> documents.changes."""
    return f"millstream.capture.{source}"


def prepare_group(generation: str) -> str:
    """Of documents.changes -> index.mutations.<generation>."""
    return f"millstream.prepare.{generation}"
