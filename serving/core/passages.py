"""A passage: one retrieved chunk with everything the deciders of serving look at. No I/O, nothing of the store."""

from dataclasses import dataclass
from datetime import datetime

from schemas.identity import Document


@dataclass(frozen=True, slots=True)
class Passage:
    """One chunk that survived retrieval, with its text."""

    chunk_id: str
    document: Document
    title: str
    heading_path: tuple[str, ...]
    text: str
    event_time: datetime | None
    place: int
    """Index in its document's manifest."""
    cosine: float
    """Raw cosine of question and chunk, in [-1, 1]; never a fused or normalised score."""
    support: float
    """Share of the question's content words that stand in title, headings or text, in [0, 1]."""
    is_about: bool = True
    """Whether every code and model number that the question names stands in title, headings or text."""
    part: int = 0
    """Of its document: 0 the document itself, n its n-th attachment."""

    @property
    def whole(self) -> tuple[Document, int]:
        """What it is a passage of to who reads: the document, or one of its attachments."""
        return self.document, self.part

    @property
    def heading(self) -> str:
        """Title and headings as one line."""
        return " / ".join((self.title, *self.heading_path))
