"""Generated texts full of personal data, each with the spans of what is in it: the same on every machine."""

import random
import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks import personal_words as words
from schemas.redaction import Kind

_SLOT = re.compile(r"\{(\w+)\}")
_IBAN_LENGTHS = {"DE": 22, "GB": 22, "FR": 27, "NL": 18, "ES": 24, "IT": 27, "NO": 15, "BE": 16, "PL": 28, "CH": 21}
_IBAN_LETTERS = {"GB": 4, "NL": 4, "IT": 1}
_PHONES = (
    "+1 {3}-{3}-{4}", "({3}) {3}-{4}", "{3}-{3}-{4}", "{3}.{3}.{4}", "+44 20 7{3} {4}", "020 7{3} {4}", "07{3} {6}",
    "+49 30 {6}", "030 {8}", "0171 {7}", "+49 (0)89 {6}", "+33 6 {2} {2} {2} {2}", "06 {2} {2} {2} {2}",
    "+34 6{2} {3} {3}", "+39 06 {4} {4}", "+31 6 {8}", "+91 98{3} {5}", "098{3} {5}", "+55 11 9{4}-{4}",
    "+61 4{2} {3} {3}",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Truth:
    """A value [start, end) that is in the text."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PersonalText:
    """A generated text, as Markdown, in one of ten formats."""

    format: str
    text: str
    truths: tuple[Truth, ...]


def personal_texts(count: int, seed: int) -> Iterator[PersonalText]:
    """`count` texts, the formats in turn."""
    formats = list(words.FORMATS)
    for number in range(count):
        name = formats[number % len(formats)]
        yield _Writer(random.Random(f"{seed}/{number}")).write(name)


class _Writer:
    """Fills one text."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._first = ""
        kinds: Mapping[Kind, Callable[[], str]] = {
            Kind.PERSON: self._person,
            Kind.EMAIL: self._email,
            Kind.IBAN: self._iban,
            Kind.SSN: self._ssn,
            Kind.CREDIT_CARD: self._card,
            Kind.IP: self._ip,
            Kind.PHONE: self._phone,
        }
        self._makers: dict[str, Callable[[], str]] = {str(kind): maker for kind, maker in kinds.items()}

    def write(self, name: str) -> PersonalText:
        template = words.FORMATS[name]
        while "{s}" in template:
            template = template.replace("{s}", self._chance.choice(words.SENTENCES), 1)
        parts: list[str] = []
        truths: list[Truth] = []
        place = length = 0
        for slot in _SLOT.finditer(template):
            value = self._value(slot.group(1))
            parts += (template[place : slot.start()], value)
            start = length + slot.start() - place
            length = start + len(value)
            place = slot.end()
            if slot.group(1).isupper():
                kind = Kind.PERSON if slot.group(1) == "FIRST" else Kind(slot.group(1))
                truths.append(Truth(kind, start, length))
        parts.append(template[place:])
        return PersonalText(name, "".join(parts), tuple(truths))

    def _value(self, slot: str) -> str:
        chance = self._chance
        if slot in self._makers:
            return self._makers[slot]()
        match slot:
            case "FIRST":
                return self._first or chance.choice(words.FIRST_NAMES)
            case "city":
                return chance.choice(words.CITIES)
            case "company":
                return chance.choice(words.COMPANIES)
            case "product":
                return chance.choice(words.PRODUCTS)
            case "team":
                return chance.choice(words.TEAMS)
            case "month":
                return chance.choice(words.MONTHS)
            case "day":
                return chance.choice(words.DAYS)
            case "date":
                day, month, year = chance.randrange(1, 29), chance.randrange(1, 13), chance.randrange(2015, 2027)
                return chance.choice((f"{year}-{month:02d}-{day:02d}", f"{day:02d}.{month:02d}.{year}"))
        return self._number(slot)

    def _number(self, slot: str) -> str:
        patterns = {
            "time": f"{self._chance.randrange(24):02d}:{self._chance.randrange(60):02d}",
            "order": self._digits(10),
            "ticket": f"MS-{self._digits(5)}",
            "room": f"{self._digits(1)}.{self._digits(2)}",
            "amount": f"{self._chance.randrange(2, 90)} {self._digits(3)}",
            "weight": f"{self._digits(2)}.{self._digits(3)}",
            "version": ".".join(self._digits(1) for _ in range(3)),
            "section": f"{self._digits(1)}.{self._digits(1)}.{self._digits(2)}",
            "isbn": f"978-{self._digits(1)}-{self._digits(4)}-{self._digits(4)}-{self._digits(1)}",
            "hash": "".join(self._chance.choice("0123456789abcdef") for _ in range(12)),
        }
        return patterns[slot]

    def _digits(self, count: int) -> str:
        return "".join(self._chance.choice(string.digits) for _ in range(count))

    def _person(self) -> str:
        chance = self._chance
        first, last = chance.choice(words.FIRST_NAMES), chance.choice(words.LAST_NAMES)
        self._first = first
        forms = (f"{first} {last}",) * 6 + (f"{first} {chance.choice('ABCDEFGHJKLM')}. {last}", f"Dr. {last}", first)
        return chance.choice(forms)

    def _email(self) -> str:
        chance = self._chance
        first, last = (
            chance.choice(names).lower().encode("ascii", "ignore").decode().replace("'", "")
            for names in (words.FIRST_NAMES, words.LAST_NAMES)
        )
        local = chance.choice(
            (f"{first}.{last}", f"{first[:1]}{last}", f"{first}_{last}{self._digits(2)}", f"{first}+hr")
        )
        return f"{local}@{chance.choice(words.DOMAINS)}"

    def _iban(self) -> str:
        country = self._chance.choice(list(_IBAN_LENGTHS))
        letters = _IBAN_LETTERS.get(country, 0)
        account = "".join(self._chance.choice(string.ascii_uppercase) for _ in range(letters))
        account += self._digits(_IBAN_LENGTHS[country] - 4 - letters)
        check = 98 - int("".join(str(int(character, 36)) for character in f"{account}{country}00")) % 97
        value = f"{country}{check:02d}{account}"
        spaced = " ".join(value[place : place + 4] for place in range(0, len(value), 4))
        return self._chance.choice((value, spaced, spaced, value.lower()))

    def _ssn(self) -> str:
        area = self._chance.choice([number for number in range(100, 899) if number != 666])
        parts = (f"{area}", f"{self._chance.randrange(10, 99)}", f"{self._chance.randrange(1000, 9999)}")
        return self._chance.choice(("-", "-", "-", " ", "")).join(parts)

    def _card(self) -> str:
        prefix, length = self._chance.choice((("4", 16), ("51", 16), ("2221", 16), ("6011", 16), ("37", 15)))
        digits = prefix + self._digits(length - len(prefix) - 1)
        check = -sum(_doubled(int(digit)) if place % 2 == 0 else int(digit) for place, digit in enumerate(digits[::-1]))
        value = digits + str(check % 10)
        cuts = (4, 10, 15) if length == 15 else (4, 8, 12, 16)
        groups = [value[start:end] for start, end in zip((0, *cuts), cuts, strict=False)]
        return self._chance.choice((" ", " ", "-", "")).join(groups)

    def _ip(self) -> str:
        if self._chance.random() < 0.7:
            return ".".join(str(self._chance.randrange(1, 255)) for _ in range(4))
        groups = [f"{self._chance.randrange(1, 65536):x}" for _ in range(8)]
        return self._chance.choice((":".join(groups), f"fe80::{groups[0]}:{groups[1]}", f"2001:db8::{groups[2]}"))

    def _phone(self) -> str:
        # A subscriber's number does not begin with 0 or 1 anywhere.
        pattern = self._chance.choice(_PHONES)
        return re.sub(
            r"\{(\d)\}", lambda slot: self._chance.choice("23456789") + self._digits(int(slot.group(1)) - 1), pattern
        )


def _doubled(digit: int) -> int:
    return digit * 2 - 9 if digit > 4 else digit * 2
