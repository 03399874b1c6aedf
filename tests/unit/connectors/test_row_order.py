"""The order of one row's changes: equal to the order in which Debezium tells them, whatever their LSNs."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.debezium.envelope import Position, Snapshot
from connectors.debezium.order import Place, place_of
from schemas.versions import Rank, Version, tied


def test_a_change_beyond_the_last_commit_stands_at_its_lsn() -> None:
    assert place_of(Position(800, last_commit=800), 800) == Place(800)
    assert place_of(Position(808, last_commit=800), 800) == Place(808)


def test_a_snapshots_rows_stand_right_below_its_lsn() -> None:
    snapshot = place_of(Position(800, snapshot=Snapshot.ROW), 0)
    assert place_of(Position(776, last_commit=700), 700) < snapshot < place_of(Position(800, last_commit=800), 800)


def test_changes_under_way_when_the_snapshot_was_taken_follow_it_in_their_order() -> None:
    """Seen on the real thing: an update at 24252288 came after a snapshot at 24252760 that did not show it."""
    snapshot = place_of(Position(24252760, snapshot=Snapshot.LAST), 0)
    first = place_of(Position(24252288), 24252760)
    second = place_of(Position(24252472), 24252760)
    after = place_of(Position(24252912), 24252760)
    assert snapshot < first < second < after


def test_what_a_snapshot_did_not_see_is_deleted_below_what_was_under_way() -> None:
    snapshot = place_of(Position(800, snapshot=Snapshot.LAST), 0)
    deleted = Version(1, snapshot.sequence, tied(Rank.DELETE, snapshot.tie))
    under_way = place_of(Position(400), 800)
    assert deleted < Version(1, under_way.sequence, tied(Rank.UPSERT, under_way.tie))


LSNS = st.integers(1, 2**40).map(lambda number: 8 * number)


@st.composite
def histories(draw: st.DrawFn) -> list[Position]:
    """One row's changes as Debezium tells them: transactions by commit, locks keep those of one row apart.

    A row's transactions lie one after the other; others commit in between, also while one of ours is under way.
    """
    told: list[Position] = []
    here, last_commit = draw(LSNS), None
    if draw(st.booleans()):
        last_commit = here
    for transaction in range(draw(st.integers(1, 4))):
        lsns = []
        for _ in range(draw(st.integers(1, 3))):
            here += 8 * draw(st.integers(3, 40))
            lsns.append(here)
        if draw(st.booleans()):  # somebody else commits before we do
            here += 8 * draw(st.integers(3, 40))
            last_commit = here
        told += [Position(lsn, last_commit, transaction) for lsn in lsns]
        here += 8 * draw(st.integers(3, 40))
        last_commit = here
    return told


@given(histories())
def test_places_of_one_row_ascend_in_the_order_told(history: list[Position]) -> None:
    places = [place_of(position, position.last_commit or 0) for position in history]
    assert places == sorted(set(places))


@given(LSNS, LSNS)
def test_a_place_never_lies_below_its_lsn_and_fits_a_version(lsn: int, floor: int) -> None:
    place = place_of(Position(lsn), floor)
    assert place.sequence >= lsn or place.sequence == floor - 1
    assert 0 <= tied(Rank.ERASE, place.tie) < 2**31
