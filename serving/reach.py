"""How far the log is, and how much of it a build has: what a replica asks before it follows a switch.

What the build before shows lies in the log. So a build that has all that lay there at a moment shows no document that
was deleted, and nothing that was taken away, before that moment: index.hides too, which runs ahead of the mutations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from index.groups import hides_group
from index.model import IndexIdentity
from runtime.kafka import KafkaAdmin
from schemas.topics import HIDES, mutations_topic


@dataclass(frozen=True, slots=True)
class Ends:
    """Partition -> the offset that its next record gets."""

    mutations: Mapping[int, int]
    hides: Mapping[int, int]

    def are_reached(self, mutations: Mapping[int, int], hides: Mapping[int, int]) -> bool:
        """Whether a build that has acknowledged so much has all of it."""
        return _has(mutations, self.mutations) and _has(hides, self.hides)


class LogReach(Protocol):
    """Asked in a thread: both calls may block. They raise TransientError and ConfigError."""

    def ends(self, build: IndexIdentity) -> Ends:
        """The end of what this build is made of, now."""
        ...

    def hides_of(self, build: IndexIdentity) -> Mapping[int, int]:
        """How much of index.hides it has: its mutations are in its store's own hands."""
        ...


class KafkaReach:
    """`LogReach` on Kafka."""

    def __init__(self, admin: KafkaAdmin) -> None:
        self._admin = admin

    def ends(self, build: IndexIdentity) -> Ends:
        """See `LogReach`."""
        mutations = self._admin.end_offsets(mutations_topic(build.generation))
        return Ends(mutations, self._admin.end_offsets(HIDES))

    def hides_of(self, build: IndexIdentity) -> Mapping[int, int]:
        """See `LogReach`."""
        return self._admin.reached(hides_group(build), HIDES)


def _has(acknowledged: Mapping[int, int], wanted: Mapping[int, int]) -> bool:
    return all(acknowledged.get(partition, 0) >= offset for partition, offset in wanted.items())
