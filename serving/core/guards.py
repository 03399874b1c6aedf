"""What may come in as a question, and what may go out as an answer.

Nothing here obeys text: permissions are in the query to the store, and documents are quoted. So the guard of the input
only refuses what cannot be a question, and the guard of the output only lets through what its citation contains.
"""

import re
import unicodedata
from collections.abc import Sequence

from schemas.errors import PermanentError
from serving.core.extract import Pick
from serving.core.refusal import Reason, Refusal, refusal
from serving.core.words import terms, words

MAX_QUESTION_CHARACTERS = 4_000

_ALLOWED_CONTROLS = frozenset("\t\n\r")
_FORBIDDEN = frozenset({"Cc", "Cs", "Co", "Cn"})

_SET_RULES_ASIDE = re.compile(
    r"\b(?:ignore|disregard|forget|bypass|override)\b[^.?!]{0,40}"
    r"\b(?:instructions?|permissions?|access controls?|system prompt|guard ?rails?)\b"
    r"|\b(?:reveal|print|repeat|show)\b[^.?!]{0,20}\b(?:system prompt|hidden instructions?)\b"
    r"|\byou are now (?:in )?(?:dan|developer mode|an? admin|unrestricted)\b",
    re.IGNORECASE,
)
_ERRAND = re.compile(
    r"^(?:please |can you |could you |would you )*(?:"
    r"(?:write|compose|draft|generate|translate|rewrite)\b(?! (?:access|permission|protection|offs?)\b)(?!.*\?)"
    r"|(?:delete|send|e-?mail|remove|create|update|upload|deploy) (?:me|us|my|all|this|these|an?|the)\b(?!.*\?)"
    r"|sing |tell me a (?:joke|story|poem))",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"(?:hi|hello|hey|thanks|thank you|good (?:morning|afternoon|evening)|how are you|who are you|what can you do)\W*",
    re.IGNORECASE,
)


def checked_question(raw: str) -> str:
    """Trim and normalise (NFC) a question. Raises PermanentError for what cannot be one."""
    question = unicodedata.normalize("NFC", raw.strip())
    if not question:
        raise PermanentError("question is empty", reason="invalid_question")
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise PermanentError(
            f"question has {len(question):,} characters; at most {MAX_QUESTION_CHARACTERS:,} are read",
            reason="invalid_question",
        )
    if any(unicodedata.category(char) in _FORBIDDEN and char not in _ALLOWED_CONTROLS for char in question):
        raise PermanentError("question contains control or unassigned characters", reason="invalid_question")
    return " ".join(question.split())


def input_refusal(question: str) -> Refusal | None:
    """A refusal for text that is no question to documents; None for everything else."""
    if _SET_RULES_ASIDE.search(question):
        return refusal(Reason.UNSAFE_INPUT)
    if _ERRAND.match(question) or _GREETING.fullmatch(question):
        return refusal(Reason.UNSUPPORTED_QUESTION)
    if not terms(question):
        return refusal(Reason.UNSUPPORTED_QUESTION, "The question names nothing that could be looked up.")
    return None


def supported(picks: Sequence[Pick], passages: Sequence[str]) -> tuple[Pick, ...]:
    """The picks whose words the cited passage contains: the quote word for word,
    whatever white space it has, and nothing said beyond its words."""
    flat = [" ".join(text.split()) for text in passages]
    return tuple(
        pick
        for pick in picks
        if 0 <= pick.passage < len(flat)
        and " ".join(pick.quote.split()) in flat[pick.passage]
        and set(words(pick.text)) <= set(words(flat[pick.passage]))
    )
