"""Where else the values found in a document stand: a heading, a title or a label often says one without what gave it
away in the text. Pure, and linear in the texts whatever was found.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from schemas.redaction import Kind
from streams.core.private import spelled
from streams.core.redaction import Finding

_SURE = 0.5
_SCORE = 0.6
_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_SHORTEST_NAME = 3


def echoes(texts: Sequence[str], found: Sequence[Sequence[Finding]], no_names: frozenset[str]) -> list[list[Finding]]:
    """More findings for each text, from the values found in all of them; the first text is the document's.

    A name is looked for everywhere, its first and last word alone too, unless that is one of `no_names` (case-folded).
    Any other value is looked for in the texts beside the document, and those found beside it in the document.
    """
    names = _index(_values(texts, found, Kind.PERSON), no_names)
    more = [list(_named(text, names)) for text in texts]
    for kind in Kind:
        if kind in (Kind.PERSON, Kind.PRIVATE):
            continue
        inside, beside = _values(texts[:1], found[:1], kind), _values(texts[1:], found[1:], kind)
        for number, text in enumerate(texts):
            values = beside if number == 0 else _contained(inside | beside, text)
            more[number] += [Finding(kind, start, end, _SCORE) for start, end in spelled(text, values)]
    return more


def _values(texts: Sequence[str], found: Sequence[Sequence[Finding]], kind: Kind) -> set[str]:
    return {
        text[finding.start : finding.end]
        for text, findings in zip(texts, found, strict=True)
        for finding in findings
        if finding.kind is kind and finding.score >= _SURE
    }


def _contained(values: Iterable[str], text: str) -> set[str]:
    """Those that the text may have: all others would only make the pattern longer."""
    folded = _bare(text)
    if not folded:
        return set()
    return {value for value in values if _bare(value) in folded}


def _bare(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _index(names: Iterable[str], no_names: frozenset[str]) -> Mapping[str, set[str]]:
    """First word -> the names, and single words, that begin with it."""
    index: dict[str, set[str]] = defaultdict(set)
    for name in names:
        words = name.split()
        for part in (name, words[0], words[-1]):
            if len(part) >= _SHORTEST_NAME and part.casefold() not in no_names:
                first = _WORD.match(part)
                if first is not None:
                    index[first.group()].add(part)
    return index


def _named(text: str, names: Mapping[str, set[str]]) -> Iterator[Finding]:
    if not names:
        return
    for word in _WORD.finditer(text):
        for length in sorted({len(name) for name in names.get(word.group(), ())}, reverse=True):
            start, end = word.start(), word.start() + length
            if text[start:end] in names[word.group()] and not text[end : end + 1].isalnum():
                yield Finding(Kind.PERSON, start, end, _SCORE)
                break
