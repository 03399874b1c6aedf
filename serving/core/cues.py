"""What kind of answer a question wants, read off its question word, and whether a sentence holds one. English only."""

import re
from enum import StrEnum


class Wanted(StrEnum):
    """The kind of thing that answers."""

    MONEY = "money"
    DURATION = "duration"
    QUANTITY = "quantity"
    TIME = "time"
    PERSON = "person"
    PLACE = "place"
    REASON = "reason"
    STEPS = "steps"
    ANYTHING = "anything"


_NUMBER = (
    r"(?:\d[\d.,:]*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty"
    r"|ninety|half|none|no)\b)"
)
_QUESTIONS: tuple[tuple[Wanted, re.Pattern[str]], ...] = tuple(
    (wanted, re.compile(pattern, re.IGNORECASE))
    for wanted, pattern in (
        (
            Wanted.MONEY,
            r"\b(?:how much (?:does|do|is|are|was|were|money|will|did)|prices?|costs?|fares?|fees?|salar(?:y|ies)"
            r"|budget|paid|allowance|supplement|discount|charge[ds]?|refund(?:ed)?)\b",
        ),
        (Wanted.DURATION, r"\bhow (?:long|soon|quickly|fast)\b|\bwithin (?:what|which) (?:time|period)|\bdeadline\b"),
        (
            Wanted.TIME,
            r"\bwhen\b|\bwhat (?:time|date|day)|\bwhich (?:day|date|month|year)|\bsince when\b|\bhow often\b",
        ),
        (
            Wanted.QUANTITY,
            r"\bhow (?:many|much|high|low|far|large|big|heavy|wide|deep|old|loud|hot|cold)\b"
            r"|\b(?:what|which) (?:\w+ )?"
            r"(?:limit|number|percentage|share|rate|size|capacity|temperature|height|weight)\b",
        ),
        (Wanted.PERSON, r"\bwho(?:m|se)?\b|\bwhich (?:person|team|manager|department)\b"),
        (Wanted.PLACE, r"\bwhere\b|\bwhich (?:city|town|office|port|berth|place)\b"),
        (Wanted.REASON, r"\bwhy\b|\breason\b|\bcause[ds]?\b"),
        (Wanted.STEPS, r"\bhow (?:do|can|should|must|to)\b|\bsteps?\b|\bwhat (?:do|should|must) (?:i|we|you) do\b"),
    )
)
_HOLDS: dict[Wanted, re.Pattern[str]] = {
    Wanted.MONEY: re.compile(
        r"\d\s?(?:EUR|USD|GBP|CHF|PLN|DKK|euros?|dollars?|pounds?|percent|%)|[€$£]\s?\d|free of charge"
    ),
    Wanted.DURATION: re.compile(
        _NUMBER
        + r"[ -]+(?:\w+ )?(?:(?:milli)?seconds?|minutes?|hours?|days?|weeks?|months?|years?|mornings?|nights?)\b",
        re.IGNORECASE,
    ),
    Wanted.TIME: re.compile(
        r"\b\d{1,2}[:.]\d{2}\b|\b(?:19|20)\d\d\b|\b(?:January|February|March|April|May|June|July|August|September|October"
        r"|November|December|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)s?\b"
        r"|\b(?:daily|weekly|monthly|yearly|annually|every (?:\w+ )?(?:day|week|month|quarter|year|hours?|minutes?)"
        r"|(?:once|twice|times) (?:a|per|every))\b"
    ),
    Wanted.QUANTITY: re.compile(_NUMBER, re.IGNORECASE),
    Wanted.PERSON: re.compile(
        r"\b[A-ZÀ-Þ][a-zß-ÿ]+ [A-ZÀ-Þ][a-zß-ÿ]+\b"
        r"|\b(?:manager|lead|officer|director|master|engineer|team|office|department|head|owner|superintendent|secretary)\b"
    ),
    Wanted.PLACE: re.compile(
        r"\b(?:in|at|from|to|on|near|behind|under) (?:the )?[A-ZÀ-Þ0-9]\w+|\b(?:street|floor|building|room)\b"
    ),
    Wanted.REASON: re.compile(
        r"\b(?:because|since|due to|caused|cause (?:is|was)|reason (?:is|was)|so that|therefore|in order to|led to)\b",
        re.IGNORECASE,
    ),
}


def wanted(question: str) -> Wanted:
    """The kind of answer asked for; ANYTHING where nothing tells."""
    return next((kind for kind, pattern in _QUESTIONS if pattern.search(question)), Wanted.ANYTHING)


def holds(kind: Wanted, sentence: str) -> bool:
    """Whether a sentence holds something of that kind; False for kinds that nothing shows."""
    pattern = _HOLDS.get(kind)
    return pattern is not None and pattern.search(sentence) is not None
