"""Which builds of the index there are and which one is live: index.generations, folded. Pure.

A build is announced, then covered (its newest record says how far it had read the log), then perhaps live, then
retired. The live one is whose record LIVE lies last: a switch is one record, and so is a switch back. Records are keyed
by build, so compaction keeps what counts.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from index.model import IndexIdentity
from runtime.log_port import StoredRecord
from schemas.codec import decode
from schemas.errors import ConfigError
from schemas.records import Generation, GenerationState

_RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Build:
    """What the newest record of a build says; `at` is that record's offset."""

    record: Generation
    at: int

    @property
    def identity(self) -> IndexIdentity:
        """Which build it is."""
        return IndexIdentity(self.record.name, self.record.incarnation)

    @property
    def is_retired(self) -> bool:
        """Whether nobody may serve or write it any more."""
        return self.record.state is GenerationState.RETIRED

    @property
    def restored(self) -> frozenset[int]:
        """Partitions of its mutations that it does not have all of yet, since its store stands where a backup did:
        nobody may be answered from it.
        """
        marks = (name.rpartition("/") for name in self.record.acknowledged)
        return frozenset(int(partition) for what, _, partition in marks if what == _RESTORED)

    @property
    def is_covered(self) -> bool:
        """Whether it has covered the log end seen at its start: from then on a process of its own keeps it up."""
        return not self.is_retired and (self.record.state is GenerationState.LIVE or bool(self.record.acknowledged))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All builds that were ever announced."""

    builds: Mapping[IndexIdentity, Build] = field(default_factory=dict)

    @property
    def live(self) -> Build | None:
        """The build that questions are answered from; None before the first one is announced."""
        states = (build for build in self.builds.values() if build.record.state is GenerationState.LIVE)
        return max(states, key=lambda build: build.at, default=None)

    def extended(self, records: Iterable[StoredRecord]) -> "Catalogue":
        """With more records of the topic, in any order, some perhaps again. Raises DecodeError."""
        builds = dict(self.builds)
        for stored in records:
            build = Build(decode(stored.value or b"", Generation), stored.coordinates.offset)
            known = builds.get(build.identity)
            if known is None or known.at < build.at:
                builds[build.identity] = build
        return Catalogue(builds)

    def standing(self, identity: IndexIdentity) -> Build:
        """An announced build as it is now. Raises ConfigError where it was retired meanwhile."""
        build = self.builds[identity]
        if build.is_retired:
            raise ConfigError(f"{identity} was retired meanwhile: give the new build another name")
        return build

    def named(self, name: str) -> Build:
        """The build that an operator means: `g2-i1`, an incarnation of the live generation, or a generation that has
        one build. Raises ConfigError that lists what there is.
        """
        standing = {str(identity): build for identity, build in self.builds.items() if not build.is_retired}
        live = self.live
        of_live = f"{live.record.name}-{name}" if live is not None else name
        of_generation = [build for build in standing.values() if build.record.name == name]
        found = standing.get(name) or standing.get(of_live) or (of_generation[0] if len(of_generation) == 1 else None)
        if found is None:
            raise ConfigError(f"there is no build {name}: there are {', '.join(sorted(standing)) or 'none'}")
        return found


def needed(topic: str, offsets: Mapping[int, int]) -> dict[str, int]:
    """Offsets as a record of index.generations carries them: `topic/partition` -> offset."""
    return {f"{topic}/{partition}": offset for partition, offset in sorted(offsets.items())}


def restored(partitions: Collection[int]) -> dict[str, int]:
    """What marks a build as restored in these partitions, beside what it needs."""
    return {f"{_RESTORED}/{partition}": 1 for partition in sorted(partitions)}


def covers(acknowledged: Mapping[int, int], topic: str, wanted: Mapping[str, int]) -> bool:
    """Whether a build that has acknowledged so much of `topic` has all that a record asks of that topic."""
    return all(
        acknowledged.get(int(partition), 0) >= offset
        for name, _, partition, offset in ((*at.rpartition("/"), offset) for at, offset in wanted.items())
        if name == topic
    )
