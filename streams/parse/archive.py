"""Zip files (docx, xlsx, epub, ...) looked at before anything is unpacked: bombs, passwords, damage."""

import io
import re
import zipfile
import zlib

from schemas.errors import UnreadableError
from streams.parse.limits import Limits

_SLIDE = re.compile(r"ppt/slides/slide\d+\.xml")
_MOST_MEMBERS = 20_000
_HIGHEST_RATIO = 400
_RATIO_FROM = 4 * 1024 * 1024
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError, RuntimeError)


class Archive:
    """A zip file within its limits; members are read no further than the size they declare."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = frozenset(archive.namelist())

    def read(self, name: str) -> bytes:
        """A member's bytes. Raises UnreadableError, reason malformed, when it is missing or damaged."""
        try:
            return self._archive.read(name)
        except KeyError:
            # Its name may be the document's own word.
            raise UnreadableError("the archive lacks a part it names: send it again", reason="malformed") from None
        except _DAMAGED:
            raise UnreadableError(
                "the archive is truncated or damaged: send the file again", reason="malformed"
            ) from None

    def slides(self) -> int:
        """How many slides a presentation has."""
        return sum(bool(_SLIDE.fullmatch(name)) for name in self.names)


def opened(body: bytes, limits: Limits) -> Archive:
    """The archive, if it is safe to unpack. Raises UnreadableError; reason malformed, encrypted or archive_bomb."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(body))
        members = archive.infolist()
    except _DAMAGED:
        raise UnreadableError("the archive is truncated or damaged: send the file again", reason="malformed") from None
    if any(member.flag_bits & 1 for member in members):
        raise UnreadableError("the file is encrypted: send it without a password", reason="encrypted")
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if len(members) > _MOST_MEMBERS:
        raise _bomb(f"{len(members)} members")
    if unpacked > limits.unpacked_bytes:
        raise _bomb(f"{unpacked >> 20} MiB, over the limit of {limits.unpacked_mb} (MILLSTREAM_PARSE_UNPACKED_MB)")
    if unpacked > _RATIO_FROM and unpacked > _HIGHEST_RATIO * len(body):
        raise _bomb(f"{unpacked // len(body)} times its size")
    if packed > len(body):
        raise UnreadableError("the archive's members overlap: send the file again", reason="malformed")
    return Archive(archive)


def _bomb(what: str) -> UnreadableError:
    return UnreadableError(f"the archive unpacks to {what}: split it or send its text", reason="archive_bomb")
