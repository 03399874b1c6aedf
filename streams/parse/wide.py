"""Texts of two or four bytes a letter, with a byte order mark or without: what their NULs say of the encoding. Pure."""

import codecs
import re

_LOOKED_AT = 65_536
_MOST_NULS = 0.02
"""Of the bytes of a text of one byte a letter; a single NUL is a slip."""
_CLEARLY = 4
"""NULs lie so many times as often on one side of the pairs as on the other."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_MOST_CONTROL = 0.01
# Letters of two bytes within a text of one: what is read as either would be garbage, and garbage hides names.
_SPACED = re.compile(rb"(?:[^\0]\0){6}|(?:\0[^\0]){6}")


def encoding_of(body: bytes) -> str | None:
    """UTF-16 or UTF-32, where a mark or the NULs say so beyond doubt."""
    return _marked(body) or _unmarked(body)


def _marked(body: bytes) -> str | None:
    """The encoding that a byte order mark of UTF-16 or UTF-32 names. That of UTF-32 begins like that of UTF-16."""
    if body.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)) and len(body) % 4 == 0:
        return "utf-32"
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return None


def _unmarked(body: bytes) -> str | None:
    """The encoding of two or four bytes a letter that the places of the NULs show beyond doubt, if any."""
    if not has_many_nuls(body):
        return None
    sample = body[:_LOOKED_AT]
    found = _by_nuls(sample)
    if found is None or len(body) % (4 if found.startswith("utf-32") else 2):
        return None
    text = sample.decode(found, "replace")
    return found if len(_CONTROL.findall(text)) <= _MOST_CONTROL * len(text) else None


def has_many_nuls(body: bytes) -> bool:
    """Whether there are too many NULs for a text of one byte a letter."""
    nuls = body.count(0)
    return nuls > 1 and nuls > _MOST_NULS * len(body)


def is_mixed(body: bytes) -> bool:
    """Whether some of a text of one byte a letter has two."""
    return b"\0" in body and bool(_SPACED.search(body))


def _by_nuls(sample: bytes) -> str | None:
    first, second, third, fourth = (sample[place::4].count(0) for place in range(4))
    letters = len(sample) // 4
    if letters and fourth == letters and third >= 0.9 * letters:
        return "utf-32-le"
    if letters and first == letters and second >= 0.9 * letters:
        return "utf-32-be"
    even, odd = first + third, second + fourth
    if odd > _CLEARLY * even:
        return "utf-16-le"
    return "utf-16-be" if even > _CLEARLY * odd else None
