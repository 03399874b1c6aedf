"""The place of a row's change in the order of its document: its LSN, but never below the last commit before it.

An LSN alone orders the changes of one row among themselves, but not against a snapshot: a transaction that was under
way when the snapshot was taken has LSNs below the snapshot's, and the snapshot does not show it. Debezium tells the
transactions in the order of their commits, and where the one before ended (docs/adr/0016).
"""

from dataclasses import dataclass

from connectors.debezium.envelope import Position, Snapshot

_RECORD_ALIGNMENT = 8
"""Bytes: records of the write-ahead log begin at multiples of it, and none is shorter than 24."""
_HALF = 2**28


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Sequence of a version, and the order among changes of one row that share it: from 0, below 2**29."""

    sequence: int
    tie: int = 0


def place_of(position: Position, floor: int) -> Place:
    """Where a change stands.

    `floor` is the last commit before it, or the snapshot's LSN where nothing was committed since. A snapshot's rows
    stand right below its LSN: the first change after it may have that very LSN.
    """
    if position.snapshot is not Snapshot.NO:
        return Place(position.lsn - 1)
    if position.lsn >= floor:
        return Place(position.lsn)
    # No record begins at floor - 1: above every older change and below every later one. Farther than 2 GiB apart,
    # changes of one row by one transaction are told apart no more.
    below = (floor - position.lsn) // _RECORD_ALIGNMENT
    return Place(floor - 1, max(_HALF, 2 * _HALF - 1 - below))
