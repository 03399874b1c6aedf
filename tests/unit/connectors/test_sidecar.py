"""`.millstream.yaml`: rules, globs, and errors that name the place."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.sidecar import Described, Sidecar, glob_pattern, parse_sidecar, read_sidecar
from schemas.errors import ConfigError

RULES = """
rules:
  - match: "**"
    acl: [public]
    url: "https://wiki.aurora.example/{path}"
    labels: {department: general, kind: page}
    event_time: 2026-01-10T09:00:00Z
  - match: "hr/**"
    acl: [hr, managers]
    labels: {department: hr}
  - match: "hr/open.md"
    acl: []
    content_type: text/plain; charset=iso-8859-1
"""


def test_later_rules_win_field_by_field() -> None:
    sidecar = parse_sidecar(RULES, "f")
    time = datetime(2026, 1, 10, 9, 0, tzinfo=UTC)
    general = {"department": "general", "kind": "page"}
    assert sidecar.describe("a.md") == Described(("public",), "https://wiki.aurora.example/a.md", general, time)
    assert sidecar.describe("hr/a.md").acl == ("hr", "managers")
    assert sidecar.describe("hr/a.md").labels == {"department": "hr"}
    assert sidecar.describe("hr/open.md").acl == ()
    assert sidecar.describe("hr/open.md").event_time == time
    assert sidecar.describe("hr/open.md").content_type == "text/plain; charset=iso-8859-1"


def test_without_rules_nothing_is_said(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path) == Sidecar()
    assert parse_sidecar("", "f").describe("a.md") == Described()


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("**", "a.md", True),
        ("**", "a/b/c.md", True),
        ("*.md", "a.md", True),
        ("*.md", "a/b.md", False),
        ("**/*.md", "b.md", True),
        ("**/*.md", "a/b/c.md", True),
        ("a/**", "a/b/c.md", True),
        ("a/**", "ab/c.md", False),
        ("a/**", "a", False),
        ("a/**/c.md", "a/c.md", True),
        ("a/**/c.md", "a/b/b/c.md", True),
        ("a/?.md", "a/b.md", True),
        ("a/?.md", "a/bc.md", False),
        ("a.md", "axmd", False),
        ("[a].md", "a.md", False),
        ("[a].md", "[a].md", True),
    ],
)
def test_globs(glob: str, path: str, fits: bool) -> None:
    assert (re.fullmatch(glob_pattern(glob), path) is not None) is fits


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rules: [", "f, line 1: not YAML"),
        ("rules: [{acl: [public]}]", r"f, rules\.0\.match: is missing"),
        ('rules: [{match: ""}]', r"f, rules\.0\.match"),
        ('rules: [{match: "**", owner: x}]', r"f, rules\.0\.owner: is not known here"),
        ('rules: [{match: "**", acl: public}]', r"f, rules\.0\.acl: needs a list"),
        ("rules: x", r"f, rules: needs a list"),
        ('rules: [{match: "**", url: "javascript:alert(1)"}]', r"f, rules\.0\.url: an http or https address"),
        ('rules: [{match: "**", event_time: yesterday}]', r"f, rules\.0\.event_time: needs a time with a zone"),
        ('rules: [{match: "**", acl: [" x"]}]', r"f, rules\.0\.acl\.0: an acl entry must not"),
        ('rules: [{match: "**", url: "https://w.example/{name}"}]', r"f, rules\.0\.url: \{name\} is not known"),
        (
            'rules: [{match: "**", event_time: 2026-01-01T00:00:00}]',
            r"f, rules\.0\.event_time: needs a time with a zone",
        ),
        ('rules: [{match: "**", labels: [a]}]', r"f, rules\.0\.labels"),
        ("- a", "f, file: "),
        ("rule: []", "f, rule: is not known here"),
        ("!!python/object:os.system {}", "f, line 1: not YAML"),
    ],
)
def test_a_broken_file_is_one_line_that_names_the_place(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        parse_sidecar(text, "f")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / ".millstream.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_sidecar(tmp_path)
