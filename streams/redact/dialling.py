"""Whether some country has a telephone number, as it is dialled at home or from abroad. The one module that knows
phonenumbers.

Its tables are asked directly: to try kind after kind of country after country takes ten times as long, and most numbers
in a text are none of these.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache

import phonenumbers

REGIONS = ("US", "GB", "DE", "FR", "ES", "NL", "AT", "CH", "BR", "IN", "AU", "JP", "CN", "IL")
"""Countries whose numbers are known as they are dialled at home, and Italy; with + and a country code all are."""
# The zero that begins a number there belongs to it.
_ITALY = ("IT",)

_SHORTEST, _LONGEST = 6, 13
_LONGEST_COUNTRY_CODE = 3
_KINDS = ("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan",
          "voicemail")  # fmt: skip
_DIGIT = re.compile(r"[0-9]")


def is_dialled_at_home(value: str) -> bool:
    """Whether one of the countries has such a number; all but ASCII digits is passed over."""
    return any(_is_number_of(regions, number) for regions, number in _national("".join(_DIGIT.findall(value))))


def is_dialled_from_abroad(value: str) -> bool:
    """Whether there is such a number in any country, after + or 00."""
    if value.startswith("00"):
        value = "+" + value[2:]
    if not value.startswith("+"):
        return False
    if "\t" not in value and _is_plain("".join(_DIGIT.findall(value))):
        return True
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def prepare() -> None:
    """Compile what numbers look like at home: 0.1 s of one core, otherwise of the first documents with a number."""
    for regions in (_ITALY, *_regions_by_prefix().values()):
        for length in range(_SHORTEST, _LONGEST + 1):
            _numbers(regions, length)


def _national(digits: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The number without what is dialled before it within a country, and the countries in which that is so."""
    if _SHORTEST <= len(digits) <= _LONGEST:
        yield _ITALY, ("0" if digits.startswith("0") else "") + str(int(digits))
    for prefix, regions in _regions_by_prefix().items():
        rest = digits.removeprefix(prefix)
        if _SHORTEST <= len(rest) <= _LONGEST:
            yield regions, str(int(rest))


@cache
def _regions_by_prefix() -> Mapping[str, tuple[str, ...]]:
    prefixes = {region: _country(region).national_prefix or "" for region in REGIONS}
    return {
        prefix: tuple(region for region in REGIONS if prefixes[region] == prefix)
        for prefix in sorted(set(prefixes.values()))
    }


def _country(region: str) -> phonenumbers.PhoneMetadata:
    country = phonenumbers.PhoneMetadata.metadata_for_region(region)
    assert country is not None, "a region of the list"
    return country


def _is_number_of(regions: tuple[str, ...], number: str) -> bool:
    pattern = _numbers(regions, len(number))
    return pattern is not None and pattern.fullmatch(number) is not None


@cache
def _numbers(regions: tuple[str, ...], length: int) -> re.Pattern[str] | None:
    """What the countries' numbers of so many digits look like; None where they have none."""
    forms = [form for region in regions if (form := _form(_country(region), length))]
    return re.compile("|".join(forms)) if forms else None


def _form(country: phonenumbers.PhoneMetadata, length: int) -> str | None:
    """A number is one of a kind that the country has, and looks as all of its numbers do."""
    # Where one pattern serves both, that of mobile numbers is the other's.
    unused = "mobile" if country.same_mobile_and_fixed_line_pattern else ""
    patterns = [_pattern(getattr(country, kind), length) for kind in _KINDS if kind != unused]
    kinds = dict.fromkeys(pattern for pattern in patterns if pattern)
    general = _pattern(country.general_desc, length)
    return rf"(?=(?:{general})\Z)(?:{'|'.join(kinds)})" if general and kinds else None


def _pattern(described: phonenumbers.PhoneNumberDesc | None, length: int) -> str | None:
    if described is None or (described.possible_length and length not in described.possible_length):
        return None
    return described.national_number_pattern


def _is_plain(digits: str) -> bool:
    """Whether these are a country code and right behind it a number of the first country that has the code.

    Such a number is valid, and most are such; of any other phonenumbers has to tell.
    """
    if not digits or digits.startswith("0"):
        return False
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    length = next((n for n in range(1, _LONGEST_COUNTRY_CODE + 1) if int(digits[:n]) in codes), None)
    if length is None:
        return False
    number = digits[length:]
    region = codes[int(digits[:length])][0]
    country = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if country is None or country.leading_digits is not None:
        return False
    # What is dialled before a number within the country, if it is there, is taken off by rules of its own.
    prefix = country.national_prefix_for_parsing
    return not (prefix and _compiled(prefix).match(number)) and _is_number_of((region,), number)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
