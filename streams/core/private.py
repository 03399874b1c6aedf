"""Finds declared values of personal data in a text: pure, and generous about how a text spells them.

Case, runs of white space and Unicode composition do not count, nor do separators within numbers. A value is found as a
whole word only, where its script has words.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from schemas.redaction import Kind
from streams.core.redaction import Finding

_SHORTEST = 3
_NUMBER_DIGITS = 7
_BETWEEN_DIGITS = r"[\s().\-/]{0,3}"
# Scripts that write words without spaces between them: a boundary would never be there.
_NO_WORDS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[\U00020000-\U0003ffff]"
)


def private_findings(text: str, values: Iterable[str]) -> list[Finding]:
    """Every stretch of the text that spells one of the values."""
    return [Finding(Kind.PRIVATE, start, end, 1.0) for start, end in spelled(text, values)]


def spelled(text: str, values: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Start and end of every stretch that spells one of the values; values shorter than three characters (two where a
    script writes words with them) are left alone.
    """
    pattern = _pattern(values)
    return iter(()) if pattern is None else (match.span() for match in pattern.finditer(text))


def _pattern(values: Iterable[str]) -> re.Pattern[str] | None:
    spelled = {spelling for value in values if _is_long_enough(value.strip()) for spelling in _spellings(value.strip())}
    if not spelled:
        return None
    # Longest first: of two values that begin alike the whole one is taken.
    return re.compile("|".join(sorted(spelled, key=lambda part: (-len(part), part))), re.IGNORECASE)


def _is_long_enough(value: str) -> bool:
    return len(value) >= _SHORTEST or (len(value) > 1 and all(_NO_WORDS.match(character) for character in value))


def _spellings(value: str) -> Iterator[str]:
    digits = re.findall(r"\d", value)
    if len(digits) >= _NUMBER_DIGITS and not any(character.isalpha() for character in value):
        yield r"(?<!\d)" + _BETWEEN_DIGITS.join(digits) + r"(?!\d)"
        return
    for form in ("NFC", "NFD"):
        words = unicodedata.normalize(form, value).split()
        yield _edge(words[0][0], "(?<!") + r"\s+".join(map(re.escape, words)) + _edge(_last_base(words), "(?!")


def _last_base(words: Sequence[str]) -> str:
    """The last character that is no combining mark."""
    return next((character for character in reversed(words[-1]) if not unicodedata.combining(character)), "")


def _edge(character: str, look: str) -> str:
    return look + r"[^\W_])" if character.isalnum() and not _NO_WORDS.match(character) else ""
