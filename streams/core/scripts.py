"""What letters do not tell: which characters have no form, which scripts have no spaces between words. Pure."""

import re

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u31ff\u3400-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\uff65-\uffdc\U00020000-\U0003ffff"
)
"""Ranges, for a set of a pattern, of scripts that write words, or words and what is joined to them, without spaces."""

# Also fillers, variation selectors, interlinear marks and tags.
_FORMLESS = (
    "\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_JOINERS = "\u200c\u200d"
# Joiners are letters' business in Arabic and Indic scripts; in Latin script they only hide what they stand in.
_INVISIBLE = re.compile(f"[{_FORMLESS}]++|(?<=[!-\u024f])[{_JOINERS}]++(?=[!-\u024f])")
_MAYBE_INVISIBLE = re.compile(f"[{_FORMLESS}{_JOINERS}]")


def visible(text: str) -> str:
    """The text without characters that have no form: soft hyphens, zero-width spaces, marks of direction, fillers."""
    # Looked for first: few texts have any, and the other pattern takes ten times as long.
    return _INVISIBLE.sub("", text) if not text.isascii() and _MAYBE_INVISIBLE.search(text) else text
