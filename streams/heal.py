"""Healing: what counts is appended to documents.changes again where something that counts less lies behind it.

Compaction keeps the last record of a key, not the one with the highest version (design §4). An acl and a delete are
written anew from the document's row, which says them whole; a content is copied from the log, where it lies until the
loser's turn to be compacted comes (`min.compaction.lag.ms`). The loser is acknowledged only after the copy is safe.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from index.model import ContentState, DocumentRow
from index.port import VersionedIndex
from runtime.log_port import Log, StoredRecord
from schemas.codec import decode
from schemas.copies import Copy, copied
from schemas.errors import DecodeError, TooLargeError
from schemas.headers import Again
from schemas.records import Coordinates, DocumentChange, Mutation
from schemas.topics import HIDES
from schemas.versions import Op, StatedVersion, Version

_PAGE = 32

Look = Callable[[Coordinates], StoredRecord | None]
"""The record that lies there; None where compaction has taken it. Blocks; raises TransientError."""
ReadFrom = Callable[[Coordinates], Iterator[StoredRecord]]
"""Reads what compaction has left of one partition of the log, from there to its end. Blocks; raises TransientError."""


@dataclass(frozen=True, slots=True)
class Healed:
    """Appended again, there."""

    at: Coordinates


@dataclass(frozen=True, slots=True)
class LiesBehind:
    """What counts lies behind the loser already."""

    at: Coordinates


@dataclass(frozen=True, slots=True)
class Gone:
    """The content that counts is not in the log any more, or fits no second time with its mark: a build from
    documents.changes would show the loser's.
    """


Healing = Healed | LiesBehind | Gone


class Healer:
    """Of one process of `apply`. Safe for concurrent calls about different documents."""

    def __init__(self, index: VersionedIndex, log: Log, look: Look, read: ReadFrom) -> None:
        self._index = index
        self._log = log
        self._look = look
        self._read = read

    async def heal(self, loser: Mutation, state: DocumentRow) -> Healing:
        """Returns once what counts lies behind the loser, or cannot. `state`: the document as the loser met it.

        Raises TransientError: again, it is safe; and what `Log.append` raises.
        """
        made = await self._rows_of(state, loser.op)
        if loser.op is not Op.ACL and state.content is ContentState.PRESENT:
            found = await asyncio.to_thread(self._content, made, loser)
            if found is None:
                return Gone()
            change, at = found
            if at.offset > loser.change.offset:
                return LiesBehind(at)
        else:
            change, at = _said_anew(made[-1], state, loser), loser.change
        try:
            return Healed(await self._append(copied(change, at, Again.HEALED)))
        except TooLargeError:
            return Gone()

    async def _append(self, copy: Copy) -> Coordinates:
        return await self._log.append(copy.topic, copy.partition, copy.key, copy.value, copy.headers)

    async def _rows_of(self, state: DocumentRow, op: Op) -> Sequence[DocumentRow]:
        """The rows that say of a register what `state` does, newest first, but for those of hides; never empty. The
        last is the one that set it.
        """
        wanted, below = _register(state, op), state.from_seq + 1
        found: list[DocumentRow] = []
        while True:
            page = await self._index.document_history(state.document, limit=_PAGE, below=below)
            found += [row for row in page if _register(row, op) == wanted and row.mutation.topic != HIDES]
            if len(page) < _PAGE or _register(page[-1], op) != wanted:
                return found or [state]
            below = page[-1].from_seq

    def _content(self, made: Sequence[DocumentRow], loser: Mutation) -> tuple[DocumentChange, Coordinates] | None:
        """The change that the content register stands for, and where it lies: where the rows say, or somewhere behind
        that, as a copy whose own mutation is still on its way. Blocks.
        """
        wanted = made[0].content_version
        assert wanted is not None, "content that is present has a version"
        # A row of another event has moved the acl alone.
        for at in dict.fromkeys(str(row.change) for row in made if row.event_id == made[-1].event_id):
            found = self._look(Coordinates.parse(at))
            if found is not None and (change := _change_at(found, loser, wanted)):
                return change, found.coordinates
        same: tuple[DocumentChange, Coordinates] | None = None
        equal: tuple[DocumentChange, Coordinates] | None = None
        for record in self._read(min((row.change for row in made), key=lambda at: at.offset)):
            change = _change_at(record, loser, wanted)
            if change is not None and change.event_id == made[-1].event_id:
                same = change, record.coordinates
            elif change is not None and record.coordinates.offset < loser.change.offset:
                equal = change, record.coordinates  # it said the same: otherwise a copy would lie behind it
        return same or equal


def _register(row: DocumentRow, op: Op) -> Version | None:
    return row.acl_version if op is Op.ACL else row.content_version


def _change_at(record: StoredRecord, loser: Mutation, wanted: Version) -> DocumentChange | None:
    """The content change of the loser's document in the wanted version; None for any other record."""
    if record.key != loser.document.key:
        return None
    try:
        change = decode(record.value or b"", DocumentChange)
    except DecodeError:
        return None
    return change if change.version.at(record.coordinates.offset) == wanted else None


def _said_anew(made: DocumentRow, state: DocumentRow, loser: Mutation) -> DocumentChange:
    """The delete or the acl that counts, from the row that set it."""
    acl_alone = loser.op is Op.ACL
    version = state.acl_version if acl_alone else state.content_version
    assert version is not None, "only a register that was set is endangered"
    removed = made.op if made.op in (Op.DELETE, Op.ERASE) else Op.DELETE
    return DocumentChange(
        tenant=loser.tenant,
        source=loser.source,
        doc_id=loser.doc_id,
        op=Op.ACL if acl_alone else removed,
        version=StatedVersion(version.epoch, version.sequence, version.rank),
        event_id=made.event_id,
        actor=made.actor,
        acl=state.acl if acl_alone else None,
        default_acl=loser.default_acl if state.acl_version is not None else state.acl,
        received_at=made.received_at,
        origin=made.origin,
    )
