"""What goes over the pipes between the pool and a worker process: length-prefixed messages. Pure.

Answers are JSON, not pickles: a worker has read hostile input, so the pool trusts nothing it says beyond its form.
"""

import json
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import PermanentError, UnreadableError
from schemas.records import Part
from schemas.redaction import Kind
from streams.core.blocks import Block, BlockKind, ParsedDocument
from streams.core.redaction import Finding, Findings, Search, Sighted

LENGTH = struct.Struct(">I")
READY = b"ready"
OUT_OF_MEMORY = (b"MemoryError", b"memory allocation of", b"bad_alloc")
"""How a process says on standard error that it dies because no memory is left: Python, Rust, C++."""
_HEAD = struct.Struct(">?HHI")
_REASON = re.compile("[a-z_]{1,40}")


def out_of_memory() -> UnreadableError:
    """What becomes of a document that takes all the memory there is for one."""
    return UnreadableError("the document needs more memory to parse than is allowed", reason="parser_memory")


@dataclass(frozen=True, slots=True)
class Request:
    """One document to parse, and what to look for in it."""

    body: bytes
    content_type: str | None
    name: str
    search: Search


def framed(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


def encode_request(request: Request) -> bytes:
    """Type and name are cut to 4,096 bytes: no more of them is ever looked at."""
    declared = (request.content_type or "").encode("utf-8", "replace")[:4096]
    name = request.name.encode("utf-8", "replace")[-4096:]
    search = json.dumps([request.search.kinds, request.search.private, request.search.sides]).encode()
    head = _HEAD.pack(request.content_type is not None, len(declared), len(name), len(search))
    return b"".join((head, declared, name, search, request.body))


def decode_request(message: bytes) -> Request:
    has_type, declared, name, search = _HEAD.unpack_from(message)
    first = _HEAD.size + declared
    content_type = message[_HEAD.size : first].decode("utf-8", "replace") if has_type else None
    second = first + name
    third = second + search
    kinds, private, sides = json.loads(message[second:third])
    sought = Search(tuple(Kind(kind) for kind in kinds), tuple(private), tuple(sides))
    return Request(message[third:], content_type, message[first:second].decode("utf-8", "replace"), sought)


def encode_document(sighted: Sighted) -> bytes:
    document = sighted.document
    blocks = [
        [each.kind.value, each.level, each.page, each.start, each.end, each.header_lines, each.part, each.page_breaks]
        for each in document.blocks
    ]
    parts = [[part.title, part.kind] for part in document.parts]
    found = [_encoded(findings) for findings in (sighted.text, sighted.title, *sighted.sides)]
    in_parts = [_encoded(findings) for findings in sighted.parts]
    said = [
        document.title,
        document.language,
        document.kind,
        document.text,
        blocks,
        found,
        parts,
        in_parts,
        document.unread,
    ]
    return json.dumps(said).encode()


def _encoded(findings: Findings) -> list[tuple[str, int, int, float]]:
    return [(finding.kind, finding.start, finding.end, finding.score) for finding in findings]


def encode_error(error: PermanentError) -> bytes:
    return json.dumps({"reason": error.reason, "message": str(error)}).encode()


def decode_answer(message: bytes, sides: Sequence[str] = ()) -> Sighted:
    """The parsed document and what was found in it and in the request's `sides`.

    Raises UnreadableError when the worker said so, or said nonsense.
    """
    try:
        answer = json.loads(message)
        if isinstance(answer, dict):
            raise UnreadableError(str(answer["message"]), reason=str(answer["reason"]))
        title, language, kind, text, blocks, (in_text, in_title, *in_sides), named, in_parts, unread = answer
        parts = tuple(Part(title=name, kind=read_as) for name, read_as in named)
        document = ParsedDocument(
            title,
            language,
            kind,
            text,
            tuple(_block(each, text) for each in blocks),
            parts,
            tuple(reason for reason in map(str, unread) if _REASON.fullmatch(reason)),
        )
        if not all(0 <= block.part <= len(parts) for block in document.blocks):
            raise ValueError("a block is of a part that is not there")
        return Sighted(
            document,
            _findings(in_text, text),
            _findings(in_title, title or ""),
            tuple(_findings(found, side) for found, side in zip(in_sides, sides, strict=True)),
            tuple(_findings(found, part.title) for found, part in zip(in_parts, parts, strict=True)),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UnreadableError("the parser's answer makes no sense", reason="parser_crashed") from None


def _block(encoded: Sequence[Any], text: str) -> Block:
    kind, level, page, start, end, header_lines, part, breaks = encoded
    page_breaks = tuple((int(at), int(number)) for at, number in breaks)
    return Block(BlockKind(kind), text[start:end], level, page, start, end, header_lines, part, page_breaks)


def _findings(encoded: Sequence[Sequence[object]], text: str) -> Findings:
    return tuple(_checked(encoded, len(text)))


def _checked(encoded: Sequence[Sequence[object]], length: int) -> Iterator[Finding]:
    for kind, start, end, score in encoded:
        finding = Finding(Kind(str(kind)), int(str(start)), int(str(end)), float(str(score)))
        if not 0 <= finding.start < finding.end <= length:
            raise ValueError("a finding lies outside its text")
        yield finding
