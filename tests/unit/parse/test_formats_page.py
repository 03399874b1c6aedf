"""docs/formats.md says what the code reads and refuses."""

import re
from pathlib import Path

from streams.parse.format import Format

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "formats.md").read_text()
REASON = re.compile(r'reason="(\w+)"')


def test_every_format_is_described() -> None:
    described = {
        name.strip() for row in re.findall(r"^\| ([a-z, ]+) \|", PAGE, re.MULTILINE) for name in row.split(",")
    }
    assert set(Format) <= described


def test_every_reason_is_described() -> None:
    said = {reason for path in (ROOT / "streams" / "parse").glob("*.py") for reason in REASON.findall(path.read_text())}
    assert said
    assert {reason for reason in said if f"`{reason}`" not in PAGE} == set()
