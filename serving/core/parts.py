"""What a reader calls a part of a document: `<doc_id>#attachment-<n>`, n from 1. Pure.

Inside there is one document, the message, with its permissions, versions and dependencies; only responses and addresses
have these ids. A document whose own id reads like that comes first.
"""

import re

from schemas.errors import InvalidNameError
from schemas.identity import Document, Source, Tenant, doc_id

_ATTACHMENT = re.compile(r"(.+)#attachment-([1-9][0-9]{0,4})", re.DOTALL)


def shown_id(doc_id: str, part: int) -> str:
    """The id to show for a part of a document; part 0 is the document itself."""
    return f"{doc_id}#attachment-{part}" if part else doc_id


def attachment_of(shown: str) -> tuple[str, int] | None:
    """The document and the part that an id names, if it reads like an attachment's."""
    match = _ATTACHMENT.fullmatch(shown)
    return None if match is None else (match[1], int(match[2]))


def meant(tenant: Tenant, source: Source, shown: str) -> tuple[tuple[Document, int], ...]:
    """The documents, and the part of each, that an id may mean: the document of this very id first. Never empty.

    Raises InvalidNameError. An attachment's id may be longer than any document's.
    """
    attachment = attachment_of(shown)
    if attachment is None:
        return ((Document(tenant, source, doc_id(shown)), 0),)
    message = Document(tenant, source, doc_id(attachment[0])), attachment[1]
    try:
        return (Document(tenant, source, doc_id(shown)), 0), message
    except InvalidNameError:
        return (message,)
