"""The order of one partition's records under way, without any I/O: what may start, and what may be acknowledged.

Records of one document start one after the other; records of different documents overlap. An offset is acknowledged
only when it and everything before it is finished, so that a crash redelivers all that was not.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass


@dataclass(slots=True)
class _Record:
    document: bytes
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """What became possible because a record finished."""

    acks: tuple[int, ...] = ()
    """Offsets to acknowledge, ascending."""
    start: int | None = None
    """The next record of the same document, if one waits."""


class PartitionOrder:
    """One partition during one assignment. A new assignment gets a new one."""

    def __init__(self) -> None:
        self._records: OrderedDict[int, _Record] = OrderedDict()
        self._turns: dict[bytes, deque[int]] = {}
        self._newest = -1

    def __len__(self) -> int:
        return len(self._records)

    def knows(self, offset: int) -> bool:
        """Whether this offset was already admitted: a broker may send a record twice within one assignment."""
        return offset <= self._newest

    def admit(self, offset: int, document: bytes) -> bool:
        """Take a record in, in offset order. True: start it now; False: an earlier record of its document is under way.

        Raises ValueError for an offset at or below one admitted before.
        """
        if self.knows(offset):
            raise ValueError("offsets are admitted once, in ascending order")
        self._newest = offset
        self._records[offset] = _Record(document)
        turns = self._turns.setdefault(document, deque())
        turns.append(offset)
        return len(turns) == 1

    def finish(self, offset: int) -> Released:
        """Note that a started record is done. Raises KeyError for one that is not under way."""
        record = self._records[offset]
        turns = self._turns[record.document]
        if record.finished or turns[0] != offset:
            raise KeyError(offset)
        record.finished = True
        turns.popleft()
        if not turns:
            del self._turns[record.document]
        return Released(self._take_finished(), turns[0] if turns else None)

    def _take_finished(self) -> tuple[int, ...]:
        """Remove the unbroken run of finished records at the front."""
        acks = []
        while self._records:
            offset, record = next(iter(self._records.items()))
            if not record.finished:
                break
            del self._records[offset]
            acks.append(offset)
        return tuple(acks)
