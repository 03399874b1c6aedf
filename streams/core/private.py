"""Finds declared values of personal data in a text: pure, and generous about how a text spells them.

Case, Unicode composition and what stands between words (spaces, `_`, `-`, `+`, a capital letter) do not count, nor do
separators within numbers. A value is found as a whole word only, where its script has words.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from schemas.redaction import Kind
from streams.core.redaction import Finding
from streams.core.scripts import UNSPACED, visible

_SHORTEST = 3
_NUMBER_DIGITS = 7
_BETWEEN_DIGITS = r"[\s().\-/]{0,3}"
_BETWEEN_WORDS = re.compile(r"[\s_\-+]+")
_NO_WORDS = re.compile(f"[{UNSPACED}]")
# In the text searched this stands where such a script begins or ends, so that a word ends there for any pattern: a set
# of all those ranges within each would take milliseconds to compile.
_SEAM = "\u2060"
_SEAMS = re.compile(rf"(?<=[^\W_{UNSPACED}]|[\u0300-\u036f])(?=[{UNSPACED}])|(?<=[{UNSPACED}])(?=[^\W_{UNSPACED}])")
# Possessive: no word begins or ends with any of these. A capital letter parts words too, as in a file's name: JaneRoe.
_PARTED = rf"(?:[\s_\-+]++|{_SEAM}|(?-i:(?<=[a-z\u00df-\u00f6\u00f8-\u00ff])(?=[A-Z\u00c0-\u00d6\u00d8-\u00de])))"
_IN_WORD = r"[^\W_]"
# "And", "in", "to", "the" of Arabic and Hebrew are written with the word they lead.
_LEADING = (
    (re.compile("[\u0620-\u064a]"), "\u0648\u0641\u0628\u0643\u0644\u0633\u0627"),
    (re.compile("[\u05d0-\u05ea]"), "\u05d5\u05d4\u05d1\u05db\u05dc\u05de\u05e9"),
)


def private_findings(text: str, values: Iterable[str]) -> list[Finding]:
    """Every stretch of the text that spells one of the values."""
    return [Finding(Kind.PRIVATE, start, end, 1.0) for start, end in spelled(text, values)]


def spelled(text: str, values: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Start and end of every stretch that spells one of the values; values shorter than three characters (two where a
    script writes words with them) are left alone.
    """
    pattern = _pattern(tuple(values))
    if pattern is None:
        return
    seams = [] if text.isascii() else [seam.start() + number for number, seam in enumerate(_SEAMS.finditer(text))]
    for match in pattern.finditer(_SEAMS.sub(_SEAM, text) if seams else text):
        start, end = match.span()
        yield start - bisect_left(seams, start), end - bisect_left(seams, end)


# One document's values are looked for in its text, title, url and labels.
@lru_cache(maxsize=8)
def _pattern(values: tuple[str, ...]) -> re.Pattern[str] | None:
    bare = (visible(value).strip() for value in values)
    spelled = {spelling: len(value) for value in bare if _is_long_enough(value) for spelling in _spellings(value)}
    if not spelled:
        return None
    # Longest first: of two values that begin alike the whole one is taken.
    return re.compile("|".join(sorted(spelled, key=lambda part: (-spelled[part], part))), re.IGNORECASE)


def _is_long_enough(value: str) -> bool:
    return len(value) >= _SHORTEST or (len(value) > 1 and all(_NO_WORDS.match(character) for character in value))


def _spellings(value: str) -> Iterator[str]:
    digits = re.findall(r"\d", value)
    if len(digits) >= _NUMBER_DIGITS and not any(character.isalpha() for character in value):
        yield r"(?<!\d)" + _BETWEEN_DIGITS.join(digits) + r"(?!\d)"
        return
    for form in ("NFC", "NFD"):
        words, between = _words(unicodedata.normalize(form, value))
        yield (_left_edge(words[0][0]) + between.join(map(_literal, words)) + _right_edge(_last_base(words)))


def _literal(word: str) -> str:
    # Written in capitals ß is SS.
    return re.escape(_SEAMS.sub(_SEAM, word)).replace("ß", "(?:ß|ss)")


def _words(value: str) -> tuple[Sequence[str], str]:
    """The words of a value, and a pattern of what may stand between them."""
    words = _BETWEEN_WORDS.split(value)
    if all(words) and any(character.isalpha() for character in value):
        return words, _PARTED
    return value.split(), r"\s++"


def _last_base(words: Sequence[str]) -> str:
    """The last character that is no combining mark."""
    return next((character for character in reversed(words[-1]) if not unicodedata.combining(character)), "")


def _left_edge(character: str) -> str:
    if not _has_edges(character):
        return ""
    edge = rf"(?<!{_IN_WORD})"
    for script, leading in _LEADING:
        if script.match(character):
            one = f"[{leading}]"
            return rf"(?:{edge}|(?<!{_IN_WORD}{one})(?<={one})|(?<!{_IN_WORD}{one}{one})(?<={one}{one}))"
    return edge


def _right_edge(character: str) -> str:
    return rf"(?!{_IN_WORD})" if _has_edges(character) else ""


def _has_edges(character: str) -> bool:
    return character.isalnum() and not _NO_WORDS.match(character)
