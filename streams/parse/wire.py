"""What goes over the pipes between the pool and a worker process: length-prefixed messages. Pure.

Answers are JSON, not pickles: a worker has read hostile input, so the pool trusts nothing it says beyond its form.
"""

import json
import struct
from dataclasses import dataclass

from schemas.errors import PermanentError, UnreadableError
from streams.core.blocks import Block, BlockKind, ParsedDocument

LENGTH = struct.Struct(">I")
READY = b"ready"
_HEAD = struct.Struct(">?HH")


@dataclass(frozen=True, slots=True)
class Request:
    """One document to parse."""

    body: bytes
    content_type: str | None
    name: str


def framed(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


def encode_request(request: Request) -> bytes:
    """Type and name are cut to 4,096 bytes: no more of them is ever looked at."""
    declared = (request.content_type or "").encode("utf-8", "replace")[:4096]
    name = request.name.encode("utf-8", "replace")[-4096:]
    return _HEAD.pack(request.content_type is not None, len(declared), len(name)) + declared + name + request.body


def decode_request(message: bytes) -> Request:
    has_type, declared, name = _HEAD.unpack_from(message)
    first = _HEAD.size + declared
    content_type = message[_HEAD.size : first].decode("utf-8", "replace") if has_type else None
    return Request(message[first + name :], content_type, message[first : first + name].decode("utf-8", "replace"))


def encode_document(document: ParsedDocument) -> bytes:
    blocks = [
        [block.kind.value, block.level, block.page, block.start, block.end, block.header_lines]
        for block in document.blocks
    ]
    return json.dumps([document.title, document.language, document.kind, document.text, blocks]).encode()


def encode_error(error: PermanentError) -> bytes:
    return json.dumps({"reason": error.reason, "message": str(error)}).encode()


def decode_answer(message: bytes) -> ParsedDocument:
    """The parsed document. Raises UnreadableError when the worker said so, or said nonsense."""
    try:
        answer = json.loads(message)
        if isinstance(answer, dict):
            raise UnreadableError(str(answer["message"]), reason=str(answer["reason"]))
        title, language, kind, text, blocks = answer
        return ParsedDocument(
            title,
            language,
            kind,
            text,
            tuple(
                Block(BlockKind(block_kind), text[start:end], level, page, start, end, header_lines)
                for block_kind, level, page, start, end, header_lines in blocks
            ),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UnreadableError("the parser's answer makes no sense", reason="parser_crashed") from None
