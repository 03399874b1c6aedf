"""Decides, purely, what differs: seqs and rows, manifests and chunk rows, registers of log and index."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from index.audit.findings import Finding, Kind
from index.manifest import ChunkId
from index.model import (
    OPEN,
    ChunkRow,
    ChunkSubject,
    ContentState,
    DocumentRow,
    Head,
    Place,
    Published,
    Seq,
    chunk_hash,
)
from index.port import DeadRows, OpenChunk
from schemas.identity import Document, Tenant
from schemas.versions import Version

# fmt: off
_STOP_WORDS = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not",
    "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was",
    "will", "with",
))
# fmt: on
"""What the store leaves out of its word index."""


def seq_findings(published: Published, places: Iterable[Place], after: Seq, at_most: Seq) -> list[Finding]:
    """Every seq of after < seq <= at_most has one valid document row; `places` are all rows there."""
    tenant = published.head.tenant
    valid = Counter(place.from_seq for place in places if published.is_valid(place))
    missing = [Finding(Kind.MISSING_ROW, tenant, seq=seq) for seq in range(after + 1, at_most + 1) if not valid[seq]]
    doubled = [Finding(Kind.DOUBLE_ROW, tenant, seq=seq, rows=count) for seq, count in valid.items() if count > 1]
    return missing + sorted(doubled)


def alive(head: Head) -> frozenset[int]:
    """Epochs that published something, or may."""
    return frozenset({*head.earlier, head.epoch})


def chunk_findings(row: DocumentRow, head: Head, chunks: Mapping[ChunkId, ChunkRow]) -> list[Finding]:
    """A state's manifest against its chunk rows."""
    counted: Counter[Kind] = Counter()
    epochs = alive(head)
    for entry in row.manifest:
        chunk = chunks.get(entry.chunk_id)
        kind = Kind.MISSING_CHUNK if chunk is None else _fault_of(chunk, row, entry.hash, epochs)
        if kind is not None:
            counted[kind] += 1
    return _of(row.document, counted)


def _fault_of(chunk: ChunkRow, row: DocumentRow, wanted: str, epochs: Collection[int]) -> Kind | None:
    if chunk.to_seq != OPEN:
        return Kind.CLOSED_CHUNK
    if chunk.epoch not in epochs or chunk.from_seq > row.from_seq:
        return Kind.DEAD_CHUNK
    if chunk.document != row.document or wanted != chunk.hash or chunk_hash(_subject(chunk)) != chunk.hash:
        return Kind.WRONG_CHUNK
    return None if set(row.hint) <= set(chunk.acl) else Kind.NARROW_HINT


def _subject(chunk: ChunkRow) -> ChunkSubject:
    return ChunkSubject(
        document=chunk.document,
        text=chunk.text,
        title=chunk.title,
        heading_path=chunk.heading_path,
        kind=chunk.kind,
        language=chunk.language,
        labels=chunk.labels,
        pii=chunk.pii,
    )


def unlisted(row: DocumentRow, head: Head, open_chunks: Iterable[OpenChunk]) -> list[OpenChunk]:
    """Open chunk rows of a document that its state does not list. Not superseded ones, which wait until the sweep has
    reached the state, and not what is being written, also where hides move the head meanwhile: what failed and stays is
    of a lower epoch, for a writer goes on under a new one.
    """
    if head.swept_seq < row.from_seq:
        return []
    listed = row.chunk_ids()
    return [
        chunk
        for chunk in open_chunks
        if chunk.document == row.document
        and chunk.id not in listed
        and chunk.from_seq <= (row.from_seq if chunk.epoch == head.epoch else head.seq)
    ]


def extra_findings(chunks: Iterable[OpenChunk], collected: Sequence[DeadRows]) -> list[Finding]:
    """Those of unlisted chunk rows that the sweep does not collect as a dead writer's either."""
    counted = Counter(chunk.document for chunk in chunks if not any(_is_of(chunk, dead) for dead in collected))
    return [
        Finding(Kind.EXTRA_CHUNK, document.tenant, document, rows=rows) for document, rows in sorted(counted.items())
    ]


def _is_of(chunk: OpenChunk, dead: DeadRows) -> bool:
    return dead.low <= chunk.epoch < dead.below and chunk.from_seq > dead.above


def hole_findings(
    row: DocumentRow, kind: Kind, found: Collection[ChunkId], asked: Collection[ChunkId]
) -> list[Finding]:
    """Chunk rows of a state that one of the search indexes was asked for and did not find."""
    holes = sum(1 for id_ in row.chunk_ids() if id_ in asked and id_ not in found)
    return _of(row.document, Counter({kind: holes}))


def _of(document: Document, counted: Counter[Kind]) -> list[Finding]:
    return [Finding(kind, document.tenant, document, rows=rows) for kind, rows in sorted(counted.items()) if rows]


def own_word(chunk: ChunkRow) -> str | None:
    """A word of the text that finds the row, as it is written there: the store lowers some letters in another way
    (İ, Σ), and does the same to rows and questions. None where the text has none that the store would index.
    """
    split = "".join(char if char.isalnum() else " " for char in chunk.text).split()
    words = [word for word in split if word.lower() not in _STOP_WORDS]
    plain = [word for word in words if word.isascii()]
    return max(plain or words, key=len, default=None)


@dataclass(frozen=True, slots=True)
class Registers:
    """What documents.changes says of one document: the newest of each register."""

    content: Version | None = None
    content_at: int = -1
    """Offset in the document's partition."""
    deleted: bool = False
    acl: Version | None = None
    acl_at: int = -1


def register_findings(
    document: Document, log: Registers | None, row: DocumentRow | None, read_to: int
) -> list[Finding]:
    """The registers of log and index. `read_to`: the end up to which the document's partition was read, and up to which
    the index has applied it.
    """
    found: list[Kind] = []
    if row is None:
        found = [Kind.MISSING_DOCUMENT] if log is not None else []
    elif log is None:
        found = [Kind.UNKNOWN_DOCUMENT] if row.change.offset < read_to else []
    else:
        if _is_newer(log.content, row.content_version) or _is_newer(log.acl, row.acl_version):
            found.append(Kind.BEHIND_LOG)
        elif log.content == row.content_version and log.deleted != (row.content is ContentState.DELETED):
            found.append(Kind.WRONG_STATE)
        ahead = _is_newer(row.content_version, log.content) or _is_newer(row.acl_version, log.acl)
        if ahead and row.change.offset < read_to:
            found.append(Kind.AHEAD_OF_LOG)
    return [Finding(kind, document.tenant, document) for kind in found]


def _is_newer(one: Version | None, other: Version | None) -> bool:
    return one is not None and (other is None or one > other)


class Told:
    """Which seqs of one tenant index.commits tells of, from the first that it does, in little room."""

    def __init__(self) -> None:
        self._high: Seq | None = None
        self._gaps: set[Seq] = set()

    def add(self, seq: Seq) -> None:
        """A commit tells of it, perhaps again."""
        if self._high is None:
            self._high = seq
        elif seq > self._high:
            self._gaps.update(range(self._high + 1, seq))
            self._high = seq
        else:
            self._gaps.discard(seq)

    def missing(self, head: Seq) -> list[Seq]:
        """Seqs up to the head that nothing tells of."""
        if self._high is None:
            return []
        return sorted({*(seq for seq in self._gaps if seq <= head), *range(self._high + 1, head + 1)})


def commit_findings(tenant: Tenant, told: Told, head: Head) -> list[Finding]:
    """Published seqs that index.commits does not tell of, from the first that it does."""
    return [Finding(Kind.LOST_COMMIT, tenant, seq=seq) for seq in told.missing(head.seq)]
