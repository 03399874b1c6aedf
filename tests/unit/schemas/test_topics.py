import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from schemas import topics as topics_module
from schemas.errors import ConfigError
from schemas.identity import Document, Tenant
from schemas.records import RECORDS
from schemas.topics import Topics, mutations_topic, parse_topics
from tests.unit.schemas.test_identity import documents

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "topics.yaml").read_text()
TOPICS = parse_topics(TEXT)
CODE = [
    path
    for name in ("schemas", "runtime", "index", "connectors", "streams", "serving", "infra", "cli")
    for path in sorted((ROOT / name).rglob("*.py"))
]


def test_every_topic_constant_is_in_the_file() -> None:
    constants = [
        value
        for name, value in vars(topics_module).items()
        if name.isupper() and isinstance(value, str) and name[0] != "_"
    ]
    assert len(constants) >= 5
    for name in (*constants, mutations_topic("g1"), "cdc.orders"):
        assert TOPICS.topic(name)


def test_no_code_names_a_topic_that_is_not_in_the_file() -> None:
    """And code outside schemas/topics.py takes names from there."""
    looks_like_topic = re.compile(r"(documents|index|cdc)\.(changes|dlq|hides|commits|generations|mutations\.\S+)")
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and looks_like_topic.fullmatch(node.value)
            ):
                assert path == ROOT / "schemas" / "topics.py", f"{path}: {node.value}"
                assert TOPICS.topic(node.value)


def test_every_record_has_a_topic_and_every_topic_but_cdc_has_records() -> None:
    held = [record for topic in TOPICS.topics for record in topic.records]
    assert sorted(held) == sorted(model.schema_name for model in RECORDS)
    assert [topic.name for topic in TOPICS.topics if not topic.records] == ["cdc.{source}"]


def test_a_topic_that_is_not_in_the_file_is_an_orphan() -> None:
    for name in ("documents.change", "index.mutations.", "cdc.", "", "millstream.documents.changes"):
        with pytest.raises(ConfigError, match=r"not in topics\.yaml"):
            TOPICS.topic(name)


def _with(**changes: Any) -> str:
    """topics.yaml with fields of its first topic (None: without it) changed."""
    content = yaml.safe_load(TEXT)
    for name, value in changes.items():
        if value is None:
            del content["topics"][0][name]
        else:
            content["topics"][0][name] = value
    return yaml.safe_dump(content)


@pytest.mark.parametrize(
    "field",
    [
        "name",
        "owner",
        "records",
        "key",
        "partition_by",
        "partitions",
        "cleanup",
        "retention_days",
        "dead_letters",
        "holds",
    ],
)
def test_a_topic_needs_every_field(field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_topics(_with(**{field: None}))
    _is_one_line_naming(caught.value, field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("colour", "red"),
        ("owner", "nobody"),
        ("key", "colour"),
        ("partition_by", "colour"),
        ("partitions", 0),
        ("partitions", -1),
        ("partitions", "colour"),
        ("cleanup", "never"),
        ("retention_days", 0),
        ("records", ["invoice"]),
        ("dead_letters", "documents.lost"),
        ("dead_letters", "none"),
        ("dead_letters", ""),
        ("holds", ""),
    ],
)
def test_a_wrong_field_is_one_line_that_names_it(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_topics(_with(**{field: value}))
    _is_one_line_naming(caught.value, field if field not in ("records", "partitions", "dead_letters") else "")


def _is_one_line_naming(error: ConfigError, field: str) -> None:
    assert str(error).startswith("topics.yaml")
    assert field in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("section", ["version", "partition_groups", "defaults", "topics"])
def test_the_file_needs_every_section(section: str) -> None:
    content = yaml.safe_load(TEXT)
    del content[section]
    with pytest.raises(ConfigError) as caught:
        parse_topics(yaml.safe_dump(content))
    _is_one_line_naming(caught.value, section)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "a: b: c", "\x00", "version: 2", "topics: \t- x"])
def test_what_is_not_the_file_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_topics(text)
    _is_one_line_naming(caught.value, "")


def test_broken_yaml_names_the_line() -> None:
    with pytest.raises(ConfigError, match="line 3"):
        parse_topics("version: 1\ntopics: [a, b\n")


def _parsed(change: Any) -> Topics:
    content = yaml.safe_load(TEXT)
    change(content)
    return parse_topics(yaml.safe_dump(content))


def _entry(content: Any, name: str) -> Any:
    return next(topic for topic in content["topics"] if topic["name"] == name)


@pytest.mark.parametrize("name", ["index.mutations.{generation}", "index.hides", "index.commits"])
def test_tenant_partitioned_topics_cannot_part_ways(name: str) -> None:
    assert TOPICS.topic(name).partition_by == "tenant"
    for count in (4, 5, "document"):
        with pytest.raises(ConfigError, match="takes its count from the group 'tenant'"):
            _parsed(lambda content, count=count: _entry(content, name).update(partitions=count))


def test_a_topic_of_one_partition_has_one() -> None:
    with pytest.raises(ConfigError, match="one partition"):
        _parsed(lambda content: _entry(content, "index.generations").update(partitions=2))


def test_a_topic_is_named_once() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        _parsed(lambda content: content["topics"].append(content["topics"][1]))


def test_a_compacted_topic_states_no_retention() -> None:
    with pytest.raises(ConfigError, match="retention_days"):
        _parsed(lambda content: _entry(content, "documents.changes").update(retention_days=3))


def test_concrete_topics_fill_in_sources_and_generations() -> None:
    concrete = {topic.name: topic for topic in TOPICS.concrete(sources=("orders", "crm"), generations=("g1",))}
    assert concrete.keys() == {
        "cdc.orders",
        "cdc.crm",
        "documents.changes",
        "index.mutations.g1",
        "index.hides",
        "index.commits",
        "index.generations",
        "documents.dlq",
    }
    assert concrete["cdc.orders"].config["retention.ms"] == str(7 * 86_400_000)
    changes = concrete["documents.changes"].config
    assert changes["cleanup.policy"] == "compact"
    assert changes["min.compaction.lag.ms"] == str(7 * 86_400_000)
    assert "retention.ms" not in changes
    assert {topic.config["max.message.bytes"] for topic in concrete.values()} == {"16777216"}
    assert (
        concrete["index.commits"].partitions
        == concrete["index.hides"].partitions
        == TOPICS.partitions("index.mutations.g1")
    )


def test_no_sources_means_no_cdc_topics() -> None:
    assert not [
        topic for topic in TOPICS.concrete(sources=(), generations=()) if "{" in topic.name or "cdc" in topic.name
    ]


@given(documents)
def test_a_document_and_its_acl_always_share_a_partition(document: Document) -> None:
    again = Document.from_key(document.acl_key)
    for name in ("documents.changes", "index.mutations.g1", "documents.dlq"):
        assert TOPICS.partition(name, document=document) == TOPICS.partition(name, document=again)
    assert 0 <= TOPICS.partition("documents.changes", document=document) < TOPICS.partitions("documents.changes")


@given(documents)
def test_all_records_of_a_tenant_share_a_partition_over_all_three_topics(document: Document) -> None:
    wanted = TOPICS.partition("index.commits", tenant=document.tenant)
    for name in ("index.mutations.g1", "index.hides", "index.commits"):
        assert TOPICS.partition(name, document=document) == wanted


def test_a_record_that_does_not_fit_the_topics_partitioning_is_refused() -> None:
    assert TOPICS.partition("index.generations") == 0
    with pytest.raises(ValueError, match="partitioned by document"):
        TOPICS.partition("documents.changes", tenant=Tenant("acme"))
    with pytest.raises(ValueError, match="partitioned by tenant"):
        TOPICS.partition("index.commits")
