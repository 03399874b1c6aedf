"""What Debezium is told about a source, and what everything of it is called."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.debezium.names import connector_name, connector_stem, slot_name
from connectors.debezium.template import MAPPING, connector_config, mapping_digest
from schemas.headers import EPOCH
from tests.unit.connectors.debezium.declared import AROUND, COLUMNS, source

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,61}", fullmatch=True)
PREFIXES = st.from_regex(r"[a-zA-Z0-9._-]{0,40}", fullmatch=True)


def test_the_same_source_gives_the_same_configuration() -> None:
    assert connector_config(source(), AROUND) == connector_config(source(), AROUND)


def test_everything_of_a_source_lies_in_its_own_topic() -> None:
    config = connector_config(source(), AROUND)
    assert (config["transforms.topic.regex"], config["transforms.topic.replacement"]) == (".*", "p1.cdc.articles")
    assert (config["transforms.epoch.header"], config["transforms.epoch.value.literal"]) == (EPOCH, "1")
    assert (config["name"], config["topic.prefix"]) == ("p1.millstream.articles", "p1.articles")
    assert config["slot.name"] == config["publication.name"] == slot_name("p1.", "articles")


def test_a_password_is_a_reference_and_what_was_not_given_is_left_out() -> None:
    config = connector_config(source(), AROUND)
    assert config["database.password"] == "${dir:/secrets:articles}"
    assert (config["database.sslmode"], config["database.sslrootcert"]) == ("verify-full", "/ca.pem")
    bare = replace(AROUND, password="", endpoint=replace(AROUND.endpoint, ssl_mode="", ssl_root_certificate=""))
    given_none = connector_config(source(), bare)
    assert not {"database.password", "database.sslmode", "database.sslrootcert"} & set(given_none)


def test_only_columns_that_the_source_names_leave_the_database() -> None:
    columns = {**COLUMNS, "acl": "readers", "labels": ["category"]}
    config = connector_config(source(columns=columns, pii_columns=["email", "title"]), AROUND)
    pattern = re.compile(config["column.include.list"])
    for name in ("id", "title", "body", "readers", "category", "email"):
        assert pattern.fullmatch(f"public.articles.{name}")
    for other in ("public.articles.salary", "publicxarticles.id", "other.articles.id", "public.articles.title2"):
        assert not pattern.fullmatch(other)
    cut = re.compile(config["column.truncate.to.1001.chars"])
    assert cut.fullmatch("public.articles.body")
    assert not cut.fullmatch("public.articles.id"), "a cut key would be another document"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("skipped.operations", "none"),
        ("errors.tolerance", "none"),
        ("errors.log.include.messages", "false"),
        ("event.converting.failure.handling.mode", "fail"),
        ("publication.autocreate.mode", "disabled"),
        ("plugin.name", "pgoutput"),
        ("key.converter.schemas.enable", "false"),
        ("value.converter.schemas.enable", "false"),
        ("value.converter.replace.null.with.default", "false"),
        ("decimal.handling.mode", "string"),
        ("time.precision.mode", "isostring"),
        ("binary.handling.mode", "base64"),
        ("include.unknown.datatypes", "false"),
        ("tombstones.on.delete", "true"),
        ("poll.interval.ms", "10"),
        ("producer.override.linger.ms", "0"),
        ("producer.override.enable.idempotence", "true"),
        ("producer.override.max.request.size", "16777216"),
        ("snapshot.mode", "when_needed"),
    ],
)
def test_what_a_correct_capture_hangs_on_is_stated(option: str, value: str) -> None:
    assert connector_config(source(), AROUND)[option] == value


def test_debezium_mixes_no_row_of_then_with_columns_of_now() -> None:
    assert "post.processors" not in connector_config(source(), AROUND)


def test_an_outbox_is_read_from_its_stream_alone() -> None:
    outbox = source(shape="outbox", columns={"key": ["doc"], "op": "op", "body": "body"})
    config = connector_config(outbox, AROUND)
    assert (config["snapshot.mode"], config["message.key.columns"]) == ("no_data", r"public\.articles:doc")


@pytest.mark.parametrize(
    "edited",
    [
        source(epoch=2),
        source(columns={**COLUMNS, "acl": "readers"}),
        source(table="public.pages"),
        source(content_type="text/markdown"),
        source(pii_columns=["email"]),
        source(body_encoding="bytes"),
    ],
)
def test_what_decides_how_a_row_reads_is_in_its_digest(edited: object) -> None:
    assert mapping_digest(edited) != mapping_digest(source())  # type: ignore[arg-type]


def test_where_a_database_lies_is_not_how_its_rows_read() -> None:
    assert mapping_digest(source(dsn_env="OTHER_DSN")) == mapping_digest(source())
    assert connector_config(source(), AROUND)[MAPPING] == mapping_digest(source())


@given(PREFIXES, NAMES)
def test_a_slot_has_a_name_that_postgres_takes(prefix: str, name: str) -> None:
    assert re.fullmatch(r"[a-z0-9_]{1,63}", slot_name(prefix, name))


@given(st.sets(st.tuples(PREFIXES, NAMES), min_size=2, max_size=20))
def test_no_two_sources_share_a_slot(pairs: set[tuple[str, str]]) -> None:
    assert len({slot_name(prefix, name) for prefix, name in pairs}) == len(pairs)


@pytest.mark.parametrize("pair", [("a-b", "a_b"), ("a" * 60 + "1", "a" * 60 + "2")])
def test_names_that_read_alike_are_told_apart(pair: tuple[str, str]) -> None:
    assert slot_name("", pair[0]) != slot_name("", pair[1])


def test_an_installation_knows_its_connectors_by_their_names() -> None:
    assert connector_name("p1.", "articles").startswith(connector_stem("p1."))
    assert not connector_name("p1.", "articles").startswith(connector_stem(""))
