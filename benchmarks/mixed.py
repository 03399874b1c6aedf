"""Generated documents of many formats, every tenth of them broken: what a worker meets in a real archive.

Document `number` depends on nothing but its number and the letters it is given.
"""

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from html import escape

from benchmarks.corpus import GeneratedDocument, document

_LETTERS = 4
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
_PACKAGE = {
    "[Content_Types].xml": f'<Types xmlns="{_TYPES}"><Default Extension="rels" ContentType='
    f'"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" '
    f'ContentType="{_MAIN}"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" Type="{_OFFICE}" '
    'Target="word/document.xml"/></Relationships>',
}


@dataclass(frozen=True, slots=True)
class MixedDocument:
    """A document as a source sends it; its format is left to be told from the bytes and the name."""

    doc_id: str
    title: str
    body: bytes


def mixed(number: int, letters: Sequence[str]) -> MixedDocument:
    """The document of that number; some of `letters` are in every fourth."""
    generated = document(number)
    suffix, written = _FORMATS[number % len(_FORMATS)]
    if number % 4 == 0:
        few = [letters[(number + place) % len(letters)] for place in range(_LETTERS)]
        generated = GeneratedDocument(generated.doc_id, generated.title, "\n\n".join(few), 1)
    return MixedDocument(f"{generated.doc_id}.{suffix}", generated.title, written(generated))


def _paragraphs(one: GeneratedDocument) -> list[str]:
    return [part.lstrip("# ") for part in one.body.split("\n\n") if part.strip()]


def _markdown(one: GeneratedDocument) -> bytes:
    return one.body.encode()


def _text(one: GeneratedDocument) -> bytes:
    return "\n\n".join(_paragraphs(one)).encode()


def _html(one: GeneratedDocument) -> bytes:
    inner = "".join(f"<p>{escape(part)}</p>" for part in _paragraphs(one))
    menu = "".join(f"<li><a href='#{place}'>Part {place}</a></li>" for place in range(20))
    return f"<html><title>{escape(one.title)}</title><body><nav><ul>{menu}</ul></nav>{inner}</body></html>".encode()


def _csv(one: GeneratedDocument) -> bytes:
    rows = "\n".join(f'{place},"{part.replace(chr(34), chr(39))}"' for place, part in enumerate(_paragraphs(one)))
    return f"number,note\n{rows}\n".encode()


def _json(one: GeneratedDocument) -> bytes:
    return json.dumps({"title": one.title, "parts": _paragraphs(one)}, ensure_ascii=False).encode()


def _xml(one: GeneratedDocument) -> bytes:
    parts = "".join(f"<section><para>{escape(part)}</para></section>" for part in _paragraphs(one))
    return f"<?xml version='1.0'?><article><title>{escape(one.title)}</title>{parts}</article>".encode()


def _mail(one: GeneratedDocument) -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = one.title, "Records <records@mail.example>", "all@mail.example"
    message.set_content("The report of the day is attached.")
    message.add_attachment(_html(one), maintype="text", subtype="html", filename="report.html")
    return message.as_bytes()


def _word(one: GeneratedDocument) -> bytes:
    parts = "".join(f"<w:p><w:r><w:t>{escape(part)}</w:t></w:r></w:p>" for part in _paragraphs(one))
    inner = f'<w:document xmlns:w="{_WORD}"><w:body>{parts}</w:body></w:document>'
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in (_PACKAGE | {"word/document.xml": inner}).items():
            packed.writestr(name, content)
    return archive.getvalue()


def _broken(one: GeneratedDocument) -> bytes:
    whole = _word(one)
    return whole[: len(whole) * 2 // 3]


_FORMATS: tuple[tuple[str, Callable[[GeneratedDocument], bytes]], ...] = (
    ("md", _markdown),
    ("txt", _text),
    ("html", _html),
    ("csv", _csv),
    ("json", _json),
    ("xml", _xml),
    ("eml", _mail),
    ("docx", _word),
    ("docx", _broken),
    ("md", _markdown),
)
