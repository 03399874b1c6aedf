"""Reads the state of documents at a position: the valid document row in force, whatever dead writers left beside it."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping

from index.model import DocumentRow, Published, RowId, Seq
from index.port import VersionedIndex
from schemas.identity import Document, Tenant

ROOM = 60_000
"""Manifest entries of states that are kept: some 16 MB."""
_PAGE = 32
_CHANGES_AT_ONCE = 256


async def states_at(
    index: VersionedIndex, published: Published, tenant: Tenant, documents: Collection[Document], at: Seq
) -> dict[Document, DocumentRow]:
    """State at `at` of each document; one without a valid row is missing from the answer."""
    if not documents:
        return {}
    rows = await index.document_rows(tenant, documents, at=at)
    found: dict[Document, DocumentRow] = {}
    for document in documents:
        newest = rows.get(document, ())
        state = published.state_at(newest, at)
        if state is None and len(newest) >= _PAGE:
            state = await state_before(index, published, document, newest[-1].from_seq + 1)
        if state is not None:
            found[document] = state
    return found


async def state_before(
    index: VersionedIndex, published: Published, document: Document, below: Seq
) -> DocumentRow | None:
    """The valid row in force just before `below`."""
    rows = await history_before(index, document, below, limit=1, counts=published.is_valid)
    return rows[0] if rows else None


async def history_before(
    index: VersionedIndex, document: Document, below: Seq, *, limit: int, counts: Callable[[DocumentRow], bool]
) -> tuple[DocumentRow, ...]:
    """The `limit` newest rows with from_seq < below that count, newest first; fewer only where there are no more.

    Rows of one seq may be many, one for each attempt that was cut off, and a page may end among them: the next page
    begins at that seq again.
    """
    page = max(limit, _PAGE)
    found: dict[RowId, DocumentRow] = {}
    while True:
        rows = await index.document_history(document, limit=page, below=below)
        found |= {row.id: row for row in rows if counts(row)}
        if len(found) >= limit or len(rows) < page:
            return tuple(sorted(found.values(), key=lambda row: row.from_seq, reverse=True))[:limit]
        if rows[0].from_seq == rows[-1].from_seq:
            page *= 2
        below = rows[-1].from_seq + 1


class NewestStates:
    """States at the newest position, kept for as long as nothing was committed to their documents.

    A state decided at one head holds at a later one of the same epochs if no row of its document lies between the two,
    which one small read tells for all documents: rows are inserted before the head that publishes them, and never
    change but in `to_seq`, which is as it was when the row was read.
    """

    def __init__(self, index: VersionedIndex, *, room: int = ROOM) -> None:
        self._index = index
        self._room = room
        self._used = 0
        self._at: dict[Tenant, Published] = {}
        """The head that each tenant's kept states were decided by."""
        self._kept: OrderedDict[Document, DocumentRow] = OrderedDict()

    async def read(self, published: Published, documents: Collection[Document]) -> dict[Document, DocumentRow]:
        """State at `published` of each document; one without a valid row is missing from the answer."""
        known = self._known(documents) if await self._bring_to(published) else {}
        missing = [document for document in documents if document not in known]
        tenant = published.head.tenant
        read = await states_at(self._index, published, tenant, missing, published.seq)
        if _is_same(self._at.get(tenant), published):
            self._keep(read)
        return known | read

    async def _bring_to(self, published: Published) -> bool:
        """Whether what is kept now holds at `published`: where it is older, what changed since is dropped."""
        tenant = published.head.tenant
        at = self._at.get(tenant)
        if at is not None and at.head.epoch == published.head.epoch and at.head.earlier == published.head.earlier:
            if published.seq <= at.seq:
                return published.seq == at.seq
            changed = await self._index.changed_documents(
                tenant, after=at.seq, at_most=published.seq, limit=_CHANGES_AT_ONCE
            )
            if self._at.get(tenant) is not at:
                return _is_same(self._at.get(tenant), published)
        elif at is not None and at.head.epoch > published.head.epoch:
            return False
        else:
            changed = None
        self._drop(tenant, changed)
        self._at[tenant] = published
        return True

    def _known(self, documents: Collection[Document]) -> dict[Document, DocumentRow]:
        known = {document: self._kept[document] for document in documents if document in self._kept}
        for document in known:
            self._kept.move_to_end(document)
        return known

    def _drop(self, tenant: Tenant, documents: Collection[Document] | None) -> None:
        """Forget these documents; None: all of the tenant."""
        if documents is None:
            documents = [document for document in self._kept if document.tenant == tenant]
        for document in documents:
            row = self._kept.pop(document, None)
            self._used -= 0 if row is None else row.weight

    def _keep(self, rows: Mapping[Document, DocumentRow]) -> None:
        for document, row in rows.items():
            if document not in self._kept:
                self._kept[document] = row
                self._used += row.weight
        while self._used > self._room:
            _, oldest = self._kept.popitem(last=False)
            self._used -= oldest.weight


def _is_same(one: Published | None, other: Published) -> bool:
    """Whether both heads make the same rows valid."""
    return one is not None and (one.seq, one.head.epoch, one.head.earlier) == (
        other.seq,
        other.head.epoch,
        other.head.earlier,
    )
