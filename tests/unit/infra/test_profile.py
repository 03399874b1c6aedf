"""The development profile: made once, private, and weaker than what the caller sets."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local import profile as profiles
from infra.local.parts import own_folder
from infra.local.ports import Ports
from schemas.errors import ConfigError


def test_the_first_call_makes_it_and_later_ones_change_nothing(tmp_path: Path) -> None:
    made = profiles.load_or_create(tmp_path / "state", {})
    files = {file: file.read_bytes() for file in made.state_dir.iterdir() if file.is_file()}
    assert profiles.load_or_create(tmp_path / "state", {}) == made
    assert {file: file.read_bytes() for file in made.state_dir.iterdir() if file.is_file()} == files


def test_every_file_is_for_its_owner_only(tmp_path: Path) -> None:
    made = profiles.load_or_create(tmp_path / "state", {})
    made.ensure_webhook_secrets(["handbook"])
    modes = {stat.S_IMODE(file.stat().st_mode) for file in made.state_dir.iterdir() if file.is_file()}
    assert modes == {0o600}
    assert stat.S_IMODE(made.state_dir.stat().st_mode) == 0o700


def test_two_projects_share_no_secret(tmp_path: Path) -> None:
    first = profiles.load_or_create(tmp_path / "a", {}).secrets
    second = profiles.load_or_create(tmp_path / "b", {}).secrets
    assert first.jwt_secret != second.jwt_secret
    assert first.weaviate_api_key != second.weaviate_api_key


def test_keys_have_the_lengths_that_their_users_need(tmp_path: Path) -> None:
    keys = profiles.load_or_create(tmp_path, {}).secrets
    assert len(base64.urlsafe_b64decode(keys.token_key)) == 32
    assert len(keys.jwt_secret.encode()) >= 32


def test_no_secret_shows_when_a_profile_is_printed(tmp_path: Path) -> None:
    made = profiles.load_or_create(tmp_path, {})
    shown = repr(made)
    assert made.secrets.jwt_secret not in shown
    assert made.secrets.postgres_password not in shown


def test_the_callers_own_settings_win(tmp_path: Path) -> None:
    made = profiles.load_or_create(tmp_path, {})
    environment = made.environment({"MILLSTREAM_API_PORT": "9", "PATH": "/bin"})
    assert environment["MILLSTREAM_API_PORT"] == "9"
    assert environment["PATH"] == "/bin"
    assert environment["MILLSTREAM_KAFKA_BOOTSTRAP"] == f"127.0.0.1:{Ports().kafka}"


def test_an_overridden_port_is_remembered(tmp_path: Path) -> None:
    profiles.load_or_create(tmp_path, {"MILLSTREAM_PORT_API": "20000"})
    assert profiles.load_or_create(tmp_path, {}).ports.api == 20000


def test_a_sources_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    made = profiles.load_or_create(tmp_path, {})
    first = made.ensure_webhook_secrets(["handbook"])
    second = made.ensure_webhook_secrets(["handbook", "tickets"])
    assert second["handbook"] == first["handbook"]
    prefix, _, encoded = second["tickets"].partition("_")
    assert prefix == "whsec"
    assert 24 <= len(base64.b64decode(encoded)) <= 64


@pytest.mark.parametrize("name", ["profile.json", "secrets.json"])
def test_a_broken_file_is_refused_by_name_and_not_replaced(tmp_path: Path, name: str) -> None:
    profiles.load_or_create(tmp_path, {})
    (tmp_path / name).write_text("{broken")
    with pytest.raises(ConfigError, match=r"profile\.json or secrets\.json"):
        profiles.load_or_create(tmp_path, {})
    assert (tmp_path / name).read_text() == "{broken"


def test_first_calls_at_the_same_time_agree_on_the_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: profiles.load_or_create(tmp_path, {}), range(8)))
    assert len({profile.secrets for profile in made}) == 1


def test_a_part_s_folder_is_for_its_owner_only_even_if_it_was_not_before(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "kafka"
    folder.mkdir(parents=True, mode=0o755)
    own_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
