"""JSON as text: every name and every value, as it is written."""

import pytest

from streams.parse.document import read_document


def read(body: str) -> str:
    return read_document(body.encode(), "application/json", "a").text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"note": "first", "note": "second"}', "note: first, second"),
        ('{"rows": [{"a": "x"}], "rows": [{"a": "y"}]}', "rows\n\na: x\n\na: y"),
        ('{"n": 1e400}', "n: 1e400"),
        ('{"amount": 12345678901234567890.55, "rate": 12.50}', "amount: 12345678901234567890.55\nrate: 12.50"),
        (f'{{"n": {"1" * 5000}}}', f"n: {'1' * 5000}"),
        ('{"allergies": {"peanuts": null, "milk": ""}, "more": {}}', "allergies.peanuts: null\nallergies.milk:\nmore:"),
        ('{"on": true, "off": false, "odd": NaN}', "on: true\noff: false\nodd: NaN"),
        ('["a", null, 7]', "a\n\n7"),
    ],
)
def test_every_name_and_value_is_read_as_it_is_written(body: str, text: str) -> None:
    assert read(body) == text


def test_a_number_is_no_title() -> None:
    assert read_document(b'{"title": 5, "name": "Pump"}', "application/json", "a").title == "Pump"
