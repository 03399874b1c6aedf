"""Prose that lists what the code has is held to the code."""

import re
from pathlib import Path

import pytest

from cli.reference import FOLDER, pages

ROOT = Path(__file__).parent.parent.parent
PROSE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_reference_page_says_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "run `make docs`"


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_every_file_that_the_walkthrough_names_exists() -> None:
    text = (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")
    for named in re.findall(r"`((?:schemas|runtime|index|connectors|streams|serving|infra|cli|tests)/[\w/.]+)`", text):
        assert (ROOT / named).exists(), named


def test_every_make_target_that_prose_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PROSE:
        assert set(re.findall(r"`(?:KEEP=1 )?make ([a-z-]+)`", page.read_text(encoding="utf-8"))) <= targets, page
