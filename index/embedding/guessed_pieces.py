"""Word pieces of a text whose tokeniser is not known: rather too many than too few, so that no chunk is cut off.

Held against BERT's English vocabulary and the byte pairs of cl100k: prose in a script that a model was made for never
has more pieces than this says; English has about half as many.
"""

import re

from index.embedding.port import Span

GUESS = "2"
"""Of the rule. It decides where chunks end, so an index is made by one of them."""

_THRICE = r"[^\s\x00-\uffff]"
_TWICE = r"[^\s\x00-\u07ff]|[\u0300-\u036f]|(?<![^\W\d_])[\u0370-\u07ff]"
_PIECE = re.compile(
    r"(?<=[A-Za-z0-9]{16})[A-Za-z]"  # as long as no word is: hashes and base64 have a piece a letter
    r"|[A-Za-z]{1,3}"
    r"|[\u00c0-\u024f\u1e00-\u1eff]"  # a Latin letter with an accent
    rf"|({_THRICE})|({_TWICE})|\S"
)
_TIMES = {None: 1, 1: 3, 2: 2}


def guessed_pieces(text: str) -> list[Span]:
    """Spans in order: of up to three Latin letters, else of one character. A character that takes several bytes, and
    the first of a word in a script that is not Latin, has its span two or three times.
    """
    if text.isascii():
        return [match.span() for match in _PIECE.finditer(text)]
    return [match.span() for match in _PIECE.finditer(text) for _ in range(_TIMES[match.lastindex])]
