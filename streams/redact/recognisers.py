"""Presidio's recognisers over what the pre-screens let through. The one module that knows Presidio.

Their patterns and checks are asked directly: the analyzer engine would tokenise and lemmatise every text for the sake
of context words, which a look at the neighbouring characters finds as well, and a recogniser explains every match.
Nothing here is logged and nothing is fetched.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import cast

from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    UsSsnRecognizer,
)
from presidio_analyzer.predefined_recognizers.generic.iban_patterns import regex_per_country

from schemas.redaction import Kind
from streams.core.redaction import Finding
from streams.core.scripts import UNSPACED
from streams.redact.dialling import is_dialled_at_home, is_dialled_from_abroad
from streams.redact.screens import Span, before_another, candidates, cards_of, next_phone

# Presidio logs texts it could not validate.
logging.getLogger("presidio-analyzer").disabled = True

_BEFORE, _AFTER = 48, 12
_CONTEXT = {
    Kind.SSN: re.compile(r"\b(?:ssn|ss#|social\s+security|soc\.?\s?sec)", re.IGNORECASE),
    Kind.CREDIT_CARD: re.compile(
        r"card|karte|tarjeta|carte|cart[ãa]o|visa|master|amex|american express|discover|maestro|卡|カード",
        re.IGNORECASE,
    ),
    Kind.PHONE: re.compile(
        r"\b(?:tel|phone|mobil|cell|fax|call|ring|dial|text|hotline|whatsapp|sms|contact|reach|handy|ruf|anruf|appel"
        r"|num[ée]ro|llam|m[óo]vil|fon|ligue)|telef|t[ée]l[ée]ph|phone|电话|電話|手机|携帯|拨打|致电|전화|연락처|هاتف|טלפון|☎|📞|☏|\b[tmp]:",
        re.IGNORECASE,
    ),
}
# Of a text that is all ASCII the small letters are looked at: to pass the case over takes twice as long.
_CONTEXT_IN_ASCII = {kind: re.compile(pattern.pattern) for kind, pattern in _CONTEXT.items()}
_NO_ADDRESS = re.compile(r"(?:version|release|build|section|chapter|§|\bv)\W{0,3}$", re.IGNORECASE)
_NO_PHONE = re.compile(r"(?:isbn|issn|order|invoice|no|nr)\W{0,3}$", re.IGNORECASE)
_DATE = re.compile(
    r"(?:(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-./ ](?:0?[1-9]|[12]\d|3[01])[-./ ](?:19|20)\d\d)(?!\d)"
)
_AT = re.compile(r"@|[\[({] ?at ?[\])}]", re.IGNORECASE)
_AT_IN_BRACKETS = re.compile(r"[\[({] ?at ?[\])}]", re.IGNORECASE)
_RUN = re.compile(f"[^{UNSPACED}]+")
_WORD = re.compile(r"\S+")
_SEPARATOR = re.compile(r"[().\-/ ]")
_SPACE = re.compile(r"[ \t]")
_SIGNS = re.compile(r"[().\-/]")
_LAST_LABEL = re.compile(r"\.(?:[^\W\d_]{2,63}|xn--[a-z0-9-]{2,59})\.?$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\n|(?<=[^\W\d_]{4})[.!?]\s")
_DIGITS = re.compile(r"[0-9]+")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:[ .][0-9]{3})+")
_DOTS, _COLONS = 3, 6
"""An IP address has so many of either, or two colons side by side."""
_SHORTEST_IBAN, _LONGEST_IBAN = 15, 34
_IBAN_RUN = re.compile(rf"[A-Za-z0-9 \-]{{0,{2 * _LONGEST_IBAN}}}+")


class _Email(EmailRecognizer):
    """Presidio's, and addresses spelled out; a host of any network is one: no list of public suffixes is asked."""

    PATTERNS = [  # noqa: RUF012 - as the base class has it
        *EmailRecognizer.PATTERNS,
        Pattern(
            "Spelled out",
            r"\b[\w.+-]{1,64} ?[\[({] ?at ?[\])}] ?[\w-]{1,63}(?:(?:\.| ?[\[({] ?dot ?[\])}] ?)[\w-]{1,63}){1,8}\b",
            0.8,
        ),
    ]

    def validate_result(self, pattern_text: str) -> bool | None:
        if "@" not in pattern_text:
            return None
        return bool(_LAST_LABEL.search(pattern_text)) or None


_Recogniser = _Email | IpRecognizer | UsSsnRecognizer


class Recognisers:
    """One of each, built once a process."""

    def __init__(self) -> None:
        self._email = _Email()
        self._ip = IpRecognizer()
        self._ssn = UsSsnRecognizer()
        self._card = CreditCardRecognizer()
        self._iban = IbanRecognizer()
        self._by_kind = {
            Kind.EMAIL: self._emails,
            Kind.IP: self._ips,
            Kind.SSN: self._ssns,
            Kind.CREDIT_CARD: self._cards,
            Kind.IBAN: self._ibans,
        }
        for recogniser in (self._email, self._ip, self._ssn):
            # Its patterns are compiled when they are first asked.
            recogniser.analyze("", recogniser.supported_entities)

    def find(self, kind: Kind, text: str) -> Iterator[Finding]:
        """Findings of one kind in a plain text (`screens.plain`); none for kinds that have no pattern."""
        if kind is Kind.PHONE:
            yield from _phones(text)
        elif kind in self._by_kind:
            find = self._by_kind[kind]
            for span in candidates(kind, text):
                yield from find(text, span)

    def tells(self, kind: Kind, name: str) -> bool:
        """Whether the name of a column says that its values are of this kind."""
        return kind in _CONTEXT and _CONTEXT[kind].search(name) is not None

    def _emails(self, text: str, span: Span) -> Iterator[Finding]:
        spelled_out = _AT_IN_BRACKETS.search(text, *span)
        # Only what is spelled out has spaces within: of anything else the words with an at sign are enough.
        for stretch in [span] if spelled_out else _words_with_at(text, span):
            # An address ends where a script without spaces begins, unless it is written in that script itself.
            if text[slice(*stretch)].isascii():
                yield from self._addresses(text, stretch)
                continue
            runs = [run.span() for run in _RUN.finditer(text, *stretch)]
            within = [found for run in runs for found in self._addresses(text, run)]
            yield from within or (self._addresses(text, stretch) if runs != [stretch] else ())

    def _addresses(self, text: str, span: Span) -> Iterator[Finding]:
        start, end = span
        value = text[start:end]
        if _AT.search(value):
            patterns = _Email.PATTERNS if _AT_IN_BRACKETS.search(value) else EmailRecognizer.PATTERNS
            for left, right, score in _matches(self._email, value, patterns):
                yield Finding(Kind.EMAIL, start + left, start + right, score)

    def _ips(self, text: str, span: Span) -> Iterator[Finding]:
        start, end = span
        value = text[start:end]
        # A time of day is let through, and is none.
        if value.count(".") < _DOTS and "::" not in value and value.count(":") < _COLONS:
            return
        doubtful = _NO_ADDRESS.search(text, max(0, start - 12), start) is not None
        for left, right, score in _matches(self._ip, value, IpRecognizer.PATTERNS):
            yield Finding(Kind.IP, start + left, start + right, 0.3 if doubtful else score)

    def _ssns(self, text: str, span: Span) -> Iterator[Finding]:
        start, end = span
        for left, right, found in _matches(self._ssn, text[start:end], UsSsnRecognizer.PATTERNS):
            near = _has_context(Kind.SSN, text, span)
            # With spaces or dots it may be any three numbers.
            score = 0.85 if near else found * 1.3 if "-" in text[start:end] else found / 2
            yield Finding(Kind.SSN, start + left, start + right, score)

    def _cards(self, text: str, span: Span) -> Iterator[Finding]:
        """Every length from 13 to 19 digits: a number of a card has a valid check digit (Luhn)."""
        for start, end in cards_of(text, span):
            digits = _SEPARATOR.sub("", text[start:end])
            if not self._card.validate_result(digits) or len(set(digits)) == 1:
                continue
            usual = len(digits) in (14, 15, 16) and digits[0] in "23456"
            near = _has_context(Kind.CREDIT_CARD, text, (start, end))
            yield Finding(Kind.CREDIT_CARD, start, end, 1.0 if near else 0.7 if usual else 0.3)
            return

    def _ibans(self, text: str, span: Span) -> Iterator[Finding]:
        """The longest stretch from the country code on whose form and check digits are right."""
        start = span[0]
        if text[start : start + 2].upper() not in regex_per_country:
            return
        run = _IBAN_RUN.match(text, start)
        assert run is not None, "it may be empty"
        places = [place for place, letter in enumerate(run[0], start) if letter not in " -"]
        letters = run[0].replace(" ", "").replace("-", "").upper()
        for length in range(min(len(places), _LONGEST_IBAN), _SHORTEST_IBAN - 1, -1):
            ends = length == len(places) or places[length] > places[length - 1] + 1
            value = letters[:length]
            if ends and _has_check_digits(value) and self._iban.validate_result(value):
                yield Finding(Kind.IBAN, start, places[length - 1] + 1, 1.0)
                return


def _matches(recogniser: _Recogniser, text: str, patterns: Iterable[Pattern]) -> list[tuple[int, int, float]]:
    """Start, end and score of what a recogniser's patterns match and its checks let pass, the surest first."""
    found = set()
    for pattern in patterns:
        for match in cast("re.Pattern[str]", pattern.compiled_regex).finditer(text):
            if score := _score(recogniser, match[0], pattern.score):
                found.add((*match.span(), score))
    if len(found) < 2:
        return [*found]
    return sorted(_not_within_another(found), key=lambda one: (-one[2], one[0], -one[1]))


def _score(recogniser: _Recogniser, value: str, score: float) -> float:
    valid = recogniser.validate_result(value) if value else False
    if valid is not None:
        score = 1.0 if valid else 0.0
    return 0.0 if recogniser.invalidate_result(value) else score


def _not_within_another(found: Iterable[tuple[int, int, float]]) -> Iterator[tuple[int, int, float]]:
    """Those that no other covers which is as sure."""
    open_ones: list[tuple[int, int, float]] = []
    for start, end, score in sorted(found, key=lambda one: (one[0], -one[1], -one[2])):
        open_ones = [one for one in open_ones if one[1] >= start]
        if not any(one[1] >= end and one[2] >= score for one in open_ones):
            open_ones.append((start, end, score))
            yield start, end, score


def _words_with_at(text: str, span: Span) -> Iterator[Span]:
    return (word.span() for word in _WORD.finditer(text, *span) if "@" in word[0])


def _has_check_digits(value: str) -> bool:
    """ISO 7064, modulus 97, as every IBAN has: Presidio knows the forms as well, and takes ten times as long."""
    return int((value[4:] + value[:4]).translate(IbanRecognizer.LETTERS)) % 97 == 1


def _phones(text: str) -> Iterator[Finding]:
    """Telephone numbers, of several side by side each: a candidate may reach into the next one."""
    place = 0
    while (span := next_phone(text, place)) is not None:
        found = _phone(text, span)
        place = span[1] if found is None else found.end
        if found is not None:
            yield found


def _phone(text: str, span: Span) -> Finding | None:
    """The candidate, or what is left of it without a group at its edge, if it is a number that can be dialled.

    Without a plus sign or a word that announces it, a number must be written like one: most numbers are none.
    """
    if text.startswith(("+", "00"), span[0]):
        for start, end in _parts(text, span):
            if is_dialled_from_abroad(text[start:end]):
                return Finding(Kind.PHONE, start, end, 0.9)
    is_date = _DATE.match(text, *span) is not None
    if is_date and not _SPACE.search(text, *span):
        return None
    if not _has_context(Kind.PHONE, text, span):
        return _unannounced(text, span)
    for start, end in _parts(text, span):
        if not _DATE.match(text, start, end) and is_dialled_at_home(text[start:end]):
            return Finding(Kind.PHONE, start, end, 0.8)
    # Announced as one, and of the right length: who wrote it knew better than the tables of any country.
    return None if is_date else Finding(Kind.PHONE, *span, 0.6)


def _parts(text: str, span: Span) -> Iterator[Span]:
    return chain((span,), before_another(text, span), _trimmed(text, span))


def _unannounced(text: str, span: Span) -> Finding | None:
    # Groups of digits between spaces alone are cut nowhere: any two of a row of numbers might be dialled.
    parts = before_another(text, span) if _SIGNS.search(text, *span) else ()
    for start, end in chain((span,), parts):
        value = text[start:end]
        is_cut = end < span[1]
        if (is_cut and not _SIGNS.search(value)) or not _is_written_like_one(value) or not is_dialled_at_home(value):
            continue
        if _NO_PHONE.search(text, max(0, span[0] - 12), span[0]):
            return None
        likely = value.startswith("0") or len(_SEPARATOR.findall(value)) > 1
        return Finding(Kind.PHONE, start, end, 0.5 if likely else 0.4)
    return None


def _is_written_like_one(value: str) -> bool:
    """In groups, not all but one of a single digit, and neither a date nor an amount in thousands."""
    if value.isdigit():
        return False
    groups = _DIGITS.findall(value)
    single = sum(len(group) == 1 for group in groups)
    return len(groups) > 1 and single < 2 and not _DATE.match(value) and not _THOUSANDS.fullmatch(value)


def _trimmed(text: str, span: Span) -> Iterator[Span]:
    """The span without its last or first group of digits."""
    start, end = span
    if (space := text.rfind(" ", start, end)) > start:
        yield start, space
    if (space := text.find(" ", start, end)) > start and text[start] != "+":
        yield space + 1, end


def _has_context(kind: Kind, text: str, span: Span) -> bool:
    """Whether a word close by, in the same sentence before or the same line behind, says what the value is."""
    start, end = span
    begin = max(0, start - _BEFORE)
    if _names(kind, text, begin, start):
        begin = max([begin, *(match.end() for match in _SENTENCE_END.finditer(text, begin, start))])
        if _names(kind, text, begin, start):
            return True
    stop = text.find("\n", end, end + _AFTER)
    return _names(kind, text, end, stop if stop >= 0 else end + _AFTER)


def _names(kind: Kind, text: str, start: int, end: int) -> bool:
    """Whether there is a word for the kind in [start, end) of the text."""
    # A word begins or not by what stands before it.
    left = max(0, start - 1)
    near = text[left:end]
    if near.isascii():
        return _CONTEXT_IN_ASCII[kind].search(near.lower(), start - left) is not None
    return _CONTEXT[kind].search(text, start, end) is not None
