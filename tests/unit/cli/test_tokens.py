"""Tokens and keys from the command line."""

import pytest

from cli.tokens import row_body
from runtime.clock import SystemClock
from runtime.settings import settings_from
from serving.api_keys import load_api_keys
from serving.auth import build_authenticator
from tests.unit.cli.conftest import SOURCES, Project


def test_a_token_is_for_the_only_tenant_and_holds_what_was_asked_for(project: Project) -> None:
    result = project.run("token", "--group", "hr", "--sub", "hana", "--scope", "history")
    settings = settings_from(project.profile.environment({}))
    bearer = {"Authorization": f"Bearer {result.stdout.strip()}"}
    caller = build_authenticator(settings, SystemClock()).caller(bearer)
    assert (caller.tenant, caller.subject) == ("aurora", "hana")
    assert caller.principals == {"hr", "public", "user:hana"}
    assert caller.scopes == {"query", "history"}
    assert caller.expires is not None


def test_whose_documents_are_asked_must_be_said_where_there_are_several(project: Project) -> None:
    project.put_in_force(SOURCES + "  - {name: manuals, tenant: harbor, kind: files}\n")
    assert "--tenant: aurora, harbor" in project.refused("token")
    assert project.run("token", "--tenant", "harbor").exit_code == 0


def test_a_group_that_nobody_may_claim_is_refused(project: Project) -> None:
    assert "public" in project.refused("token", "--group", "public")


@pytest.mark.parametrize(
    ("key", "flags", "body"),
    [
        (["17"], {}, {"doc_id": "17"}),
        (["id=17"], {}, {"key": {"id": "17"}}),
        (["region=eu", "sku=a=b"], {}, {"key": {"region": "eu", "sku": "a=b"}}),
        (["17"], {"deleted": True}, {"doc_id": "17", "op": "delete"}),
        (["17"], {"acl": True}, {"doc_id": "17", "register": "acl"}),
    ],
)
def test_a_row_is_named_by_its_key(key: list[str], flags: dict[str, bool], body: dict[str, object]) -> None:
    asked = row_body("articles", key, "0/1", **({"deleted": False, "acl": False} | flags))
    assert asked == {"source": "articles", "lsn": "0/1"} | body


def test_a_row_needs_its_key_and_its_lsn(project: Project) -> None:
    assert project.run("token", "row", "--source", "articles", "--lsn", "0/1").exit_code == 2
    assert project.run("token", "row", "--source", "articles", "--key", "1").exit_code == 2


def test_a_key_opens_the_api_for_its_owner_and_only_its_hash_is_kept(project: Project) -> None:
    made = project.run("key", "new", "--sub", "importer", "--group", "staff", "--scope", "history", "--days", "30")
    assert made.exit_code == 0, made.output
    key, file = made.stdout.strip(), project.profile.api_keys_file
    assert key.startswith("msk_")
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    settings = settings_from(project.profile.environment({}))
    caller = build_authenticator(settings, SystemClock()).caller({"X-Api-Key": key})
    assert (caller.tenant, caller.subject, caller.via) == ("aurora", "importer", "api_key")
    assert caller.principals == {"staff", "public", "user:importer"}
    assert caller.scopes == {"query", "history"}
    assert caller.expires is not None


def test_keys_are_added_one_by_one_under_names_of_their_own(project: Project) -> None:
    first = project.run("key", "new", "--sub", "importer").stdout.strip()
    assert "--id" in project.refused("key", "new", "--sub", "importer")
    second = project.run("key", "new", "--sub", "importer", "--id", "importer-2").stdout.strip()
    keys = load_api_keys(project.profile.api_keys_file)
    now = SystemClock().now()
    assert [keys.caller(key, now) is not None for key in (first, second, "msk_other")] == [True, True, False]


def test_a_key_may_go_into_another_file_and_a_broken_file_is_left_as_it_is(project: Project) -> None:
    file = project.folder / "keys.json"
    assert project.run("key", "new", "--sub", "ada", "--file", str(file)).exit_code == 0
    assert len(load_api_keys(file)._entries) == 1
    file.write_text("{")
    assert "MILLSTREAM_API_KEYS_FILE" in project.refused("key", "new", "--sub", "eve", "--file", str(file))
    assert file.read_text() == "{"
    assert "cannot be written" in project.refused("key", "new", "--sub", "eve", "--file", "/nowhere/keys.json")
