"""What `millstream dlq` leaves on the disk."""

import stat
from pathlib import Path

import pytest

from cli.dead_letters import save_private
from schemas.errors import ConfigError


def test_saved_bytes_are_for_their_owner_only_even_in_a_file_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "letter"
    file.write_bytes(b"something longer than the letter")
    file.chmod(0o644)
    save_private(file, b"letter")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"letter", 0o600)


def test_saved_bytes_do_not_go_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_private(tmp_path / "link", b"letter")
