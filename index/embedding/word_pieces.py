"""How many word pieces a text has, without cutting it: for Latin text and a tokeniser of BERT's kind, by its words.

Such a tokeniser parts words at white space and punctuation before anything else, so a text has as many pieces as its
words have, and most words have been met before. Cutting chunks asks for little else than numbers.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, overload

from index.embedding.port import Span

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LETTERS = "A-Za-z0-9À-ÖØ-öø-ž"
"""The accented ones become one base letter each, or stay: never white space, punctuation or two words."""
_MARKS = r"!-/:-@\[-`{-~«»‘’“”–—…"
"""A word piece each."""
_PLAIN = re.compile(rf"[\t\n\r \u00a0{_LETTERS}{_MARKS}]*")
_WORD = re.compile(rf"[{_LETTERS}]+|[{_MARKS}]")
_REMEMBERED = 50_000
_LONGEST = 32
"""Characters of a word that is remembered: longer ones hardly come again."""


class Pieces(Sequence[Span]):
    """Spans of the word pieces of one text, looked for when a span is asked for; their number is known before."""

    def __init__(self, count: int, spans: Callable[[], Sequence[Span]]) -> None:
        self._count = count
        self._look = spans
        self._found: Sequence[Span] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Span: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Span]: ...

    def __getitem__(self, place: int | slice) -> Span | Sequence[Span]:
        if self._found is None:
            self._found = self._look()
        return self._found[place]


class PieceCounts:
    """Numbers of word pieces by this tokeniser; safe to use from several threads."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        described = json.loads(tokenizer.to_str())
        kinds = [(described[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
        self._applies = kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"]
        self._whole = tuple(token["content"] for token in described["added_tokens"])
        self._tokenizer = tokenizer
        self._known: dict[str, int] = {}

    def of(self, text: str) -> int | None:
        """How many pieces; None where only cutting tells."""
        if not self._applies or not _PLAIN.fullmatch(text) or any(token in text for token in self._whole):
            return None
        words = _WORD.findall(text)
        try:
            return sum(map(self._known.__getitem__, words))
        except KeyError:
            return self._learned(words)

    def _learned(self, words: Sequence[str]) -> int:
        if len(self._known) > _REMEMBERED:
            self._known = {}
        known = self._known
        fresh = [word for word in dict.fromkeys(words) if word not in known]
        # One text of them all: each is a word again, and asking one by one takes several times as long.
        pieces = Counter(self._tokenizer.encode(" ".join(fresh), add_special_tokens=False).word_ids)
        counted = {word: pieces[place] for place, word in enumerate(fresh)}
        total = sum(counted[word] if word in counted else known[word] for word in words)
        known.update((word, count) for word, count in counted.items() if len(word) <= _LONGEST)
        return total
