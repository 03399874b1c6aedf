"""The pre-screens let through what these patterns, tried at every character, match: no more and no less."""

import random
import re
from collections.abc import Iterator

from benchmarks.personal_texts import personal_texts
from schemas.redaction import Kind
from streams.redact.screens import candidates, plain

_PATTERNS = {
    Kind.IBAN: r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ -]{0,2}[A-Za-z0-9]{4})",
    Kind.CREDIT_CARD: r"(?<![^\W_])[1-6](?:[ .\-/]{0,2}[0-9]){12,18}(?![^\W_])",
    Kind.SSN: r"(?<![^\W_])[0-9]{3}[-. ]?[0-9]{2}[-. ]?[0-9]{4}(?![^\W_])",
    Kind.IP: r"(?<![^\W_])(?<!\.)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9]{1,3})?(?![^\W_])"
    r"|(?<![^\W_])(?<!:)[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{0,40}(?:%\w{1,16})?(?:/[0-9]{1,3})?",
    Kind.PHONE: r"(?<![^\W_])(?<!\+)(?:\+ ?)?\(?[0-9](?:(?:[ \t]?[().\-/]{1,2}[ \t]?|[ \t])?[0-9]){6,16}"
    r"(?!(?!(?:x|ext)\.?[0-9])[^\W_]|[.,][0-9])",
}
_LETTERS = "0123456789" * 3 + "0123456789.:.:-- /()+  abcdefABgXxzé卡\n%[]@,__\u00a0\u2013１"


def texts() -> Iterator[str]:
    chance = random.Random(7)
    yield from (text.text for text in personal_texts(200, 9))
    for letters in (_LETTERS, ":.0123af", "+( 12"):
        for _ in range(2000):
            yield "".join(chance.choices(letters, k=chance.randint(1, 60)))


def test_candidates_are_what_the_patterns_match_wherever_it_stands() -> None:
    patterns = {kind: re.compile(pattern, re.ASCII) for kind, pattern in _PATTERNS.items()}
    for text in map(plain, texts()):
        for kind, pattern in patterns.items():
            assert list(candidates(kind, text)) == [match.span() for match in pattern.finditer(text)], (kind, text)
