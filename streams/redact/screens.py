"""Cheap pre-screens: where in a text each kind of personal data could be at all. Pure and linear.

Presidio's patterns cost 10 ms a kilobyte and kind; most of a document has no at sign and no run of digits, and is never
shown to them.
"""

import re
from collections.abc import Iterator

from schemas.redaction import Kind

Span = tuple[int, int]

_AT = re.compile(r"@|[\[({]\s?at\s?[\])}]", re.IGNORECASE)
_EMAIL_LEFT, _EMAIL_RIGHT = 128, 260
# ASCII: a letter of a script without spaces beside a value is no reason to pass it by.
# Each pattern consumes a character of few before it looks behind: what may begin with anything is tried everywhere.
_IBAN = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])(?<![A-Za-z0-9][A-Za-z]{2}[0-9])[0-9](?=[ -]{0,2}[A-Za-z0-9]{4})")
"""From the check digits on; the country code is the two letters before."""
# `[^\W_]`: names of files join words with underscores.
_CARD = re.compile(r"[1-6](?<![^\W_][1-6])(?:[ .\-/]{0,2}[0-9]){12,18}(?![^\W_])", re.ASCII)
_CARD_WITHIN = re.compile(
    r"(?<![0-9A-Za-z])(?=((?:[2-6][0-9]{3}([ .\-]?)(?:[0-9]{4}\2){2}[0-9]{4}|3[0-9]{3}([ .\-]?)[0-9]{6}\3[0-9]{4,5}))"
    r"(?![0-9A-Za-z]))"
)
"""A card's number in the groups it is printed in, or in none: what stands beside it may be a number as well."""
_CARD_BEHIND = 24
"""Its longest form, which may reach so far behind a candidate that ends in its midst."""
_SSN = re.compile(r"[0-9](?<![^\W_][0-9])[0-9]{2}[-. ]?[0-9]{2}[-. ]?[0-9]{4}(?![^\W_])", re.ASCII)
_IP = re.compile(
    r"(?<![^\W_])(?<!\.)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9]{1,3})?(?![^\W_])"
    r"|(?<![^\W_])(?<!:)[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{0,40}(?:%\w{1,16})?(?:/[0-9]{1,3})?",
    re.ASCII,
)
_IP_SIGN = re.compile(r"[0-9:](?:(?<=[0-9])(?=\.[0-9])|(?<=:)(?=[0-9A-Fa-f]{0,4}:))")
"""In every address, and at most so far behind its first character:"""
_IP_BEFORE_SIGN = 4
_PHONE = re.compile(
    r"[+(0-9](?<!\+[+(0-9])(?<![^\W_][+(0-9])(?:(?<=\+) ?\(?[0-9]|(?<=\()[0-9]|(?<=[0-9]))"
    r"(?:(?:[ \t]?[().\-/]{1,2}[ \t]?|[ \t])?[0-9]){6,16}(?!(?!(?:x|ext)\.?[0-9])[^\W_]|[.,][0-9])",
    re.ASCII,
)
"""An extension (`x123`) may touch it."""
_SPACE = re.compile(r"[ \t]")

_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63"
_APOSTROPHES = "\u2018\u2019\u02bc\u2032"
_DOTS = "\u00b7\u2024\u2219\u22c5"
_ZEROS = "\u0660\u06f0\u0966"
_WIDE = "".join(map(chr, range(0xFF01, 0xFF5F)))
_LOOK_ALIKES = {
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_HYPHENS, "-"),
    **dict.fromkeys(_APOSTROPHES, "'"),
    **dict.fromkeys(_DOTS, "."),
    **{chr(ord(zero) + digit): str(digit) for zero in _ZEROS for digit in range(10)},
    "\ufe6b": "@",
    **{wide: chr(ord(wide) - 0xFEE0) for wide in _WIDE},
}
_LOOK_ALIKE = re.compile(f"[{''.join(_LOOK_ALIKES)}]")


def plain(text: str) -> str:
    """The text with look-alikes of ASCII (wide forms, digits, hyphens, spaces, quotes) as ASCII, each in its place."""
    return text if text.isascii() else _LOOK_ALIKE.sub(lambda found: _LOOK_ALIKES[found[0]], text)


def candidates(kind: Kind, text: str) -> Iterator[Span]:
    """Stretches of a plain text in which there may be one value of the kind; not for names."""
    match kind:
        case Kind.EMAIL:
            return _around_ats(text)
        case Kind.IBAN:
            return ((match.start() - 2, match.end()) for match in _IBAN.finditer(text))
        case Kind.CREDIT_CARD:
            return (match.span() for match in _CARD.finditer(text))
        case Kind.SSN:
            return (match.span() for match in _SSN.finditer(text))
        case Kind.IP:
            return _addresses(text)
        case Kind.PHONE:
            return (match.span() for match in _PHONE.finditer(text))
    return iter(())


def cards_of(text: str, span: Span) -> Iterator[Span]:
    """A card number's candidate, then what is written like one of its own from a place within it on."""
    yield span
    for match in _CARD_WITHIN.finditer(text, span[0], min(len(text), span[1] + _CARD_BEHIND)):
        if match.start() < span[1] and match.span(1) != span:
            yield match.span(1)


def next_phone(text: str, start: int) -> Span | None:
    """The first candidate for a telephone number from `start` on."""
    match = _PHONE.search(text, start)
    return match.span() if match else None


def before_another(text: str, span: Span) -> Iterator[Span]:
    """A telephone number's candidate up to each space behind which another one begins.

    Those before what begins like a number first, then the longest.
    """
    start, end = span
    spaces = [match.start() for match in _SPACE.finditer(text, start + 1, end)]
    places = [place for place in reversed(spaces) if _PHONE.match(text, place + 1)]
    for place in sorted(places, key=lambda place: text[place + 1] not in "(0"):
        yield start, place


def _addresses(text: str) -> Iterator[Span]:
    """What `_IP` matches, looked for only where an address has its first dot or colons."""
    end = 0
    for sign in _IP_SIGN.finditer(text):
        for start in range(max(end, sign.start() - _IP_BEFORE_SIGN), sign.start() + 1):
            if match := _IP.match(text, start):
                yield match.span()
                end = match.end()
                break


def _around_ats(text: str) -> Iterator[Span]:
    """What lies around each at sign, as far as an address may be long; neighbours that touch are one stretch."""
    start, end = 0, -1
    for match in _AT.finditer(text):
        left, right = max(0, match.start() - _EMAIL_LEFT), min(len(text), match.end() + _EMAIL_RIGHT)
        if left > end >= 0:
            yield start, end
        start, end = (start if left <= end else left), right
    if end >= 0:
        yield start, end
