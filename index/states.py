"""Reads the state of documents at a position: the valid document row in force, whatever dead writers left beside it."""

from collections.abc import Collection

from index.model import DocumentRow, Published, Seq
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
            state = await _older_state(index, published, document, newest[-1].from_seq + 1)
        if state is not None:
            found[document] = state
    return found


async def state_before(
    index: VersionedIndex, published: Published, document: Document, below: Seq
) -> DocumentRow | None:
    """The valid row in force just before `below`."""
    return await _older_state(index, published, document, below)


async def _older_state(
    index: VersionedIndex, published: Published, document: Document, below: Seq
) -> DocumentRow | None:
    """Rows of one seq may be many, one for each attempt that was cut off, and a page may end among them: the next
    begins at that seq again.
    """
    limit = _PAGE
    while True:
        rows = await index.document_history(document, limit=limit, below=below)
        state = published.state_at(rows, below - 1)
        if state is not None or len(rows) < limit:
            return state
        if rows[0].from_seq == rows[-1].from_seq:
            limit *= 2
        below = rows[-1].from_seq + 1
