"""What `millstream dlq` leaves on the disk, and of what."""

import stat
from pathlib import Path

import pytest

from cli.dead_letters import _document_of, save_private
from schemas.codec import encode
from schemas.errors import ConfigError
from schemas.records import Coordinates, DeadLetter
from schemas.topics import CHANGES
from schemas.versions import Op
from tests.unit.streams.records import AT, change


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


def letter_of(topic: str, value: bytes) -> DeadLetter:
    at = Coordinates(topic=topic, partition=0, offset=7)
    return DeadLetter(
        origin=at, stage="prepare", reason="malformed", error="", attempts=1, failed_at=AT, key=None, value=value
    )


def test_of_a_document_its_own_bytes_are_saved() -> None:
    value = encode(change(body=b"%PDF-1.4 cut"))
    assert _document_of(letter_of(CHANGES, value)) == b"%PDF-1.4 cut"


@pytest.mark.parametrize("topic", [CHANGES, "cdc.board"])
def test_of_anything_else_the_record_is_saved(topic: str) -> None:
    assert _document_of(letter_of(topic, b"no record")) == b"no record"
    deleted = encode(change(Op.DELETE))
    assert _document_of(letter_of(CHANGES, deleted)) == deleted
