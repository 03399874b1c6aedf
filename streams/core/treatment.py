"""What leaves `prepare` of a change: its document, title, url and labels with the personal data out of them. Pure.

The doc_id stays: it is the document's identity, and so are event id, actor and origin the source's own statement about
the change. Sources must not put into them what nobody may see.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import takewhile
from urllib.parse import unquote, unquote_plus

from schemas.records import DocumentChange, Part
from schemas.redaction import Action, Kind, Policy
from streams.core.blocks import Block, BlockKind, ParsedDocument
from streams.core.chunk import Chunk
from streams.core.redaction import (
    Finding,
    Findings,
    Pseudonym,
    Redacted,
    Search,
    Sighted,
    chosen,
    redact_document,
    redact_text,
)
from streams.core.scripts import visible

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
_IN_LABEL = ": "
_UNTITLED = "(untitled)"

Table = tuple[Block, frozenset[Kind]]
"""A table of a document and the kinds of personal data in it."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """How one source's documents are treated for one tenant; `fingerprint` differs where an outcome could."""

    policy: Policy
    pseudonym: Pseudonym
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Treated:
    """A change and its document as they may be seen, and what was found."""

    change: DocumentChange
    document: ParsedDocument
    text: Redacted
    shared: frozenset[Kind]
    """Kinds found in what every chunk carries: title and labels."""
    counts: Counter[tuple[Kind, Action]]
    """How many values were found, by what became of them."""
    headings: Mapping[str, frozenset[Kind]] = field(default_factory=dict)
    """Headings with personal data in them, as lines: chunks that they do not lie in carry their words."""
    tables: tuple[Table, ...] = ()
    """Tables with personal data in them, in order: each of a table's chunks may carry its column names."""
    parts: tuple[frozenset[Kind], ...] = ()
    """Kinds in the title of each part."""
    starts: Mapping[int, int] = field(default_factory=dict)
    """Where each part begins in the text as parsed."""

    def span_of(self, piece: Chunk) -> tuple[int, int]:
        """Where a chunk lies in the text as parsed of the part that it is of."""
        start, end = self.text.source_span(piece.start, piece.end)
        begin = self.starts[piece.part]
        return start - begin, end - begin

    def kinds_of(self, pieces: Iterable[Chunk]) -> list[tuple[str, ...]]:
        """Kinds of personal data in each chunk's text, headings, column names, title and labels; sorted."""
        if not self.shared and not self.text.edits and not any(self.parts):
            return [() for _ in pieces]
        lines = sorted(self.headings)

        @cache
        def of_heading(heading: str) -> frozenset[Kind]:
            """Of the headings that begin so: a long one is carried in part."""
            following = (lines[number] for number in range(bisect_left(lines, heading), len(lines)))
            alike = takewhile(lambda line: line.startswith(heading), following)
            return frozenset[Kind]().union(*(self.headings[line] for line in alike))

        def of(piece: Chunk) -> frozenset[Kind]:
            inside = self.text.kinds_between(piece.start, piece.end) | self._of_table(piece.start)
            of_title = self.parts[piece.part - 1] if piece.part > 0 and self.parts else ()
            return self.shared.union(inside, of_title, *map(of_heading, piece.heading_path))

        return [tuple(sorted(of(piece))) for piece in pieces]

    def _of_table(self, place: int) -> frozenset[Kind]:
        """Kinds in the table whose beginning lies before a place within it."""
        number = bisect_left(self.tables, place, key=lambda table: table[0].start)
        if number == 0:
            return frozenset()
        block, kinds = self.tables[number - 1]
        return kinds if place < block.end else frozenset()


def named_after(doc_id: str) -> str:
    """A title for a document without one: the last part of its doc_id as it reads without escapes and suffix."""
    last = unquote(doc_id.rstrip("/").rsplit("/", 1)[-1])
    shown = "".join(character if character.isprintable() else " " for character in visible(last))
    return _SUFFIX.sub("", shown).strip() or doc_id


def search_for(change: DocumentChange, policy: Policy) -> Search:
    """What to look for in a change. Nothing to look for: no sides either."""
    kinds = tuple(kind for kind in policy.sought if kind is not Kind.PRIVATE)
    private = change.private if policy.actions[Kind.PRIVATE] is not Action.IGNORE else ()
    if not kinds and not private:
        return Search()
    labels = (visible(f"{key}{_IN_LABEL}{value}") for key, value in sorted(change.labels.items()))
    return Search(kinds, private, (visible(change.title or ""), named_after(change.doc_id), _read(change.url), *labels))


def _read(url: str | None) -> str:
    """A url as it is, and as it reads without its escapes."""
    return visible(f"{url}\n{unquote_plus(url)}") if url else ""


def treat(change: DocumentChange, search: Search, sighted: Sighted, treatment: Treatment) -> Treated:
    """Take out what the policy does not let stay. `sighted` answers `search`."""
    policy, pseudonym = treatment.policy, treatment.pseudonym
    document, text = redact_document(sighted.document, sighted.text, policy, pseudonym)
    starts = {block.part: block.start for block in reversed(sighted.document.blocks)}
    if not search.sides:
        counts = _counted([text], policy)
        return Treated(change, document, text, frozenset(), counts, *_touched(document, text), starts=starts)
    in_title, in_name, in_url, *in_labels = sighted.sides
    given = redact_text(search.sides[0], in_title, policy, pseudonym)
    own = redact_text(sighted.document.title or "", sighted.title, policy, pseudonym)
    name = redact_text(search.sides[1], in_name, policy, pseudonym)
    title = next((title for title in (given, own, name) if title.text.strip()), Redacted(_UNTITLED))
    labels, found = _labels(change, in_labels, treatment)
    seen = change.model_copy(
        update={
            "title": title.text,
            "url": None if _is_taken_out(in_url, policy) else change.url,
            "labels": labels,
            "private": (),
        }
    )
    parts, names = _parts(sighted, treatment)
    shared = title.kinds.union(*(label.kinds for label in found))
    counts = _counted([text, title, *names, *found], policy)
    whole = replace(document, title=own.text or None, parts=parts)
    in_names = tuple(name.kinds for name in names)
    return Treated(seen, whole, text, shared, counts, *_touched(document, text), in_names, starts)


def _parts(sighted: Sighted, treatment: Treatment) -> tuple[tuple[Part, ...], list[Redacted]]:
    """The parts under the titles that may be seen, and those titles."""
    named = zip(sighted.document.parts, sighted.parts, strict=True)
    titles = [redact_text(part.title, found, treatment.policy, treatment.pseudonym) for part, found in named]
    shown = zip(sighted.document.parts, titles, strict=True)
    return tuple(Part(title=title.text.strip() or _UNTITLED, kind=part.kind) for part, title in shown), titles


def _touched(document: ParsedDocument, text: Redacted) -> tuple[Mapping[str, frozenset[Kind]], tuple[Table, ...]]:
    """The headings and tables with personal data in them, and its kinds."""
    headings: dict[str, frozenset[Kind]] = defaultdict(frozenset)
    tables = []
    for block in document.blocks:
        if block.kind in (BlockKind.HEADING, BlockKind.TABLE):
            kinds = text.kinds_between(block.start, block.end)
            if kinds and block.kind is BlockKind.TABLE:
                tables.append((block, kinds))
            elif kinds:
                headings[_line(block.text)] |= kinds
    return headings, tuple(tables)


def _labels(
    change: DocumentChange, findings: Iterable[Findings], treatment: Treatment
) -> tuple[dict[str, str], list[Redacted]]:
    """Labels with their values redacted. One whose name has something to take out is left out."""
    labels: dict[str, str] = {}
    found = []
    for (key, value), sightings in zip(sorted(change.labels.items()), findings, strict=True):
        shown = visible(key)
        start = len(shown) + len(_IN_LABEL)
        inside = [
            replace(finding, start=max(finding.start, start) - start, end=finding.end - start)
            for finding in sightings
            if finding.end > start
        ]
        redacted = redact_text(visible(value), inside, treatment.policy, treatment.pseudonym)
        found.append(redacted)
        if not _is_taken_out([sighting for sighting in sightings if sighting.start < len(shown)], treatment.policy):
            labels[key] = redacted.text
    return labels, found


def _is_taken_out(findings: Iterable[Finding], policy: Policy) -> bool:
    """Whether something that may not stay is among the findings."""
    return any(policy.actions[finding.kind] is not Action.KEEP for finding in chosen(findings, policy))


def _counted(texts: Iterable[Redacted], policy: Policy) -> Counter[tuple[Kind, Action]]:
    return Counter((edit.kind, policy.actions[edit.kind]) for text in texts for edit in text.edits)


def _line(text: str) -> str:
    return " ".join(text.split())
