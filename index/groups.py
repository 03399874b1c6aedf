"""Names of the consumer groups by which a build acknowledges, without the installation's prefix.

They stand here, because whoever follows a switch asks Kafka how far a build is.
"""

from index.model import IndexIdentity


def apply_group(identity: IndexIdentity) -> str:
    """Of index.mutations.<generation> -> one incarnation."""
    return f"millstream.apply.{identity.generation}.{identity.incarnation}"


def hides_group(identity: IndexIdentity) -> str:
    """Of index.hides -> one incarnation."""
    return f"{apply_group(identity)}.hides"
