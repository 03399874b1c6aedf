"""What the tables say of a number is what phonenumbers' own functions say of it."""

import random
from collections.abc import Iterator
from itertools import islice

import phonenumbers

from streams.redact.dialling import is_dialled_at_home, is_dialled_from_abroad

_AT_HOME = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "AT", "CH", "BR", "IN", "AU", "JP", "CN", "IL")
_KINDS = range(11)


def numbers() -> Iterator[phonenumbers.PhoneNumber]:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in _KINDS:
            example = phonenumbers.example_number_for_type(region, kind)
            if example is not None:
                yield example


def nearly(chance: random.Random, value: str) -> str:
    """The value, or one that differs in a digit or lacks its last ones."""
    changed = "".join(
        chance.choice("0123456789") if sign.isdigit() and chance.random() < 0.1 else sign for sign in value
    )
    return changed[: len(changed) - chance.choice((0, 0, 0, 1, 2))]


def is_valid_abroad(value: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse("+" + value[2:] if value[:2] == "00" else value, None))
    except phonenumbers.NumberParseException:
        return False


def test_a_number_with_a_country_code_is_one_where_phonenumbers_says_so() -> None:
    chance = random.Random(3)
    for number in islice(numbers(), 0, None, 4):
        value = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        for written in (value, nearly(chance, value), nearly(chance, "00" + value[1:]), value.replace(" ", " (0) ", 1)):
            assert is_dialled_from_abroad(written) == is_valid_abroad(written), written


def test_a_number_as_dialled_at_home_is_one_where_phonenumbers_parses_it_for_a_country() -> None:
    for number in numbers():
        region = phonenumbers.region_code_for_number(number)
        national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        length = sum(map(str.isdigit, national))
        if region in _AT_HOME and region != "BR" and 6 < length < 13 and phonenumbers.is_valid_number(number):
            assert is_dialled_at_home(national), national


def test_what_no_country_has_is_no_number() -> None:
    for value in ("", "0", "00", "+", "+ (", "12345", "000000", "+999 12", "49 30 901820 77777777", "1" * 40):
        assert not is_dialled_at_home(value), value
        assert not is_dialled_from_abroad(value), value
