"""Passages in few words."""

from datetime import datetime

from schemas.identity import Document
from serving.core.passages import Passage


def passage(
    text: str,
    *,
    doc: str = "a",
    title: str = "Title",
    heading: tuple[str, ...] = (),
    cosine: float = 0.6,
    support: float = 1.0,
    time: datetime | None = None,
    place: int = 0,
    is_about: bool = True,
) -> Passage:
    """A passage; its id is its document and place."""
    document = Document.checked("acme", "web", doc)
    return Passage(f"{doc}-{place}", document, title, heading, text, time, place, cosine, support, is_about)
