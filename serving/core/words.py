"""Words of a text as the deciders compare them: folded, without stop words, lightly stemmed. English endings only.

Deliberately small: it tells whether a question's words stand in a text, not what they mean (that is the vector's part).
"""

import re
import unicodedata
from functools import lru_cache

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W_]+")

STOP_WORDS = frozenset(
    """
    a about after again all also am an and any are as at be been before being between both but by can could
    currently d did do does doing done during each else ever every exactly far few find for from get gets give got
    had happen happened happens has have having he her here hers him his how i if in into is it its just know let
    like ll long many may me mean means might more most much must my need needs no nor not now of off often on once
    one only or other our ours out over own per please re s said same say says shall she should show so some soon
    such t tell than that the their them then there these they thing things this those through to too under until up
    us use ve very want was way we were what when where whether which while who whom whose why will with within
    without work works would yes you your yours
    """.split()  # noqa: SIM905 - a list this long reads better as text
)

_IRREGULAR = {
    "paid": "pay", "held": "hold", "told": "tell", "sent": "send", "bought": "buy", "sold": "sell", "led": "lead",
    "took": "take", "taken": "take", "gave": "give", "given": "give", "broke": "break", "broken": "break",
    "people": "person", "children": "child", "men": "man", "women": "woman", "lying": "lie", "began": "begin",
}  # fmt: skip

_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}

_ENDINGS = (
    "izations", "ization", "ations", "ation", "ements", "ement", "ments", "ment", "nesses", "ness", "ities", "ity",
    "ingly", "ings", "ing", "edly", "ed", "ers", "er", "ors", "or", "ions", "ion", "ies", "ied", "ives", "ive",
    "ables", "able", "ances", "ance", "ences", "ence", "ally", "ly", "es", "s", "e", "y",
)  # fmt: skip
_SHORTEST_STEM = 3
_LONGEST_STEM = 8


def words(text: str) -> list[str]:
    """Words and numbers in order, case and accents folded; numbers keep their inner points, commas and colons."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    if not folded.isascii():
        folded = "".join(char for char in folded if not unicodedata.combining(char))
    return _WORD.findall(folded)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """One word without its ending; words of one family mostly share it. Numbers stay, number words become digits."""
    word = _IRREGULAR.get(word, word)
    if word in _NUMBERS:
        return _NUMBERS[word]
    if not word.isalpha() or not word.isascii():
        return word
    for _ in range(2):
        word = _without_ending(word)
    return word[:_LONGEST_STEM]


def _without_ending(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            stemmed = word[: -len(ending)]
            if ending in {"s", "es"} and word.endswith("ss"):
                return word
            if len(stemmed) > _SHORTEST_STEM and stemmed[-1] == stemmed[-2] and stemmed[-1] not in "aeiouls":
                return stemmed[:-1]
            return stemmed
    return word


_CALENDAR = frozenset(
    stem(word)
    for word in """
    monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays
    sundays weekday weekdays weekend weekends january february march april june july august september october november
    december
    """.split()  # noqa: SIM905 - a list this long reads better as text
)


def is_value(term: str) -> bool:
    """Whether a stem is a number, a time or a day: what a statement says anew when it is revised."""
    return term[0].isdigit() or term in _CALENDAR


def terms(text: str) -> frozenset[str]:
    """Stems of the content words."""
    return frozenset(stem(word) for word in words(text) if word not in STOP_WORDS)


def ordered_terms(text: str) -> list[str]:
    """Stems of the content words in order, repeats included."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]
