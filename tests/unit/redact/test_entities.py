"""What the trained model sees is what spaCy sees with it."""

import importlib
from collections.abc import Callable

import pytest

from benchmarks.personal_texts import personal_texts
from streams.redact import entities
from streams.redact.rules import NAMES_MODEL, Span

ODD = (
    "",
    " ",
    "\n\n  \n",
    "Ann",
    "Ann ",
    "  Ann Lee",
    "Ann Lee",
    "ask Ann\nLee and\n\nDr. Jane van der Roe",
    "Zoë  O’Hara-Smith \t and  Bob ,,, Lee",
    "x" * 3000,
    "林さん met Ann Lee in New York on Monday 3 May 2026 at 5 pm.",
)


@pytest.fixture(scope="module")
def spacys() -> Callable[[str], list[Span]]:
    """The recogniser as spaCy runs it; sentences that its parser would find are no limits here."""
    language = importlib.import_module(NAMES_MODEL).load(exclude=["tok2vec", "parser", "tagger", "lemmatizer"])

    def names(text: str) -> list[Span]:
        return [(one.start_char, one.end_char) for one in language(text).ents if one.label_ == "PERSON"]

    return names


def test_the_names_are_those_that_spacy_finds(spacys: Callable[[str], list[Span]]) -> None:
    names = entities.load()
    texts = [*ODD, *(text.text for text in personal_texts(150, 77))]
    joined = ["\n".join(texts[place : place + 9]) for place in range(0, len(texts), 9)]
    found = [names(text) for text in (*texts, *joined)]
    assert found == [spacys(text) for text in (*texts, *joined)]
    assert sum(map(len, found)) > 200
