"""Decides, purely, which changes run ahead of the queue: deletes, erasures, and every acl that may take something away
(design §4 Registers). From headers and key alone: no body is decoded.

One hide too many costs a row; one too few shows what was taken away. So an acl is left out only where the last one of
its document says the same: then the index stays as it is until a mutation brings a state that this acl allows.
"""

from collections import OrderedDict
from datetime import datetime

from schemas.headers import StatedChange
from schemas.identity import Document
from schemas.records import Coordinates, Hide
from schemas.versions import Op

ROOM = 20_000
"""Documents whose last acl is remembered: some 20 MB. One that is forgotten has its next acl sent again."""


def hide_of(document: Document, stated: StatedChange, at: Coordinates, now: datetime) -> Hide | None:
    """What a change takes away ahead of the queue; None for one that can only give: an upsert that keeps the acl."""
    deleted = stated.op in (Op.DELETE, Op.ERASE)
    if not deleted and stated.acl is None:
        return None
    return Hide(
        tenant=document.tenant,
        source=document.source,
        doc_id=document.doc_id,
        version=stated.version.at(at.offset),
        deleted=deleted,
        acl=stated.acl,
        change=at,
        origin=stated.origin,
        event_id=stated.event_id,
        received_at=stated.received_at,
        prepared_at=now,
        traceparent=stated.traceparent,
    )


class LastAcls:
    """The newest acl of each document, by version, and whether it was sent or left out.

    It holds for as long as every change of the document was seen here: `forget` after one that could not be read, and
    begin a new one with each assignment of partitions (another process may have seen A -> B, and here A would follow).
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._newest: OrderedDict[Document, tuple[Hide, bool]] = OrderedDict()

    def choose(self, hide: Hide) -> Hide | None:
        """What to send now that this hide's turn has come: it, nothing, or an acl left out before.

        A newer acl that equals the newest is left out. So is one that is not newer: the index keeps the newer. But
        where it differs from a newest one that was left out, that one is sent after all: its mutation may be a dead
        letter, and then this older acl would come into force.
        """
        newest, sent = self._newest.get(hide.document, (None, True))
        if hide.deleted:
            if hide.acl is not None:
                self.forget(hide.document)
            return hide
        if newest is None or (hide.version > newest.version and hide.acl != newest.acl):
            self._remember(hide, sent=True)
            return hide
        if hide.version > newest.version:
            self._remember(hide, sent=False)
            return None
        if sent or hide.acl == newest.acl:
            return None
        self._remember(newest, sent=True)
        return newest

    def forget(self, document: Document) -> None:
        """A change of the document could not be read: what it does to the acl is not known."""
        self._newest.pop(document, None)

    def _remember(self, hide: Hide, *, sent: bool) -> None:
        self._newest[hide.document] = (hide, sent)
        self._newest.move_to_end(hide.document)
        if len(self._newest) > self._room:
            self._newest.popitem(last=False)
