from pathlib import Path

import pytest
import yaml

from schemas.errors import ConfigError
from schemas.sources import parse_sources, row_doc_id

ROOT = Path(__file__).parents[3]
GOOD = {"name": "web", "tenant": "acme", "kind": "webhook", "versioning": "log", "default_acl": ["public"]}


def _file(*sources: object) -> str:
    return yaml.safe_dump({"version": 1, "sources": list(sources)})


def test_the_example_file_parses_and_owns_every_kind_of_first_light() -> None:
    sources = parse_sources((ROOT / "sources.example.yaml").read_text())
    assert len(sources.tenants) == 2
    assert {"files", "webhook"} <= {source.kind for source in sources.sources}


def test_the_captured_example_works_once_uncommented() -> None:
    lines = (ROOT / "sources.example.yaml").read_text().splitlines()
    example = [line[1:] for line in lines if line.startswith(("#  - ", "#    ", "#      "))]
    start = next(at for at, line in enumerate(example) if line.startswith("  - name"))
    (source,) = parse_sources("\n".join(["version: 1", "sources:", *example[start:]])).captured
    assert (source.name, source.default_acl) == ("bulletins", ())


def test_what_a_source_leaves_out_is_decided_narrowly() -> None:
    source = parse_sources(_file({"name": "web", "tenant": "acme", "kind": "files"})).get("web")
    assert source is not None
    assert (source.versioning, source.epoch, source.default_acl) == ("log", 1, ())
    assert (source.owner, source.source) == ("acme", "web")


def test_a_bare_off_is_the_profile_that_looks_for_nothing() -> None:
    text = "version: 1\nsources:\n  - {name: web, tenant: acme, kind: webhook, redaction: {profile: off}}\n"
    source = parse_sources(text).get("web")
    assert source is not None
    assert source.redaction.profile == "off"


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
    with pytest.raises(ConfigError, match=rf"^sources.yaml, sources\.0\.{field}: is missing$"):
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


TABLE: dict[str, object] = {
    "dsn_env": "SALES_DSN",
    "table": "public.articles",
    "columns": {"key": ["id"], "title": "title", "body": "body"},
}
CAPTURED: dict[str, object] = {"name": "articles", "tenant": "acme", "kind": "postgres", "postgres": TABLE}


def _captured(**postgres: object) -> str:
    return _file({**CAPTURED, "postgres": {**TABLE, **postgres}})


def test_a_captured_table_says_what_it_leaves_out_narrowly() -> None:
    sources = parse_sources(_captured())
    source = sources.get("articles")
    assert source is not None
    assert source.postgres is not None
    assert sources.captured == (source,)
    assert (source.postgres.shape, source.postgres.body_encoding, source.postgres.tenants) == ("rows", "text", ())
    assert source.postgres.columns.named == ("id", "title", "body")
    assert source.may_name("acme")
    assert not source.may_name("bolt")


def test_every_tenant_a_table_may_name_has_a_place_in_the_index() -> None:
    columns = {"key": ["id"], "body": "body", "tenant": "owner"}
    sources = parse_sources(_captured(columns=columns, tenants=["bolt", "acme"]))
    assert sources.tenants == ("acme", "bolt")
    assert [sources.sources[0].may_name(name) for name in ("acme", "bolt", "crow")] == [True, True, False]


@pytest.mark.parametrize(
    ("postgres", "says"),
    [
        ({"dsn_env": "postgresql://u:p@h/db"}, "never a DSN itself"),
        ({"table": "articles"}, "schema.table"),
        ({"table": 'public.art"icles'}, "schema.table"),
        ({"columns": {"key": [], "body": "body"}}, "sources.0.postgres.columns.key"),
        ({"columns": {"key": ["id"]}}, "columns.body"),
        ({"columns": {"key": ["id"], "body": "bo dy"}}, "a column is"),
        ({"columns": {"key": ["id"], "body": "body", "labels": ["Category"]}}, "a label is named like its column"),
        ({"columns": {"key": ["id"], "body": "body", "op": "op"}}, "columns.op goes with shape: outbox"),
        ({"shape": "outbox"}, "an outbox needs the column that says upsert, delete or acl"),
        ({"shape": "outbox", "columns": {"key": ["a", "b"], "op": "op", "body": "body"}}, "the one column"),
        ({"tenants": ["bolt"]}, "tenants goes with columns.tenant"),
        ({"body_encoding": "hex"}, "body_encoding"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_table_that_cannot_be_read_as_declared_is_one_line(postgres: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sources(_captured(**postgres))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_versions_of_rows_are_their_lsns_and_never_declared() -> None:
    with pytest.raises(ConfigError, match="leave versioning out"):
        parse_sources(_file({**CAPTURED, "versioning": "log"}))


def test_kind_postgres_and_its_block_go_together() -> None:
    with pytest.raises(ConfigError, match="go together"):
        parse_sources(_file({**GOOD, "postgres": TABLE}))
    with pytest.raises(ConfigError, match="go together"):
        parse_sources(_file({**GOOD, "versioning": "log", "kind": "postgres"}))


def test_the_parts_of_a_key_never_run_into_each_other() -> None:
    assert row_doc_id(["7/8%"]) == "7/8%"
    ids = [
        row_doc_id(parts) for parts in (["a", "b"], ["a/b", "c"], ["a", "b/c"], ["a%2Fb", "c"], ["", "a"], ["a", ""])
    ]
    assert ids[:3] == ["a/b", "a%2Fb/c", "a/b%2Fc"]
    assert len(set(ids)) == len(ids)
