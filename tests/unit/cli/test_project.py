"""Commands about a project in which nothing runs: sources, logs, status; and what they refuse."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.bootstrap import cdc_sources, create_tenants, index_topics
from cli.installing import _what_stays, check_change
from cli.running import declare_sources, describe
from index.memory import MemoryIndex
from index.model import IndexIdentity
from index.port import IndexRecord
from infra.local.status import Kind, State, UnitStatus
from runtime.clock import SystemClock
from runtime.declarations import load_topics
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.sources import parse_sources
from schemas.topics import COMMITS
from tests.unit.cli.conftest import SOURCES, Project

ONE = "version: 1\nsources: [{name: wiki, tenant: acme, kind: webhook}]\n"


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (ONE, None),
        ("version: 1\nsources: []\n", None),
        (ONE.replace("]\n", ", {name: erp, tenant: bolt, kind: webhook}]\n"), None),
        (ONE.replace("webhook", "webhook, default_acl: [public]"), None),
        (ONE.replace("webhook", "webhook, epoch: 4"), None),
        (ONE.replace("webhook", "webhook, epoch: 4, versioning: source"), None),
        (ONE.replace("webhook", "webhook, epoch: 2"), "epoch never goes down"),
        (ONE.replace("webhook", "webhook, epoch: 3, versioning: source"), "needs a higher epoch than 3"),
        (ONE.replace("acme", "bolt"), "belongs to tenant acme"),
    ],
)
def test_an_edit_never_moves_documents_or_turns_their_order_back(after: str, says: str | None) -> None:
    before = parse_sources(ONE.replace("webhook", "webhook, epoch: 3"))
    edited = parse_sources(after if "epoch" in after else after.replace("kind: webhook", "kind: webhook, epoch: 3", 1))
    if says is None:
        check_change(before, edited)
    else:
        with pytest.raises(ConfigError, match=says):
            check_change(before, edited)


def test_what_stays_as_it_was_is_told() -> None:
    before = parse_sources(ONE)
    assert list(_what_stays(None, before)) == []
    assert list(_what_stays(before, before)) == []
    (gone,) = _what_stays(before, parse_sources("version: 1\nsources: []\n"))
    assert "still answered" in gone
    (redacted,) = _what_stays(before, parse_sources(ONE.replace("webhook", "webhook, redaction: {profile: strict}")))
    assert "millstream replay --generation" in redacted


def test_a_source_that_becomes_a_table_needs_a_higher_epoch() -> None:
    block = "{dsn_env: DSN, table: public.wiki, columns: {key: [id], body: body}}"
    table = f"version: 1\nsources: [{{name: wiki, tenant: acme, kind: postgres, epoch: EPOCH, postgres: {block}}}]\n"
    with pytest.raises(ConfigError, match="a change of kind needs a higher epoch than 1"):
        check_change(parse_sources(ONE), parse_sources(table.replace("EPOCH", "1")))
    check_change(parse_sources(ONE), parse_sources(table.replace("EPOCH", "2")))


def test_sources_in_force_are_listed(project: Project) -> None:
    listed = json.loads(project.run("source", "list", "--json").stdout)
    assert [source["name"] for source in listed] == ["handbook", "helpdesk"]
    assert "helpdesk         webhook   tenant aurora" in project.run("source", "list").stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "sources.example.yaml"),
        ("version: 1\nsources: [", "sources.yaml"),
        (SOURCES.replace("kind: files", "kind: pigeon"), "sources.0.kind"),
        (SOURCES.replace("tenant: aurora", "tenant: A B"), "sources.0"),
        (SOURCES.replace("helpdesk", "handbook"), "handbook"),
        (SOURCES.replace("tenant: aurora", "tenant: harbor"), "belongs to tenant aurora"),
    ],
)
def test_a_sources_file_that_cannot_be_applied_changes_nothing(project: Project, text: str | None, says: str) -> None:
    if text is not None:
        (project.folder / "sources.yaml").write_text(text)
    assert says in project.refused("source", "apply")
    assert project.profile.sources_file.read_text() == SOURCES


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("load", ".", "--source", "nobody"), "millstream source apply"),
        (("load", ".", "--source", "helpdesk"), "is of kind webhook"),
        (("load", "nowhere", "--source", "handbook"), "is not a folder"),
        (("dlq", "show", "nonsense"), "TOPIC/PARTITION/OFFSET"),
        (("logs", "nobody"), "no log of 'nobody'"),
        (("bench", "freshness"), "millstream up"),
        (("bench", "query"), "millstream up"),
    ],
)
def test_a_command_that_cannot_work_says_what_to_do(project: Project, arguments: tuple[str, ...], says: str) -> None:
    assert says in project.refused(*arguments)


def test_outside_a_project_a_command_says_where_it_looked(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_STATE_DIR", str(project.folder / "elsewhere"))
    (project.folder / "sources.yaml").write_text(SOURCES)
    assert "millstream up" in project.refused("source", "apply")
    assert "elsewhere" in project.refused("source", "apply")


def test_status_of_a_stopped_project_is_json_and_exit_1(project: Project) -> None:
    result = project.run("status", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["ready"], found["running"]) == (False, False)
    assert found["secrets"] == str(project.profile.secrets_file)
    assert "millstream up" in project.run("status").stdout


def test_taking_down_what_does_not_run_is_fine_and_purge_removes_the_profile(project: Project) -> None:
    assert json.loads(project.run("down", "--json").stdout) == {"stopped": False, "purged": False}
    assert project.run("down", "--purge").stdout == "nothing ran, data removed\n"
    assert not project.profile.state_dir.exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("kafka", "kafka.log"),
        ("api", "serving.log"),
        ("ingest", "webhook.log"),
        ("prepare", "streams-prepare.log"),
        ("apply", "streams-apply.log"),
    ],
)
def test_the_last_lines_of_a_process_are_shown_by_its_name(project: Project, name: str, file: str) -> None:
    (project.profile.log_dir / file).write_text("one\ntwo\nthree\n")
    assert project.run("logs", name, "--lines", "2").stdout == "two\nthree\n"


@pytest.mark.usefixtures("project")
def test_a_new_project_gets_the_example_as_its_sources_file(project: Project, tmp_path: Path) -> None:
    project.profile.sources_file.unlink()
    declare_sources(running=False)
    written = (tmp_path / "sources.yaml").read_text()
    assert project.profile.sources_file.read_text() == written
    webhooks = {source.name for source in parse_sources(written).sources if source.kind == "webhook"}
    secrets = json.loads(project.profile.webhook_secrets_file.read_text())
    assert set(secrets) == webhooks
    (tmp_path / "sources.yaml").write_text(written + "  - {name: extra, tenant: aurora, kind: webhook}\n")
    declare_sources(running=False)
    kept = json.loads(project.profile.webhook_secrets_file.read_text())
    assert kept == secrets | {"extra": kept["extra"]}


def test_a_unit_is_described_in_one_line() -> None:
    unit = UnitStatus(
        "api", Kind.SERVICE, State.BUILDING, "http://h:1", "", "", pid=7, restarts=2, message="m", progress=0.5
    )
    line = describe(unit)
    for part in ("api", "building", "50%", "http://h:1", "pid 7", "restarted 2x", "m"):
        assert part in line


async def test_tenants_are_created_once() -> None:
    index = MemoryIndex(IndexIdentity("g1", "i1"))
    await index.create(IndexRecord(index.identity, {}, {}, 4, datetime.now(UTC)))
    sources = parse_sources(SOURCES)
    assert await create_tenants(index, sources, SystemClock()) == ("aurora",)
    assert await create_tenants(index, sources, SystemClock()) == ()


def test_an_index_depends_on_topics_that_exist() -> None:
    settings = Settings()
    topics = load_topics(settings)
    assert COMMITS in index_topics(settings)
    for name in index_topics(settings):
        topics.topic(name)
    assert cdc_sources(parse_sources(SOURCES)) == ()
