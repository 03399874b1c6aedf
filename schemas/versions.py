"""Versions: the source's order for one document, and the registers that carry them (design §4).

A version is (source epoch, sequence, rank). The sequence is an LSN, the source's own number, or - where the source has
none - the offset of the record that carried the change in documents.changes, so that the log itself is the order.
"""

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from schemas.errors import DecodeError


class Op(StrEnum):
    """What a change does to its document."""

    UPSERT = "upsert"
    DELETE = "delete"
    ACL = "acl"
    ERASE = "erase"


class Rank(IntEnum):
    """Order of changes with the same epoch and sequence: erase > delete > acl > upsert."""

    UPSERT = 0
    ACL = 1
    DELETE = 2
    ERASE = 3


RANKS = {Op.UPSERT: Rank.UPSERT, Op.ACL: Rank.ACL, Op.DELETE: Rank.DELETE, Op.ERASE: Rank.ERASE}

_OPS = len(Rank)


def tied(rank: Rank, tie: int) -> int:
    """A version's rank where several changes share a sequence: their order first, what they do after it."""
    return rank + _OPS * tie


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A complete version. Versions of one document are totally ordered; of two documents they are not comparable."""

    epoch: int
    sequence: int
    rank: int

    def __str__(self) -> str:
        """`epoch.sequence.rank`: text, because the store's numbers are doubles and an LSN needs 64 bits."""
        return f"{self.epoch}.{self.sequence}.{self.rank}"

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Read back `str(version)`. Raises DecodeError."""
        try:
            version = cls(*(int(part) for part in text.split(".")))
        except (ValueError, TypeError):
            raise DecodeError("a version is epoch.sequence.rank") from None
        if str(version) != text:
            raise DecodeError("a version is epoch.sequence.rank, in plain digits")
        return version


@dataclass(frozen=True, slots=True)
class StatedVersion:
    """A version as a record carries it: without a sequence the record's own offset takes its place."""

    epoch: int
    sequence: int | None
    rank: int

    def at(self, offset: int) -> Version:
        """The complete version of the record that lies at `offset` of documents.changes."""
        return Version(self.epoch, offset if self.sequence is None else self.sequence, self.rank)

    def fixed_at(self, offset: int) -> "StatedVersion":
        """The same with the sequence written in, for a copy that lies at another offset."""
        return replace(self, sequence=self.at(offset).sequence)

    def __str__(self) -> str:
        return f"{self.epoch}.{'' if self.sequence is None else self.sequence}.{self.rank}"

    @classmethod
    def parse(cls, text: str) -> "StatedVersion":
        """Read back `str(version)`. Raises DecodeError."""
        epoch, dot, rest = text.partition(".")
        if rest.startswith("."):
            open_ended = Version.parse(f"{epoch}.0{rest}")
            return cls(open_ended.epoch, None, open_ended.rank)
        version = Version.parse(f"{epoch}{dot}{rest}")
        return cls(version.epoch, version.sequence, version.rank)


def is_newer(candidate: Version, register: Version | None) -> bool:
    """Whether `candidate` may replace what a register holds: an unset register loses to anything."""
    return register is None or candidate > register
