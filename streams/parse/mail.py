"""Mail: who wrote what to whom, the text, and each attachment under a heading of its own name (ADR 10). The one module
that knows python-oxmsg.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from email import policy
from email.errors import MessageError
from email.message import MIMEPart
from email.parser import BytesParser

from schemas.errors import PermanentError, UnreadableError
from streams.core.blocks import BlockKind, Piece
from streams.parse.reading import Reading, ReadInner

_SHOWN = ("From", "To", "Cc", "Date")
_MOST_PARTS = 1000
_BODIES = ("text/plain", "text/html")
# A message whose HTML has structure that its plain text lost.
_STRUCTURE = ("<table", "<h1", "<h2", "<h3", "<li")


@dataclass(frozen=True, slots=True)
class _Part:
    """A document within a message."""

    name: str
    content_type: str
    body: bytes


def read_eml(body: bytes, inner: ReadInner) -> Reading:
    """A message in the Internet's format. Raises UnreadableError; reason malformed, too_deep or mail_loop."""
    # An mbox file's first line is no header.
    if body.startswith(b"From "):
        body = body.partition(b"\n")[2]
    try:
        message = BytesParser(policy=policy.default).parsebytes(body)
        parts = list(_leaves(message))
        shown = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
        subject = _header(message, "Subject") or None
        language = _header(message, "Content-Language").partition(",")[0].partition("-")[0].strip().lower() or None
    except (MessageError, LookupError, ValueError, AttributeError, TypeError, IndexError):
        # The standard library's parser means to accept anything, and does not quite.
        raise UnreadableError("the message is malformed: export it again", reason="malformed") from None
    texts = [part for part in parts if not part.name and part.content_type in _BODIES]
    others = [part for part in parts if part.name or part.content_type not in _BODIES]
    return replace(_assembled(subject, shown, _chosen(texts), others, inner), language=language)


def read_msg(body: bytes, inner: ReadInner) -> Reading:
    """A message as Outlook keeps it. Raises UnreadableError, reason malformed."""
    from oxmsg import Message

    try:
        message = Message.load(io.BytesIO(body))
        to = ", ".join(str(one.email_address or one.name) for one in message.recipients)
        headers = {"From": message.sender or "", "To": to, "Date": str(message.sent_date or "")}
        texts = [_Part("", "text/plain; charset=utf-8", (message.body or "").encode())]
        if message.html_body:
            texts.append(_Part("", "text/html; charset=utf-8", message.html_body.encode()))
        others = [
            _Part((one.file_name or "attachment").strip(" \0"), one.mime_type or "", one.file_bytes or b"")
            for one in message.attachments
        ]
        subject = message.subject or None
    except Exception:  # noqa: BLE001 - the reader trusts the file's numbers and fails over them in any way
        raise UnreadableError("the message is damaged: export it again", reason="malformed") from None
    shown = [f"{name}: {value}" for name, value in headers.items() if value]
    return _assembled(subject, shown, _chosen(texts), others, inner)


def _assembled(
    subject: str | None, shown: Sequence[str], text: Sequence[_Part], others: Sequence[_Part], inner: ReadInner
) -> Reading:
    pieces = [Piece(BlockKind.PARAGRAPH, "\n".join(shown))]
    for part in text:
        pieces += _deeper(inner(part.body, part.content_type, part.name).pieces, 0)
    for part in others:
        pieces += _attached(part, inner)
    return Reading(pieces, " ".join((subject or "").split()) or None)


def _attached(part: _Part, inner: ReadInner) -> Iterator[Piece]:
    """An attachment's text under its name. One that cannot be read leaves its name: the message is still worth having.

    A loop of messages is no such thing.
    """
    name = " ".join(part.name.split()) or part.content_type
    try:
        reading = inner(part.body, part.content_type, part.name)
    except PermanentError as error:
        if error.reason in ("mail_loop", "too_many_elements"):
            raise
        yield Piece(BlockKind.PARAGRAPH, f"Attachment: {name}")
        return
    yield Piece(BlockKind.HEADING, f"Attachment: {name}", 1)
    title = reading.title if reading.title and reading.title not in name else None
    if title and not any(piece.text == title for piece in reading.pieces[:2]):
        yield Piece(BlockKind.PARAGRAPH, title)
    yield from _deeper(reading.pieces, 1)


def _deeper(pieces: Sequence[Piece], by: int) -> Iterator[Piece]:
    """The pieces with their headings lowered."""
    return (replace(piece, level=piece.level + by) if piece.kind is BlockKind.HEADING else piece for piece in pieces)


def _chosen(texts: Sequence[_Part]) -> list[_Part]:
    """Of alternatives the plain one, unless it is empty or the HTML shows structure."""
    plain = [part for part in texts if part.content_type.startswith("text/plain") and part.body.strip()]
    rich = [part for part in texts if part.content_type.startswith("text/html") and part.body.strip()]
    structured = any(tag in part.body.decode("latin-1").lower() for part in rich for tag in _STRUCTURE)
    return rich if rich and (structured or not plain) else plain


def _leaves(message: MIMEPart) -> Iterator[_Part]:
    """The parts that hold something, messages within messages as parts of their own."""
    waiting: list[MIMEPart] = [message]
    seen = 0
    while waiting:
        part = waiting.pop(0)
        seen += 1
        if seen > _MOST_PARTS:
            raise UnreadableError(f"the message has over {_MOST_PARTS} parts", reason="mail_loop")
        name = part.get_filename() or ""
        if part.get_content_type() == "message/rfc822":
            for inside in part.iter_parts():
                subject = _header(inside, "Subject") or "message"
                yield _Part(name or f"{subject}.eml", "message/rfc822", bytes(inside))
        elif part.is_multipart():
            waiting = [*part.iter_parts(), *waiting]
        else:
            content = part.get_payload(decode=True)
            charset = part.get_content_charset()
            declared = part.get_content_type() + (f"; charset={charset}" if charset and name else "")
            body = content if isinstance(content, bytes) else b""
            if charset and not name:
                yield _Part(name, part.get_content_type(), _utf8(body, charset))
            elif body.strip():
                yield _Part(name, declared, body)


def _utf8(body: bytes, charset: str) -> bytes:
    """A message's own text as UTF-8; a charset that is unknown or wrong costs letters, not the message."""
    try:
        return body.decode(charset, "replace").encode("utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace").encode("utf-8", "replace")


def _header(message: MIMEPart, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except (ValueError, IndexError, AttributeError, TypeError):
        return ""
