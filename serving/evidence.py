"""Turns what retrieval found into passages, and passages into what a response says of their origin."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from index.manifest import ChunkId, Entry
from index.model import ChunkRow, DocumentRow, Vector
from index.reader import Retrieved
from schemas.identity import Document
from schemas.records import Part
from serving.core.parts import shown_id
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
    def whole(self) -> Part:
        """Title and kind of what it is a passage of: the document, or one of its attachments."""
        return self.row.whole(self.entry.part)

    @property
    def doc_id(self) -> str:
        """The id it is shown under: the document's, or its attachment's."""
        return shown_id(self.row.document.doc_id, self.entry.part)

    @property
    def part_of(self) -> str | None:
        """Of an attachment the document that it is a part of."""
        return self.row.document.doc_id if self.entry.part else None

    @property
    def neighbours(self) -> tuple[ChunkId | None, ChunkId | None]:
        """The chunks before and after this one, of the same part."""
        return self._chunk_at(self.passage.place - 1), self._chunk_at(self.passage.place + 1)

    def _chunk_at(self, place: int) -> ChunkId | None:
        manifest = self.row.manifest
        if not 0 <= place < len(manifest) or manifest[place].part != self.entry.part:
            return None
        return manifest[place].chunk_id


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
        title = row.whole(entry.part).title
        heading = " / ".join((title, *chunk.heading_path))
        passage = Passage(
            chunk_id=chunk_id,
            document=row.document,
            title=title,
            heading_path=chunk.heading_path,
            text=chunk.text,
            event_time=row.event_time,
            place=place,
            cosine=cosines[chunk_id] if chunk_id in cosines else _cosine(vector, chunk.vector),
            support=support(asked, (heading, chunk.text)),
            is_about=not named or named <= {*words(heading), *words(chunk.text)},
            part=entry.part,
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


def origin(evidence: Evidence, quotes: Sequence[str] = ()) -> Origin:
    """Where a passage comes from, by the page on which the first of its quotes begins."""
    row, entry = evidence.row, evidence.entry
    begins = _place(quotes[0], evidence.passage.text) if quotes else 0
    return Origin(
        topic=row.change.topic,
        partition=row.change.partition,
        offset=row.change.offset,
        connector=row.origin.connector,
        reference=row.origin.reference,
        page=entry.page_at(begins),
        start=entry.start,
        end=entry.end,
    )


def _place(quote: str, text: str) -> int:
    """Where a quote begins in its chunk's text, white space aside; 0 where it does not stand there."""
    found = re.search(r"\s+".join(map(re.escape, quote.split())), text)
    return found.start() if found else 0


def citation(number: int, evidence: Evidence, quotes: Sequence[str]) -> Citation:
    """Citation `number`: the words quoted from one passage."""
    row = evidence.row
    return Citation(
        n=number,
        chunk_id=evidence.passage.chunk_id,
        source=row.document.source,
        doc_id=evidence.doc_id,
        part_of=evidence.part_of,
        title=evidence.whole.title,
        kind=evidence.whole.kind,
        url=row.url,
        version=None if row.content_version is None else str(row.content_version),
        quote=" … ".join(quotes),
        origin=origin(evidence, quotes),
    )
