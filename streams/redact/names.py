"""Names of people: what letters, forms and lists of names give away, and a trained model over the sentences that may
hold more.

spaCy's small English model alone finds four names in five, and costs ten times as much as everything else that is
looked for: it is asked last, in batches, and never twice for the same sentence. Works from files on disk alone.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from schemas.redaction import Kind
from streams.core.redaction import Finding
from streams.redact import entities
from streams.redact.known_names import KnownNames
from streams.redact.rules import CAPITALISED, NO_NAMES, Span, by_rules, cleaned

_BATCH_CHARACTERS = 4096
_LONGEST_SEGMENT = 2000
_REMEMBERED = 20_000

_SEGMENT_END = re.compile(r"\n+|(?<=[.!?])[ \t]+(?=[^\W\d_a-z])")


@dataclass(frozen=True, slots=True)
class _Segment:
    """A sentence or line [start, end) of the text."""

    start: int
    end: int
    name: bytes
    """A hash of what it says: its result is remembered under it, never the text."""


class Names:
    """Finds names of people. Raises ConfigError where the model is not installed."""

    def __init__(self) -> None:
        self._entities = entities.load()
        self._listed = KnownNames()
        self._known: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()

    def find(self, texts: Sequence[str]) -> list[list[Finding]]:
        """Names in plain texts (`screens.plain`), those of each."""
        found = [list(self._given_away(text)) for text in texts]
        asked = [list(_segments(text, findings)) for text, findings in zip(texts, found, strict=True)]
        self._ask(texts, asked)
        for text, findings, segments in zip(texts, found, asked, strict=True):
            findings += self._seen(text, segments)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _given_away(self, text: str) -> Iterator[Finding]:
        """What needs no model."""
        for start, end, score in by_rules(text):
            yield Finding(Kind.PERSON, start, end, score)
        for left, right in self._listed.find(text):
            yield Finding(Kind.PERSON, left, right, 0.75)

    def _seen(self, text: str, segments: Sequence[_Segment]) -> Iterator[Finding]:
        for segment in segments:
            self._known.move_to_end(segment.name)
            for start, end in self._known[segment.name]:
                words = text[segment.start + start : segment.start + end].split()
                # A single word is as often a place or a thing.
                score = 0.85 if len(words) > 1 else 0.6 if words[0] in self._listed else 0.45
                yield Finding(Kind.PERSON, segment.start + start, segment.start + end, score)

    def _ask(self, texts: Sequence[str], asked: Sequence[Sequence[_Segment]]) -> None:
        """Run the model over what is not remembered, some kilobytes at a time."""
        fresh = {
            segment.name: text[segment.start : segment.end]
            for text, segments in zip(texts, asked, strict=True)
            for segment in segments
            if segment.name not in self._known
        }
        for batch in _batches(fresh):
            joined = "\n".join(said for _, said in batch)
            spans = sorted(part for start, end in self._entities(joined) for part in cleaned(joined, start, end))
            place = 0
            for name, said in batch:
                end = place + len(said)
                self._known[name] = tuple(
                    (left - place, right - place) for left, right in spans if place <= left and right <= end
                )
                place = end + 1


def _segments(text: str, found: Sequence[Finding]) -> Iterator[_Segment]:
    """Sentences and lines with a capitalised word that could be a name and is none that was found already.

    The first word of a sentence is capitalised whatever it is: alone it is no reason.
    """
    taken = {place for finding in found for place in range(finding.start, finding.end)}
    cuts = [place for match in _SEGMENT_END.finditer(text) for place in match.span()]
    for start, end in pairwise([0, *cuts, len(text)]):
        for left in range(start, end, _LONGEST_SEGMENT):
            right = min(left + _LONGEST_SEGMENT, end)
            words = CAPITALISED.finditer(text, left, right)
            if any(
                word.start() > left and word.start() not in taken and word.group().casefold() not in NO_NAMES
                for word in words
            ):
                digest = hashlib.blake2b(text[left:right].encode("utf-8", "replace"), digest_size=12).digest()
                yield _Segment(left, right, digest)


def _batches(fresh: Mapping[bytes, str]) -> Iterator[list[tuple[bytes, str]]]:
    batch: list[tuple[bytes, str]] = []
    length = 0
    for name, said in fresh.items():
        if batch and length + len(said) > _BATCH_CHARACTERS:
            yield batch
            batch, length = [], 0
        batch.append((name, said))
        length += len(said)
    if batch:
        yield batch
