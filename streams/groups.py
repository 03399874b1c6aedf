"""Names of the stages' consumer groups, without the installation's prefix: what a build acknowledges is its own.

A generation prepares for itself; every incarnation applies for itself. `hide` serves all of them.
"""

from index.model import IndexIdentity

HIDE_GROUP = "millstream.hide"


def prepare_group(generation: str) -> str:
    """Of documents.changes -> index.mutations.<generation>."""
    return f"millstream.prepare.{generation}"


def apply_group(identity: IndexIdentity) -> str:
    """Of index.mutations.<generation> -> one incarnation."""
    return f"millstream.apply.{identity.generation}.{identity.incarnation}"


def hides_group(identity: IndexIdentity) -> str:
    """Of index.hides -> one incarnation."""
    return f"{apply_group(identity)}.hides"
