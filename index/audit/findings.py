"""What an audit can find, as values: no text, and no more than it takes to repair it."""

from dataclasses import dataclass
from enum import StrEnum

from index.model import Seq
from schemas.identity import Document, Source, Tenant


class Kind(StrEnum):
    """How parts differ; the stable names of alerts and metrics."""

    MISSING_CHUNK = "missing_chunk"
    """A chunk row that a manifest lists is not there."""
    WRONG_CHUNK = "wrong_chunk"
    """A listed chunk row is not what the manifest or its own hash says."""
    CLOSED_CHUNK = "closed_chunk"
    """A listed chunk row is closed: no search at the head finds it."""
    DEAD_CHUNK = "dead_chunk"
    """A listed chunk row is of an epoch that published nothing: the sweep would remove it."""
    NARROW_HINT = "narrow_hint"
    """A listed chunk row was not written for everyone who may read its document."""
    VECTOR_HOLE = "vector_hole"
    """A listed chunk row is not in the vector graph: no question finds it by its meaning."""
    WORD_HOLE = "word_hole"
    """A listed chunk row is not found by its own words."""
    EXTRA_CHUNK = "extra_chunk"
    """An open chunk row that no manifest lists, and no sweep will take away."""
    DEAD_ROW = "dead_row"
    """Rows of a dead writer, which the sweep has not collected."""
    MISSING_ROW = "missing_row"
    """A published seq without a document row: the head is ahead of its rows."""
    DOUBLE_ROW = "double_row"
    """A published seq with several valid document rows."""
    LOST_COMMIT = "lost_commit"
    """A published seq that index.commits does not tell of."""
    MISSING_DOCUMENT = "missing_document"
    """The log has a document that the index has not."""
    BEHIND_LOG = "behind_log"
    """The log has a newer register than the index."""
    AHEAD_OF_LOG = "ahead_of_log"
    """The index has a newer register than the log: a build from documents.changes would differ."""
    WRONG_STATE = "wrong_state"
    """A document is there that the log says is deleted in this version, or the other way round."""
    UNKNOWN_DOCUMENT = "unknown_document"
    """The index has a document that the log does not know."""
    SILENT_SOURCE = "silent_source"
    """A source has said nothing for longer than it may."""


OF_CONTENT = frozenset(
    {
        Kind.MISSING_CHUNK,
        Kind.WRONG_CHUNK,
        Kind.CLOSED_CHUNK,
        Kind.DEAD_CHUNK,
        Kind.NARROW_HINT,
        Kind.VECTOR_HOLE,
        Kind.WORD_HOLE,
        Kind.EXTRA_CHUNK,
        Kind.MISSING_DOCUMENT,
        Kind.BEHIND_LOG,
        Kind.WRONG_STATE,
    }
)
"""What the document's newest change repairs, appended again and marked."""
OF_HISTORY = frozenset({Kind.MISSING_ROW, Kind.DOUBLE_ROW})
"""What leaves positions of which nobody can say what was there: history ends there."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One difference. Found twice, some seconds apart, it is no work under way."""

    kind: Kind
    tenant: Tenant
    document: Document | None = None
    seq: Seq | None = None
    source: Source | None = None
    rows: int = 1
    """How many rows of this document or tenant."""

    @property
    def key(self) -> tuple[Kind, Tenant, Document | None, Seq | None, Source | None]:
        """Which difference it is, however many rows it has."""
        return self.kind, self.tenant, self.document, self.seq, self.source
