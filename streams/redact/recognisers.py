"""Presidio's recognisers over what the pre-screens let through. The one module that knows Presidio and phonenumbers.

Recognisers are asked directly: the analyzer engine would tokenise and lemmatise every text for the sake of context
words, which a look at the neighbouring characters finds as well. Nothing here is logged and nothing is fetched.
"""

import logging
import re
from collections.abc import Iterator
from functools import cache

import phonenumbers
from presidio_analyzer import Pattern
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    UsSsnRecognizer,
)

from schemas.redaction import Kind
from streams.core.redaction import Finding
from streams.core.scripts import UNSPACED
from streams.redact.screens import Span, before_another, candidates

# Presidio logs texts it could not validate.
logging.getLogger("presidio-analyzer").disabled = True

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "AT", "CH", "BR", "IN", "AU", "JP", "CN", "IL")
"""Countries whose numbers are known as they are dialled at home; with + and a country code all are."""

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
_NO_ADDRESS = re.compile(r"(?:version|release|build|section|chapter|§|\bv)\W{0,3}$", re.IGNORECASE)
_NO_PHONE = re.compile(r"(?:isbn|issn|order|invoice|no|nr)\W{0,3}$", re.IGNORECASE)
_DATE = re.compile(
    r"(?:(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-./ ](?:0?[1-9]|[12]\d|3[01])[-./ ](?:19|20)\d\d)(?!\d)"
)
_AT = re.compile(r"@|[\[({] ?at ?[\])}]", re.IGNORECASE)
_AT_IN_BRACKETS = re.compile(r"[\[({] ?at ?[\])}]", re.IGNORECASE)
_WORD = re.compile(r"\S+")
_RUN = re.compile(f"[^{UNSPACED}]+")
_SEPARATOR = re.compile(r"[().\-/ ]")
_SIGNS = re.compile(r"[().\-/]")
_LAST_LABEL = re.compile(r"\.(?:[^\W\d_]{2,63}|xn--[a-z0-9-]{2,59})\.?$", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\n|(?<=[^\W\d_]{4})[.!?]\s")
_DIGITS = re.compile(r"[0-9]+")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:[ .][0-9]{3})+")
_SHORTEST_IBAN, _LONGEST_IBAN = 15, 34
_SHORTEST_PHONE, _LONGEST_PHONE = 6, 13


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


class Recognisers:
    """One of each, built once a process."""

    def __init__(self) -> None:
        self._email = _Email()
        self._ip = IpRecognizer()
        self._ssn = UsSsnRecognizer()
        self._card = CreditCardRecognizer()
        self._iban = IbanRecognizer()

    def find(self, kind: Kind, text: str) -> Iterator[Finding]:
        """Findings of one kind in a plain text (`screens.plain`); none for kinds that have no pattern."""
        if kind is Kind.PHONE:
            yield from _phones(text)
            return
        for span in candidates(kind, text):
            match kind:
                case Kind.EMAIL:
                    yield from self._emails(text, span)
                case Kind.IP:
                    yield from self._ips(text, span)
                case Kind.SSN:
                    yield from self._ssns(text, span)
                case Kind.CREDIT_CARD:
                    yield from self._cards(text, span)
                case Kind.IBAN:
                    yield from self._ibans(text, span)

    def _emails(self, text: str, span: Span) -> Iterator[Finding]:
        spelled_out = _AT_IN_BRACKETS.search(text, *span)
        # Only what is spelled out has spaces within: of anything else the words with an at sign are enough.
        for stretch in [span] if spelled_out else _words_with_at(text, span):
            # An address ends where a script without spaces begins, unless it is written in that script itself.
            runs = [run.span() for run in _RUN.finditer(text, *stretch)]
            within = [found for run in runs for found in self._addresses(text, run)]
            yield from within or (self._addresses(text, stretch) if runs != [stretch] else ())

    def _addresses(self, text: str, span: Span) -> Iterator[Finding]:
        start, end = span
        if _AT.search(text, start, end):
            for found in self._email.analyze(text[start:end], self._email.supported_entities):
                yield Finding(Kind.EMAIL, start + found.start, start + found.end, found.score)

    def _ips(self, text: str, span: Span) -> Iterator[Finding]:
        start, end = span
        doubtful = _NO_ADDRESS.search(text, max(0, start - 12), start) is not None
        for found in self._ip.analyze(text[start:end], self._ip.supported_entities):
            yield Finding(Kind.IP, start + found.start, start + found.end, 0.3 if doubtful else found.score)

    def _ssns(self, text: str, span: Span) -> Iterator[Finding]:
        start, end = span
        near = _has_context(Kind.SSN, text, span)
        for found in self._ssn.analyze(text[start:end], self._ssn.supported_entities):
            # With spaces or dots it may be any three numbers.
            score = 0.85 if near else found.score * 1.3 if "-" in text[start:end] else found.score / 2
            yield Finding(Kind.SSN, start + found.start, start + found.end, score)

    def _cards(self, text: str, span: Span) -> Iterator[Finding]:
        """Every length from 13 to 19 digits: a number of a card has a valid check digit (Luhn)."""
        start, end = span
        digits = _SEPARATOR.sub("", text[start:end])
        if not self._card.validate_result(digits) or len(set(digits)) == 1:
            return
        usual = len(digits) in (14, 15, 16) and digits[0] in "23456"
        near = _has_context(Kind.CREDIT_CARD, text, span)
        yield Finding(Kind.CREDIT_CARD, start, end, 1.0 if near else 0.7 if usual else 0.3)

    def _ibans(self, text: str, span: Span) -> Iterator[Finding]:
        """The longest stretch from the country code on whose form and check digits are right."""
        start = span[0]
        places = []
        for place in range(start, min(len(text), start + 2 * _LONGEST_IBAN)):
            if text[place].isascii() and text[place].isalnum():
                places.append(place)
            elif text[place] not in " -":
                break
        for length in range(min(len(places), _LONGEST_IBAN), _SHORTEST_IBAN - 1, -1):
            value = "".join(text[place] for place in places[:length]).upper()
            ends = length == len(places) or places[length] > places[length - 1] + 1
            if ends and self._iban.validate_result(value):
                yield Finding(Kind.IBAN, start, places[length - 1] + 1, 1.0)
                return


def _words_with_at(text: str, span: Span) -> list[Span]:
    return [word.span() for word in _WORD.finditer(text, *span) if "@" in word[0]]


def _phones(text: str) -> Iterator[Finding]:
    """Telephone numbers, of several side by side each: a candidate may reach into the next one."""
    place = 0
    while (span := next(candidates(Kind.PHONE, text, place), None)) is not None:
        found = _phone(text, span)
        place = span[1] if found is None else found.end
        if found is not None:
            yield found


def _phone(text: str, span: Span) -> Finding | None:
    """The candidate, or what is left of it without a group at its edge, if it is a number that can be dialled.

    Without a plus sign or a word that announces it, a number must be written like one: most numbers are none.
    """
    shorter = list(before_another(text, span))
    tried = [span, *shorter, *_trimmed(text, span)]
    if text.startswith(("+", "00"), span[0]):
        for start, end in tried:
            if _is_dialled_from_abroad(text[start:end]):
                return Finding(Kind.PHONE, start, end, 0.9)
    if not _has_context(Kind.PHONE, text, span):
        if _NO_PHONE.search(text, max(0, span[0] - 12), span[0]):
            return None
        return next((found for part in (span, *shorter) if (found := _unannounced(text, part, span))), None)
    for start, end in tried:
        if not _DATE.match(text, start, end) and _is_dialled_at_home(text[start:end]):
            return Finding(Kind.PHONE, start, end, 0.8)
    # Announced as one, and of the right length: who wrote it knew better than the tables of any country.
    return None if _DATE.match(text, *span) else Finding(Kind.PHONE, *span, 0.6)


def _unannounced(text: str, part: Span, span: Span) -> Finding | None:
    value = text[slice(*part)]
    # Groups of digits between spaces alone are cut nowhere: any two of a row of numbers might be dialled.
    if part != span and not _SIGNS.search(value):
        return None
    if not _is_written_like_one(value) or not _is_dialled_at_home(value):
        return None
    likely = value.startswith("0") or len(_SEPARATOR.findall(value)) > 1
    return Finding(Kind.PHONE, *part, 0.5 if likely else 0.4)


def _is_written_like_one(value: str) -> bool:
    """In groups, not all but one of a single digit, and neither a date nor an amount in thousands."""
    groups = _DIGITS.findall(value)
    single = sum(len(group) == 1 for group in groups)
    return len(groups) > 1 and single < 2 and not _DATE.match(value) and not _THOUSANDS.fullmatch(value)


def _is_dialled_from_abroad(value: str) -> bool:
    try:
        number = phonenumbers.parse("+" + value[2:] if value.startswith("00") else value, None)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def _is_dialled_at_home(value: str) -> bool:
    """Whether some country has such a number. Parsing it for each would take eight times as long."""
    digits = "".join(_DIGITS.findall(value))
    return any(_is_valid_in(region, digits) for region in REGIONS)


def _is_valid_in(region: str, digits: str) -> bool:
    country = phonenumbers.PhoneMetadata.metadata_for_region(region)
    assert country is not None, "a region of the list"
    assert country.general_desc is not None, "every region says how its numbers look"
    keeps_zero = region == "IT" and digits.startswith("0")
    if country.national_prefix and not keeps_zero:
        digits = digits.removeprefix(country.national_prefix)
    if not _SHORTEST_PHONE <= len(digits) <= _LONGEST_PHONE:
        return False
    lengths = country.general_desc.possible_length
    if lengths and len(str(int(digits))) + keeps_zero not in lengths:
        return False
    general = country.general_desc.national_number_pattern
    if general and not _compiled(general).fullmatch("0" * keeps_zero + str(int(digits))):
        return False
    number = phonenumbers.PhoneNumber(
        country_code=country.country_code, national_number=int(digits), italian_leading_zero=keeps_zero or None
    )
    return phonenumbers.is_valid_number_for_region(number, region)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _trimmed(text: str, span: Span) -> Iterator[Span]:
    """The span without its last or first group of digits."""
    start, end = span
    if (space := text.rfind(" ", start, end)) > start:
        yield start, space
    if (space := text.find(" ", start, end)) > start and text[start] != "+":
        yield space + 1, end


def _has_context(kind: Kind, text: str, span: Span) -> bool:
    start, end = span
    pattern = _CONTEXT[kind]
    begin = max(0, start - _BEFORE)
    begin = max([begin, *(match.end() for match in _SENTENCE_END.finditer(text, begin, start))])
    if pattern.search(text, begin, start):
        return True
    stop = text.find("\n", end, end + _AFTER)
    return pattern.search(text, end, stop if stop >= 0 else end + _AFTER) is not None
