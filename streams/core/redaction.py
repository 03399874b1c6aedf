"""Decides, purely, what becomes of the personal data found in a document: which findings count, and the text after.

A value is replaced in the text before it is cut, so neither chunks nor vectors nor hashes ever have it. `Places` leads
from the text after back to the text as parsed: a citation points there.
"""

import hashlib
import hmac
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from schemas.redaction import Action, Kind, Policy
from streams.core.blocks import Block, BlockKind, ParsedDocument

PSEUDONYM_DIGITS = 12
_SEPARATORS = re.compile(r"[\W_]+")
_SPELLED_OUT = re.compile(r"\s?[\[({]\s?(?:(at)|dot)\s?[\])}]\s?", re.IGNORECASE)
# Not every sign that is no letter: the vowels of some scripts are among them.
_BETWEEN = re.compile(r"[\s_\-+().,/'\u02bc\u2010-\u2019\u2032\u2212]+")
_CELL_PART = re.compile(r"[^|\s](?:[^|\n]*[^|\s])?")
_NUMBERS = frozenset({Kind.IBAN, Kind.SSN, Kind.CREDIT_CARD, Kind.PHONE})


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for beside parsing: kinds, declared values, and texts that are not in the document itself."""

    kinds: tuple[Kind, ...] = ()
    private: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A stretch [start, end) of a text that looks like personal data; `score` 0 to 1."""

    kind: Kind
    start: int
    end: int
    score: float


Findings = tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Sighted:
    """A parsed document and what was found: in its text, in its own title, in each of the search's sides, in the titles
    of its parts.
    """

    document: ParsedDocument
    text: Findings = ()
    title: Findings = ()
    sides: tuple[Findings, ...] = ()
    parts: tuple[Findings, ...] = ()


Pseudonym = Callable[[Kind, str], str]
"""A stable token for a value of a kind."""


def pseudonyms(key: bytes, tenant: str) -> Pseudonym:
    """Tokens of 12 hex digits, HMAC-SHA-256 over tenant, kind and value; spelling and separators do not count."""

    def token(kind: Kind, value: str) -> str:
        parts = (tenant, kind, _compared(kind, unicodedata.normalize("NFKC", value)).casefold())
        message = "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "replace")
        return hmac.new(key, message, hashlib.sha256).hexdigest()[:PSEUDONYM_DIGITS]

    return token


def _compared(kind: Kind, value: str) -> str:
    """What of a value counts: all that is found as the same value has the same."""
    if kind in _NUMBERS:
        return _SEPARATORS.sub("", value)
    if kind is Kind.PRIVATE:
        return _BETWEEN.sub("", value) or value
    if kind is Kind.EMAIL:
        value = _SPELLED_OUT.sub(lambda sign: "@" if sign[1] else ".", value)
    return " ".join(value.split())


@dataclass(frozen=True, slots=True)
class Edit:
    """A value [start, end) of the text as parsed, and where what stands for it begins and ends in the text after."""

    kind: Kind
    start: int
    end: int
    new_start: int
    new_end: int
    kept: bool


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text after redaction; `edits` are in order and do not overlap."""

    text: str
    edits: tuple[Edit, ...] = ()

    @property
    def kinds(self) -> frozenset[Kind]:
        """Kinds that were found."""
        return frozenset(edit.kind for edit in self.edits)

    @property
    def is_changed(self) -> bool:
        """Whether a value was taken out."""
        return not all(edit.kept for edit in self.edits)

    def kinds_between(self, start: int, end: int) -> frozenset[Kind]:
        """Kinds found within a stretch of the text after, a dropped value at its edge among them."""
        first = bisect_left(self.edits, start, key=lambda edit: edit.new_end)
        last = bisect_right(self.edits, end, key=lambda edit: edit.new_start)
        near = self.edits[first:last]
        return frozenset(
            edit.kind
            for edit in near
            if (edit.new_start < end and edit.new_end > start) or edit.new_start == edit.new_end
        )

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Where a stretch of the text after lies in the text as parsed; half a replacement is the whole value."""
        return self._source_start(start), self._source_end(end)

    def _source_start(self, place: int) -> int:
        number = bisect_right(self.edits, place, key=lambda edit: edit.new_start)
        if number == 0:
            return place
        edit = self.edits[number - 1]
        if place >= edit.new_end:
            return edit.end + place - edit.new_end
        return edit.start + place - edit.new_start if edit.kept else edit.start

    def _source_end(self, place: int) -> int:
        number = bisect_left(self.edits, place, key=lambda edit: edit.new_start)
        if number == 0:
            return place
        edit = self.edits[number - 1]
        if place >= edit.new_end:
            return edit.end + place - edit.new_end
        return edit.start + place - edit.new_start if edit.kept else edit.end


def chosen(findings: Iterable[Finding], policy: Policy) -> list[Finding]:
    """The findings that count, in order, none overlapping.

    Of two that overlap the one that is taken out wins over the one that stays, then the surer, then the longer; what
    the other has beyond it is still of its kind.
    """
    counting = sorted(
        (finding for finding in findings if _counts(finding, policy)), key=lambda finding: (finding.start, finding.end)
    )
    taken: list[Finding] = []
    end = 0
    cluster: list[Finding] = []
    for finding in counting:
        if finding.start >= end:
            taken += _settled(cluster, policy)
            cluster = []
        cluster.append(finding)
        end = max(end, finding.end)
    return taken + _settled(cluster, policy)


def _counts(finding: Finding, policy: Policy) -> bool:
    return policy.actions[finding.kind] is not Action.IGNORE and finding.score >= policy.thresholds[finding.kind]


def _settled(cluster: Sequence[Finding], policy: Policy) -> list[Finding]:
    """One run of overlapping findings without overlaps, in order."""
    if len(cluster) < 2:
        return [*cluster]

    def rank(finding: Finding) -> tuple[bool, float, int, int]:
        kept = policy.actions[finding.kind] is Action.KEEP
        return kept, -finding.score, finding.start - finding.end, finding.start

    taken: list[Finding] = []
    for finding in sorted(cluster, key=rank):
        first = bisect_right(taken, finding.start, key=lambda other: other.end)
        last = bisect_left(taken, finding.end, key=lambda other: other.start)
        near = taken[first:last]
        taken[first:last] = sorted([*near, *_uncovered(finding, near)], key=lambda other: other.start)
    return taken


def _uncovered(finding: Finding, taken: Sequence[Finding]) -> Iterator[Finding]:
    """The parts of a finding that none of `taken` covers; each of those, in order, overlaps it."""
    start = finding.start
    for other in taken:
        if other.start > start:
            yield replace(finding, start=start, end=other.start)
        start = max(start, other.end)
    if start < finding.end:
        yield replace(finding, start=start)


def redact_text(text: str, findings: Iterable[Finding], policy: Policy, pseudonym: Pseudonym) -> Redacted:
    """Put the replacements in. `findings` lie within the text."""
    parts: list[str] = []
    edits: list[Edit] = []
    place = length = 0
    for finding in chosen(findings, policy):
        value = text[finding.start : finding.end]
        action = policy.actions[finding.kind]
        replacement = _replacement(finding.kind, value, action, pseudonym)
        start = length + finding.start - place
        length = start + len(replacement)
        parts += (text[place : finding.start], replacement)
        edits.append(Edit(finding.kind, finding.start, finding.end, start, length, kept=action is Action.KEEP))
        place = finding.end
    parts.append(text[place:])
    return Redacted("".join(parts), tuple(edits))


def _replacement(kind: Kind, value: str, action: Action, pseudonym: Pseudonym) -> str:
    match action:
        case Action.MASK:
            return f"[{kind}]"
        case Action.PSEUDONYMISE:
            return f"[{kind}:{pseudonym(kind, value)}]"
        case Action.DROP:
            return ""
        case Action.KEEP | Action.IGNORE:
            return value


def redact_document(
    document: ParsedDocument, findings: Iterable[Finding], policy: Policy, pseudonym: Pseudonym
) -> tuple[ParsedDocument, Redacted]:
    """The document with its text redacted and its blocks moved along, and the way back to the text as parsed.

    A block of which nothing is left is gone. The document's own title and those of its parts are not touched.
    """
    redacted = redact_text(document.text, _within_blocks(findings, document.blocks), policy, pseudonym)
    if not redacted.is_changed:
        return document, redacted
    blocks = tuple(block for block in _moved(document.blocks, redacted) if block.text.strip())
    return replace(document, text=redacted.text, blocks=blocks), redacted


def _moved(blocks: Iterable[Block], redacted: Redacted) -> Iterator[Block]:
    ends = [edit.end for edit in redacted.edits]

    def after(place: int) -> int:
        """Where a place is in the text after; one within a value, where what stands for that begins."""
        number = bisect_right(ends, place)
        if number < len(ends) and redacted.edits[number].start <= place:
            return redacted.edits[number].new_start
        return place if number == 0 else redacted.edits[number - 1].new_end + place - ends[number - 1]

    for block in blocks:
        start, end = after(block.start), after(block.end)
        breaks = tuple((after(block.start + at) - start, page) for at, page in block.page_breaks)
        yield replace(block, text=redacted.text[start:end], start=start, end=end, page_breaks=breaks)


def _within_blocks(findings: Iterable[Finding], blocks: Sequence[Block]) -> Iterator[Finding]:
    """The findings cut at the edges of blocks, and of the lines of a table: the structure stays what it is."""
    starts = [block.start for block in blocks]
    for finding in findings:
        number = max(bisect_right(starts, finding.start) - 1, 0)
        while number < len(blocks) and blocks[number].start < finding.end:
            block = blocks[number]
            start, end = max(finding.start, block.start), min(finding.end, block.end)
            if start < end:
                whole = start == finding.start and end == finding.end
                inside = finding if whole else Finding(finding.kind, start, end, finding.score)
                yield from _within_lines(inside, block)
            number += 1


def _within_lines(finding: Finding, block: Block) -> Iterator[Finding]:
    if block.kind is not BlockKind.TABLE:
        yield finding
        return
    for part in _CELL_PART.finditer(block.text, finding.start - block.start, finding.end - block.start):
        yield replace(finding, start=block.start + part.start(), end=block.start + part.end())
