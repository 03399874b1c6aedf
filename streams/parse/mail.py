"""Mail: who wrote what to whom, the text, and each attachment as a part of its own (ADR 26). The one module that knows
python-oxmsg.
"""

import base64
import binascii
import io
import quopri
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from email import policy
from email.errors import MessageError
from email.message import MIMEPart
from email.parser import BytesParser
from itertools import chain

from schemas.errors import PermanentError, UnreadableError
from streams.core.blocks import BlockKind, Piece
from streams.parse.reading import Attached, Reading, ReadInner

_SHOWN = ("From", "To", "Cc", "Date")
_MOST_PARTS = 1000
_DEEPEST = 50
# A loop of messages, or what goes over the limits of the whole, cannot be passed over.
_OF_THE_WHOLE = ("mail_loop", "too_many_elements")
_BODIES = ("text/plain", "text/html")
# Fields a machine wrote about a message; the parser takes them for messages without text.
_REPORTS = ("message/delivery-status", "message/disposition-notification")
# How an mbox file goes on behind a message: who sent the next and when, then its headers.
_NEXT_MAIL = re.compile(rb"\n\r?\nFrom [^\n]{0,200}\d\d:\d\d[^\n]{0,100}\n[A-Za-z][A-Za-z0-9-]{0,60}:")
# A message whose HTML has structure that its plain text lost.
_STRUCTURE = ("<table", "<h1", "<h2", "<h3", "<li")


@dataclass(frozen=True, slots=True)
class _Part:
    """A document within a message."""

    name: str
    content_type: str
    body: bytes


def read_eml(body: bytes, inner: ReadInner) -> Reading:
    """A message in the Internet's format.

    Raises UnreadableError; reason malformed, too_deep, mail_loop or, for a box of several, unsupported_type.
    """
    # An mbox file's first line is no header.
    if body.startswith(b"From "):
        if _NEXT_MAIL.search(body):
            raise UnreadableError(
                "the file is a mailbox of several messages: send each as a document of its own (.eml)",
                reason="unsupported_type",
            )
        body = body.partition(b"\n")[2]
    try:
        message = BytesParser(policy=policy.default).parsebytes(body)
        parts = _Message().leaves(message)
        shown = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
        subject = _header(message, "Subject") or None
        language = _header(message, "Content-Language").partition(",")[0].partition("-")[0].strip().lower() or None
    except (MessageError, LookupError, ValueError, AttributeError, TypeError, IndexError):
        # The standard library's parser means to accept anything, and does not quite.
        raise UnreadableError("the message is malformed: export it again", reason="malformed") from None
    texts = [part for part in parts if _is_text(part)]
    others = [part for part in parts if not _is_text(part)]
    return replace(_assembled(subject, shown, texts, others, inner), language=language)


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
    return _assembled(subject, shown, _chosen([[part] for part in texts]), others, inner)


def _assembled(
    subject: str | None, shown: Sequence[str], text: Sequence[_Part], others: Sequence[_Part], inner: ReadInner
) -> Reading:
    pieces = [Piece(BlockKind.PARAGRAPH, "\n".join(shown))]
    attached: list[Attached] = []
    unread: list[str] = []
    for part in text:
        reading = inner(part.body, part.content_type, part.name)
        pieces += reading.pieces
        attached += reading.attached
        unread += reading.unread
    for part in others:
        reading = _read(part, inner)
        found = _attached(part, reading)
        attached += found
        why = reading.unread if found or reading.unread else ["empty"]
        unread += why
        if not found:
            pieces.append(Piece(BlockKind.PARAGRAPH, f"Attachment: {_name(part)} (not read: {why[0]})"))
    return Reading(pieces, " ".join((subject or "").split()) or None, attached=attached, unread=unread)


def _read(part: _Part, inner: ReadInner) -> Reading:
    """An attachment. One that cannot be read is nothing but the reason: the message is still worth having."""
    try:
        return inner(part.body, part.content_type, part.name)
    except PermanentError as error:
        if error.reason in _OF_THE_WHOLE:
            raise
        return Reading([], unread=[error.reason])


def _attached(part: _Part, reading: Reading) -> list[Attached]:
    """An attachment, and behind it what is attached to it; none for one that holds nothing."""
    name, pieces = _name(part), list(reading.pieces)
    if not any(piece.text.strip() for piece in pieces):
        return list(reading.attached)
    title = reading.title if reading.title and reading.title not in name else None
    if title and not any(piece.text == title for piece in pieces[:2]):
        pieces.insert(0, Piece(BlockKind.PARAGRAPH, title))
    return [Attached(name, reading.kind, pieces), *reading.attached]


def _name(part: _Part) -> str:
    return " ".join(part.name.split()) or part.content_type


def _chosen(branches: Sequence[Sequence[_Part]]) -> list[_Part]:
    """Of alternatives the plain one, unless it is empty or the HTML shows structure; and all that is attached."""
    texts = [[part for part in branch if _is_text(part) and part.body.strip()] for branch in branches]
    rich = [any(_is_html(part) for part in found) for found in texts]
    plain = [bool(found) and not html for found, html in zip(texts, rich, strict=True)]
    kept = rich if any(rich) and (not any(plain) or any(map(_has_structure, chain(*texts)))) else plain
    return [
        part for branch, keeps in zip(branches, kept, strict=True) for part in branch if keeps or not _is_text(part)
    ]


def _is_text(part: _Part) -> bool:
    """Whether a part is what the message says itself, and no attachment."""
    return not part.name and part.content_type.partition(";")[0] in _BODIES


def _is_html(part: _Part) -> bool:
    return part.content_type.startswith("text/html")


def _has_structure(part: _Part) -> bool:
    return _is_html(part) and any(tag in part.body.decode("latin-1").lower() for tag in _STRUCTURE)


@dataclass(slots=True)
class _Message:
    """A message being taken apart."""

    seen: int = 0

    def leaves(self, part: MIMEPart, depth: int = 0) -> list[_Part]:
        """The parts that hold something, of alternatives the chosen; messages within messages as parts of their own."""
        self.seen += 1
        if self.seen > _MOST_PARTS or depth > _DEEPEST:
            raise UnreadableError(
                f"the message has over {_MOST_PARTS} parts, or over {_DEEPEST} within each other", reason="mail_loop"
            )
        if part.get_content_type() == "message/rfc822":
            return [_forwarded(part, inside) for inside in part.iter_parts()]
        if part.get_content_type() in _REPORTS:
            fields = "\n\n".join(str(inside).strip() for inside in part.iter_parts())
            return [_Part("", "text/plain; charset=utf-8", fields.encode("utf-8", "replace"))]
        if not part.is_multipart():
            return list(_leaf(part))
        branches = [self.leaves(inside, depth + 1) for inside in part.iter_parts()]
        return _chosen(branches) if part.get_content_subtype() == "alternative" else list(chain(*branches))


def _forwarded(part: MIMEPart, inside: MIMEPart) -> _Part:
    """A message within a message. One that is encoded, which some mailers do, was taken apart as it came."""
    body = _decoded(bytes(inside), _header(part, "Content-Transfer-Encoding").lower())
    subject = _header(BytesParser(policy=policy.default).parsebytes(body, headersonly=True), "Subject") or "message"
    return _Part(part.get_filename() or f"{subject}.eml", "message/rfc822", body)


def _decoded(message: bytes, encoding: str) -> bytes:
    """What is no base64 after all stays as it is."""
    if encoding == "quoted-printable":
        return quopri.decodestring(message.lstrip())
    if encoding == "base64":
        try:
            return base64.b64decode(b"".join(message.split()), validate=True) or message
        except binascii.Error:
            return message
    return message


def _leaf(part: MIMEPart) -> Iterator[_Part]:
    name = part.get_filename() or ""
    content = part.get_payload(decode=True)
    charset = part.get_content_charset()
    # A multipart is a leaf where its boundary never comes.
    kind = "text/plain" if part.get_content_maintype() == "multipart" else part.get_content_type()
    body = content if isinstance(content, bytes) else b""
    if charset and not name:
        # The page within may still name the charset it had: what is stated here counts more.
        yield _Part(name, f"{kind}; charset=utf-8", _utf8(body, charset))
    elif body.strip():
        yield _Part(name, kind + (f"; charset={charset}" if charset else ""), body)


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
