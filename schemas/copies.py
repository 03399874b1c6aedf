"""Copies of changes, appended to documents.changes again: redriven, healed or repaired.

A copy is the same change under the same key, in the same partition and in the same version: one that was its record's
own offset is written in, so that whatever came after the original still wins over the copy.
"""

from dataclasses import dataclass

from schemas.codec import decode, encode
from schemas.headers import Again, Headers, headers_of
from schemas.records import Coordinates, DocumentChange


@dataclass(frozen=True, slots=True)
class Copy:
    """A record to append."""

    topic: str
    partition: int
    key: str
    value: bytes
    headers: Headers


def copy_of(value: bytes, at: Coordinates, again: Again | None = None) -> Copy:
    """The copy of the record of documents.changes that lies at `at`. Raises DecodeError where it is no change."""
    return copied(decode(value, DocumentChange), at, again)


def copied(change: DocumentChange, at: Coordinates, again: Again | None = None) -> Copy:
    """The copy of a change that lies at `at` of documents.changes; `again` marks it. An acl alone (`acl_copy` of a
    change that carries one) goes under the key of its document's acl, anything else under its document's.
    """
    fixed = change.model_copy(update={"version": change.version.fixed_at(at.offset)})
    return Copy(at.topic, at.partition, fixed.key, encode(fixed), headers_of(fixed, again))
