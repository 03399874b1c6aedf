"""Reads the state of documents at a position: the valid document row in force, whatever dead writers left beside it."""

from collections.abc import Callable, Collection

from index.model import DocumentRow, Published, RowId, Seq
from index.port import VersionedIndex
from schemas.identity import Document, Tenant

_PAGE = 32


async def states_at(
    index: VersionedIndex, published: Published, tenant: Tenant, documents: Collection[Document], at: Seq
) -> dict[Document, DocumentRow]:
    """State at `at` of each document; one without a valid row is missing from the answer."""
    if not documents:
        return {}
    rows = await index.document_rows(tenant, documents, at_most=at)
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
