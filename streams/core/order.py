"""The order of one partition's records under way, without any I/O: what may start, and what may be acknowledged.

Records of one document start one after the other; records of different documents overlap. A barrier runs alone: what
lies before it is finished when it starts, what lies behind it waits for it. An offset is acknowledged only when it and
everything before it is finished, so that a crash redelivers all that was not.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass


@dataclass(slots=True)
class _Record:
    document: bytes | None
    """None: a barrier."""
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """What became possible because a record finished."""

    acks: tuple[int, ...] = ()
    """Offsets to acknowledge, ascending."""
    starts: tuple[int, ...] = ()
    """Records that waited for it: the next of the same document, a barrier, or what a barrier held back."""


class PartitionOrder:
    """One partition during one assignment. A new assignment gets a new one."""

    def __init__(self) -> None:
        self._records: OrderedDict[int, _Record] = OrderedDict()
        self._turns: dict[bytes, deque[int]] = {}
        self._held: deque[int] = deque()
        """The first barrier that is not finished and all that came after it."""
        self._newest = -1

    def __len__(self) -> int:
        return len(self._records)

    def knows(self, offset: int) -> bool:
        """Whether this offset was already admitted: a broker may send a record twice within one assignment."""
        return offset <= self._newest

    def admit(self, offset: int, document: bytes | None) -> bool:
        """Take a record in, in offset order; `document` None makes it a barrier.

        True: start it now; False: an earlier record of its document, or a barrier, is under way. Raises ValueError for
        an offset at or below one admitted before.
        """
        if self.knows(offset):
            raise ValueError("offsets are admitted once, in ascending order")
        self._newest = offset
        self._records[offset] = _Record(document)
        if document is None or self._held:
            self._held.append(offset)
            return document is None and self._is_open(offset)
        return self._take_turn(offset, document)

    def finish(self, offset: int) -> Released:
        """Note that a started record is done. Raises KeyError for one that is not under way."""
        record = self._records[offset]
        if record.finished or not self._is_running(offset, record.document):
            raise KeyError(offset)
        record.finished = True
        starts = self._end_barrier() if record.document is None else self._end_turn(record.document)
        return Released(self._take_finished(), starts)

    def _is_running(self, offset: int, document: bytes | None) -> bool:
        if document is None:
            return self._is_open(offset)
        turns = self._turns.get(document)
        return turns is not None and turns[0] == offset

    def _is_open(self, barrier: int) -> bool:
        """Whether a barrier's turn has come: all that was admitted before it is finished."""
        return self._held[0] == barrier and not self._turns

    def _take_turn(self, offset: int, document: bytes) -> bool:
        turns = self._turns.setdefault(document, deque())
        turns.append(offset)
        return len(turns) == 1

    def _end_turn(self, document: bytes) -> tuple[int, ...]:
        turns = self._turns[document]
        turns.popleft()
        if turns:
            return (turns[0],)
        del self._turns[document]
        return (self._held[0],) if self._held and not self._turns else ()

    def _end_barrier(self) -> tuple[int, ...]:
        """Let what the barrier held back take its turns, up to the next one."""
        self._held.popleft()
        starts: list[int] = []
        while self._held:
            document = self._records[self._held[0]].document
            if document is None:
                return tuple(starts) if self._turns else (self._held[0],)
            offset = self._held.popleft()
            if self._take_turn(offset, document):
                starts.append(offset)
        return tuple(starts)

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
