"""Reading a delivery: bytes to a record that lies where, and under the key, it must. Anything else is a DecodeError."""

from typing import TypeVar

from schemas.codec import decode
from schemas.errors import DecodeError, InvalidNameError
from schemas.identity import Document
from schemas.records import DocumentChange, Hide, Mutation
from schemas.topics import Topics
from streams.window import Delivery

R = TypeVar("R", DocumentChange, Hide, Mutation)


def decode_delivery(delivery: Delivery, model: type[R], topics: Topics) -> R:
    """Decode a record about a document. Raises DecodeError and InvalidNameError.

    A record under another key or in another partition would lose the order of its document, so it is refused.
    """
    if delivery.value is None:
        raise DecodeError("a record without a value: deletes are records too", reason="empty")
    record = decode(delivery.value, model)
    document = Document.checked(record.tenant, record.source, record.doc_id)
    if document != record.document:
        raise DecodeError("the doc_id is not in NFC", reason="invalid_name")
    if delivery.key != record.key.encode():
        raise DecodeError("the record's key is not that of its document", reason="misplaced")
    at = delivery.coordinates
    if at.partition != topics.partition(at.topic, document=document):
        raise DecodeError("the record lies in another partition than its key's", reason="misplaced")
    return record


def document_of(delivery: Delivery) -> Document | None:
    """The document a delivery is about as far as its key says, for dead letters; None where it does not."""
    try:
        return Document.from_key((delivery.key or b"").decode())
    except (UnicodeDecodeError, InvalidNameError):
        return None
