"""What becomes of each mutation or hide that a writer is handed, and how hides wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from index.model import DocumentRow
from index.rows import PositionedHide
from schemas.records import Commit

Endangered = DocumentRow
"""The document as it stands, whose content (or acl, for an acl alone) counts more than that of the mutation handed in,
and lies before it in documents.changes: compaction would keep the wrong one of the two.
"""


@dataclass(frozen=True, slots=True)
class Committed:
    """Made visible by this commit."""

    commit: Commit
    endangered: Endangered | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Redelivered:
    """Was visible already; its commit was computed again and emitted again."""

    commit: Commit
    endangered: Endangered | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Changes nothing: every register it carries has its version or a higher one."""

    conflict: bool
    endangered: Endangered | None = field(default=None, compare=False)


Outcome = Committed | Redelivered | Unchanged


class Waiting(Protocol):
    """Hides that come in while a batch is being written: they do not wait until all its chunk rows are in."""

    def take(self) -> Sequence[PositionedHide]:
        """Those that wait now, one a document; none: empty. What is not settled before an error was not committed."""
        ...

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """The outcomes of what was taken last, in its order: it is visible."""
        ...


class NobodyWaits:
    """`Waiting` where there are no hides."""

    def take(self) -> Sequence[PositionedHide]:
        """See `Waiting`."""
        return ()

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """See `Waiting`."""
