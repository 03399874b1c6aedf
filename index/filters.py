"""What a question is narrowed to: what the legs ask the store for, and what only a manifest can tell."""

from dataclasses import dataclass
from datetime import datetime

from index.model import Seq
from index.port import LegFilter
from schemas.identity import Document


@dataclass(frozen=True, slots=True)
class Filters:
    """The user's filters; empty means any."""

    sources: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()
    parts: tuple[tuple[Document, int], ...] = ()
    """Of a document that is named here, which is one of `documents`, these parts alone."""
    after: datetime | None = None
    before: datetime | None = None

    def leg(self, at: Seq, principals: frozenset[str]) -> LegFilter:
        """As both legs ask it at a position."""
        return LegFilter(
            at=at,
            principals=principals,
            sources=self.sources,
            kinds=self.kinds,
            languages=self.languages,
            labels=self.labels,
            documents=self.documents,
            after=self.after,
            before=self.before,
        )

    def parts_of(self, document: Document) -> frozenset[int] | None:
        """The parts of a document that may be found; None: all."""
        return frozenset(part for one, part in self.parts if one == document) or None


NO_FILTERS = Filters()
