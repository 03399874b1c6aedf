"""Turns what retrieval found into passages, and passages into what a response says of their origin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from index.manifest import ChunkId, Entry
from index.model import ChunkRow, DocumentRow, Vector
from index.reader import Retrieved
from schemas.identity import Document
from serving.core.passages import Passage
from serving.core.threshold import designations, support
from serving.core.words import terms, words
from serving.models import Citation, Origin


@dataclass(frozen=True, slots=True)
class Evidence:
    """A passage with the rows it was made of."""

    passage: Passage
    chunk: ChunkRow
    row: DocumentRow
    entry: Entry
    copies: tuple["Evidence", ...] = ()
    """Chunks that say the same, of documents that the caller may read as well."""

    @property
    def neighbours(self) -> tuple[ChunkId | None, ChunkId | None]:
        """The document's chunks before and after this one."""
        manifest, place = self.row.manifest, self.passage.place
        before = manifest[place - 1].chunk_id if place > 0 else None
        return before, manifest[place + 1].chunk_id if place + 1 < len(manifest) else None


def gather(
    question: str, vector: Vector, ranked: Sequence[ChunkId], found: Retrieved, chunks: Mapping[ChunkId, ChunkRow]
) -> tuple[Evidence, ...]:
    """The ranked chunks that still exist, in order. Cosines are raw; a chunk found by words alone gets one, too."""
    asked, named = terms(question), designations(question)
    cosines = {hit.chunk_id: hit.score for hit in found.vector}
    documents = {hit.chunk_id: hit.document for hit in (*found.vector, *found.lexical)}
    entries = _entries(found.rows, {documents[chunk_id] for chunk_id in ranked})
    gathered = []
    for chunk_id in ranked:
        chunk = chunks.get(chunk_id)
        if chunk is None:
            continue
        row = found.rows[documents[chunk_id]]
        place, entry = entries[chunk_id]
        heading = " / ".join((row.title, *chunk.heading_path))
        passage = Passage(
            chunk_id=chunk_id,
            document=row.document,
            title=row.title,
            heading_path=chunk.heading_path,
            text=chunk.text,
            event_time=row.event_time,
            place=place,
            cosine=cosines[chunk_id] if chunk_id in cosines else _cosine(vector, chunk.vector),
            support=support(asked, (heading, chunk.text)),
            is_about=not named or named <= {*words(heading), *words(chunk.text)},
        )
        gathered.append(Evidence(passage, chunk, row, entry))
    return tuple(gathered)


def _entries(rows: Mapping[Document, DocumentRow], documents: set[Document]) -> dict[ChunkId, tuple[int, Entry]]:
    return {
        entry.chunk_id: (place, entry) for document in documents for place, entry in enumerate(rows[document].manifest)
    }


def _cosine(question: Vector, chunk: Vector | None) -> float:
    """Both are of unit length."""
    return 0.0 if chunk is None else float(np.dot(question, chunk))


def origin(evidence: Evidence) -> Origin:
    """Where a passage comes from."""
    row, entry = evidence.row, evidence.entry
    return Origin(
        topic=row.change.topic,
        partition=row.change.partition,
        offset=row.change.offset,
        connector=row.origin.connector,
        reference=row.origin.reference,
        page=entry.page,
        start=entry.start,
        end=entry.end,
    )


def citation(number: int, evidence: Evidence, quotes: Sequence[str]) -> Citation:
    """Citation `number`: the words quoted from one passage."""
    row = evidence.row
    return Citation(
        n=number,
        chunk_id=evidence.passage.chunk_id,
        source=row.document.source,
        doc_id=row.document.doc_id,
        title=row.title,
        url=row.url,
        version=None if row.content_version is None else str(row.content_version),
        quote=" … ".join(quotes),
        origin=origin(evidence),
    )
