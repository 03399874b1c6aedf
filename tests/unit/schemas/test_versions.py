import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.versions import RANKS, Op, Rank, StatedVersion, Version, is_newer

_numbers = st.integers(-(2**63), 2**63 - 1)
versions = st.builds(Version, st.integers(1, 3), st.one_of(st.integers(0, 3), _numbers), st.sampled_from(Rank))


@given(versions, versions, versions)
def test_versions_are_totally_ordered(a: Version, b: Version, c: Version) -> None:
    assert sum((a < b, a == b, a > b)) == 1
    assert not (a <= b <= c) or a <= c


def test_epoch_comes_before_sequence_and_sequence_before_rank() -> None:
    ordered = [
        Version(1, 9, 3),
        Version(2, 0, 3),
        Version(2, 1, 0),
        Version(2, 1, 1),
        Version(2, 1, 2),
        Version(2, 1, 3),
    ]
    assert sorted({*ordered}) == ordered


def test_of_one_sequence_erase_beats_delete_beats_acl_beats_upsert() -> None:
    assert sorted(Op, key=lambda op: RANKS[op]) == [Op.UPSERT, Op.ACL, Op.DELETE, Op.ERASE]
    assert RANKS.keys() == set(Op)


@given(versions)
def test_a_version_is_read_back_from_its_text(version: Version) -> None:
    assert Version.parse(str(version)) == version


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "a.b.c", "1..0", "1.2.", "1.2. 3", "01.2.3", "1_0.2.3", "+1.2.3"]
)
def test_other_texts_are_no_versions(text: str) -> None:
    with pytest.raises(DecodeError):
        Version.parse(text)


@given(st.integers(0, 2**40), _numbers)
def test_a_stated_sequence_wins_over_the_records_offset(offset: int, sequence: int) -> None:
    assert StatedVersion(1, sequence, 2).at(offset) == Version(1, sequence, 2)
    assert StatedVersion(1, None, 2).at(offset) == Version(1, offset, 2)


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.one_of(st.none(), _numbers))
def test_a_copy_keeps_the_version_wherever_it_lies(offset: int, elsewhere: int, sequence: int | None) -> None:
    stated = StatedVersion(3, sequence, 1)
    assert stated.fixed_at(offset).at(elsewhere) == stated.at(offset)


def test_a_stated_version_without_a_sequence_says_so() -> None:
    assert (str(StatedVersion(1, None, 0)), str(StatedVersion(1, 7, 0))) == ("1..0", "1.7.0")


@given(versions, versions)
def test_only_a_higher_version_replaces_what_a_register_holds(candidate: Version, held: Version) -> None:
    assert is_newer(candidate, None)
    assert is_newer(candidate, held) == (candidate > held)
