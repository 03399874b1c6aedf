from pathlib import Path

import pytest
import yaml

from schemas.errors import ConfigError
from schemas.sources import parse_sources

ROOT = Path(__file__).parents[3]
GOOD = {"name": "web", "tenant": "acme", "kind": "webhook", "versioning": "log", "default_acl": ["public"]}


def _file(*sources: object) -> str:
    return yaml.safe_dump({"version": 1, "sources": list(sources)})


def test_the_example_file_parses_and_owns_every_kind_of_first_light() -> None:
    sources = parse_sources((ROOT / "sources.example.yaml").read_text())
    assert len(sources.tenants) == 2
    assert {"files", "webhook"} <= {source.kind for source in sources.sources}


def test_what_a_source_leaves_out_is_decided_narrowly() -> None:
    source = parse_sources(_file({"name": "web", "tenant": "acme", "kind": "files"})).get("web")
    assert source is not None
    assert (source.versioning, source.epoch, source.default_acl) == ("log", 1, ())
    assert (source.owner, source.source) == ("acme", "web")


def test_a_source_that_is_not_declared_is_none() -> None:
    assert parse_sources(_file(GOOD)).get("crm") is None
    assert parse_sources(_file()).tenants == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "Web"),
        ("name", "web\n"),
        ("name", 5),
        ("name", None),
        ("tenant", "a"),
        ("tenant", "Acme"),
        ("tenant", " acme"),
        ("tenant", ["acme"]),
        ("kind", "ftp"),
        ("kind", None),
        ("versioning", "guess"),
        ("epoch", 0),
        ("epoch", 2**31),
        ("epoch", "one"),
        ("default_acl", "public"),
        ("default_acl", [" public"]),
        ("default_acl", [""]),
        ("default_acl", ["user:"]),
        ("default_acl", ["a\x07"]),
        ("default_acl", [3]),
        ("default_acl", None),
        ("color", "red"),
    ],
)
def test_a_bad_field_is_one_line_that_names_it(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sources(_file(GOOD, {**GOOD, "name": "second", field: value}))
    assert str(caught.value).startswith(f"sources.yaml, sources.1.{field}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["name", "tenant", "kind"])
def test_a_missing_field_is_one_line_that_names_it(field: str) -> None:
    source = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(ConfigError, match=rf"^sources.yaml, sources\.0\.{field}: Field required$"):
        parse_sources(_file(source))


def test_a_source_is_declared_once_since_it_belongs_to_one_tenant() -> None:
    with pytest.raises(ConfigError, match="'web' is declared twice"):
        parse_sources(_file(GOOD, {**GOOD, "tenant": "other"}))


@pytest.mark.parametrize(
    "text", ["", "sources: [", "\x00", "version: 2\nsources: []", "version: 1", "- 1", "sources: {}\nversion: 1"]
)
def test_what_is_not_the_file_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sources(text)
    assert str(caught.value).startswith("sources.yaml")
    assert "\n" not in str(caught.value)
