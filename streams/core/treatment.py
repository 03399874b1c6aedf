"""What leaves `prepare` of a change: its document, title, url and labels with the personal data out of them. Pure.

The doc_id stays: it is the document's identity, and so are event id, actor and origin the source's own statement about
the change. Sources must not put into them what nobody may see.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote_plus

from schemas.records import DocumentChange
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

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
_IN_LABEL = ": "
_UNTITLED = "(untitled)"


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
    touched: tuple[Block, ...] = ()
    """Headings and tables with personal data in them: chunks that they do not lie in may carry their words."""

    def kinds_of(self, piece: Chunk) -> tuple[str, ...]:
        """Kinds of personal data in a chunk's text, headings, column names, title and labels; sorted."""
        if not self.shared and not self.text.edits:
            return ()
        kinds = set(self.shared | self.text.kinds_between(piece.start, piece.end))
        for block in self.touched:
            if block.kind is BlockKind.TABLE:
                applies = block.start < piece.start < block.end
            else:
                applies = bool(piece.heading_path) and _line(block.text).startswith(piece.heading_path)
            if applies:
                kinds |= self.text.kinds_between(block.start, block.end)
        return tuple(sorted(kinds))


def named_after(doc_id: str) -> str:
    """A title for a document without one: the last part of its doc_id, without suffix."""
    last = doc_id.rstrip("/").rsplit("/", 1)[-1]
    return _SUFFIX.sub("", last) or doc_id


def search_for(change: DocumentChange, policy: Policy) -> Search:
    """What to look for in a change. Nothing to look for: no sides either."""
    kinds = tuple(kind for kind in policy.sought if kind is not Kind.PRIVATE)
    private = change.private if policy.actions[Kind.PRIVATE] is not Action.IGNORE else ()
    if not kinds and not private:
        return Search()
    labels = (f"{key}{_IN_LABEL}{value}" for key, value in sorted(change.labels.items()))
    return Search(kinds, private, (change.title or "", named_after(change.doc_id), _read(change.url), *labels))


def _read(url: str | None) -> str:
    """A url as it is, and as it reads without its escapes."""
    return f"{url}\n{unquote_plus(url)}" if url else ""


def treat(change: DocumentChange, search: Search, sighted: Sighted, treatment: Treatment) -> Treated:
    """Take out what the policy does not let stay. `sighted` answers `search`."""
    policy, pseudonym = treatment.policy, treatment.pseudonym
    document, text = redact_document(sighted.document, sighted.text, policy, pseudonym)
    if not search.sides:
        return Treated(change, document, text, frozenset(), _counted([text], policy), _touched(document, text))
    in_title, in_name, in_url, *in_labels = sighted.sides
    given = redact_text(change.title or "", in_title, policy, pseudonym)
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
    shared = title.kinds.union(*(label.kinds for label in found))
    counts = _counted([text, title, *found], policy)
    return Treated(seen, replace(document, title=own.text or None), text, shared, counts, _touched(document, text))


def _touched(document: ParsedDocument, text: Redacted) -> tuple[Block, ...]:
    return tuple(
        block
        for block in document.blocks
        if block.kind in (BlockKind.HEADING, BlockKind.TABLE) and text.kinds_between(block.start, block.end)
    )


def _labels(
    change: DocumentChange, findings: Iterable[Findings], treatment: Treatment
) -> tuple[dict[str, str], list[Redacted]]:
    """Labels with their values redacted. One whose name has something to take out is left out."""
    labels: dict[str, str] = {}
    found = []
    for (key, value), sightings in zip(sorted(change.labels.items()), findings, strict=True):
        start = len(key) + len(_IN_LABEL)
        inside = [
            replace(finding, start=max(finding.start, start) - start, end=finding.end - start)
            for finding in sightings
            if finding.end > start
        ]
        redacted = redact_text(value, inside, treatment.policy, treatment.pseudonym)
        found.append(redacted)
        if not _is_taken_out([sighting for sighting in sightings if sighting.start < len(key)], treatment.policy):
            labels[key] = redacted.text
    return labels, found


def _is_taken_out(findings: Iterable[Finding], policy: Policy) -> bool:
    """Whether something that may not stay is among the findings."""
    return any(policy.actions[finding.kind] is not Action.KEEP for finding in chosen(findings, policy))


def _counted(texts: Iterable[Redacted], policy: Policy) -> Counter[tuple[Kind, Action]]:
    return Counter((edit.kind, policy.actions[edit.kind]) for text in texts for edit in text.edits)


def _line(text: str) -> str:
    return " ".join(text.split())
