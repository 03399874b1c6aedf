"""Which build is live, folded from index.generations in any order and after any compaction."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.catalogue import Catalogue, covers, needed
from index.model import IndexIdentity
from runtime.log_port import StoredRecord
from schemas.codec import encode
from schemas.errors import ConfigError
from schemas.records import Coordinates, Generation, GenerationState
from schemas.topics import GENERATIONS

AT = datetime(2026, 1, 1, tzinfo=UTC)
BUILDING, LIVE, RETIRED = GenerationState.BUILDING, GenerationState.LIVE, GenerationState.RETIRED


def record(offset: int, build: str, state: GenerationState, **acknowledged: int) -> StoredRecord:
    name, _, incarnation = build.partition("-")
    value = Generation(name=name, incarnation=incarnation, state=state, recipe="r", acknowledged=acknowledged, at=AT)
    return StoredRecord(Coordinates(topic=GENERATIONS, partition=0, offset=offset), build, encode(value))


def live(*records: StoredRecord) -> str:
    build = Catalogue().extended(records).live
    return "none" if build is None else str(build.identity)


def test_the_live_build_is_the_one_switched_to_last_and_back_likewise() -> None:
    first, second = record(0, "g1-i1", LIVE), record(1, "g1-i2", BUILDING)
    assert live() == "none"
    assert live(second) == "none"
    assert live(first, second) == "g1-i1"
    to = record(2, "g1-i2", LIVE)
    assert live(first, second, to) == "g1-i2"
    assert live(first, second, to, record(3, "g1-i1", LIVE)) == "g1-i1"


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)))
def test_neither_order_nor_repetition_nor_compaction_changes_what_is_live(
    order: list[int], compacted: set[int]
) -> None:
    records = [
        record(0, "g1-i1", LIVE),
        record(1, "g1-i2", BUILDING),
        record(2, "g1-i2", LIVE),
        record(3, "g1-i1", LIVE),
        record(4, "g1-i2", RETIRED),
    ]
    newest = {one.key: one for one in records}
    kept = [one for one in records if newest[one.key] is one or one.coordinates.offset not in compacted]
    shuffled = [records[place] for place in order if records[place] in kept]
    catalogue = Catalogue().extended(shuffled).extended(shuffled)
    assert catalogue.live is not None
    assert catalogue.live.identity == IndexIdentity("g1", "i1")
    assert catalogue.builds[IndexIdentity("g1", "i2")].is_retired


def test_a_build_is_covered_once_its_record_says_how_far() -> None:
    catalogue = Catalogue().extended([record(0, "g1-i1", BUILDING), record(1, "g1-i2", BUILDING, **{"t/0": 0})])
    assert not catalogue.named("g1-i1").is_covered
    assert catalogue.named("g1-i2").is_covered


def test_an_operator_names_a_build_in_few_words() -> None:
    catalogue = Catalogue().extended(
        [record(0, "g1-i1", LIVE), record(1, "g1-i2", BUILDING), record(2, "g2-i1", BUILDING)]
    )
    assert str(catalogue.named("i2").identity) == "g1-i2"
    assert str(catalogue.named("g2").identity) == "g2-i1"
    assert str(catalogue.named("g2-i1").identity) == "g2-i1"
    with pytest.raises(ConfigError, match=r"no build g1: there are g1-i1, g1-i2, g2-i1"):
        catalogue.named("g1")


def test_covering_asks_only_of_the_builds_own_topic() -> None:
    wanted = needed("index.mutations.g1", {0: 5, 1: 0}) | needed("index.hides", {0: 9})
    assert covers({0: 5}, "index.mutations.g1", wanted)
    assert not covers({0: 4}, "index.mutations.g1", wanted)
    assert covers({}, "index.mutations.g2", wanted)


def test_a_build_that_was_retired_meanwhile_does_not_stand() -> None:
    identity = IndexIdentity("g1", "i2")
    announced = Catalogue().extended([record(0, "g1-i1", LIVE), record(1, "g1-i2", BUILDING)])
    assert announced.standing(identity).at == 1
    with pytest.raises(ConfigError, match="g1-i2 was retired meanwhile"):
        announced.extended([record(2, "g1-i2", RETIRED)]).standing(identity)
