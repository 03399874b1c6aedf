"""The partitioners of unstructured, and its elements as pieces. The one module that knows unstructured and spaCy.

Import it only after `quiet.silence()`: unstructured reads its opt-outs while it is imported. Its partitioners are
called without what is wrapped around them (languages, hashes and file types of elements, telemetry): half of their cost
and of no use here. It gets a blank pipeline, because it would download a trained one from a code host on first use.
"""

import inspect
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from types import ModuleType

import spacy
from spacy.language import Language
from unstructured.cleaners.core import clean_bullets
from unstructured.documents.elements import (
    CodeSnippet,
    Element,
    ElementMetadata,
    Footer,
    Header,
    Image,
    ListItem,
    PageBreak,
    Table,
    Title,
)
from unstructured.nlp import tokenize
from unstructured.partition.html import parser as html_parser
from unstructured.partition.html import partition_html
from unstructured.partition.text_type import is_bulleted_text

from schemas.errors import UnreadableError
from streams.core.blocks import BlockKind, Piece
from streams.parse import html

_TELLING_ALT_WORDS = 4


def make_ready() -> None:
    """Keep unstructured from downloading a model, and from guessing what markup says. Once a process, before all else.

    What it cannot be told by any setting: sentence ends and words come from a blank pipeline; text is not judged as
    prose or title by kinds of words where tags and styles say it, at a third of the cost; and an element of a page is
    made without the forty fields that nobody reads, which take a fifth of the time.
    """
    pipeline: Language = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    setattr(tokenize, "_get_nlp", lambda: pipeline)  # noqa: B010 - a typed assignment would have to be a cache too
    _judge_prose(html_parser, _yes)
    setattr(html_parser, "ElementMetadata", _FewFields)  # noqa: B010 - it stands in for the class of that name


class _FewFields(ElementMetadata):
    """What `_pieces` reads of an element; every other field is None, as in any element that has no value for it."""

    def __init__(
        self,
        *,
        category_depth: int | None = None,
        page_number: int | None = None,
        text_as_html: str | None = None,
        **_unread: object,
    ) -> None:
        for name, value in (
            ("category_depth", category_depth),
            ("page_number", page_number),
            ("text_as_html", text_as_html),
        ):
            if value is not None:
                setattr(self, name, value)


def _judge_prose(module: ModuleType, by: Callable[..., bool]) -> None:
    setattr(module, "is_possible_narrative_text", by)  # noqa: B010 - what is set has another type on paper


def _yes(_text: str, *_options: object, **_more: object) -> bool:
    return True


def html_pieces(page: html.Page) -> list[Piece]:
    """The pieces of a cleaned page."""
    return list(_pieces(_bare(partition_html)(text=page.html))) if page.html.strip() else []


def without_bullet(text: str) -> str | None:
    """What a paragraph says behind the bullet it begins with; None if it begins with none."""
    return str(clean_bullets(text)) if is_bulleted_text(text) else None


def docx_pieces(body: bytes) -> list[Piece]:
    """The pieces of a Word document whose archive was checked. Raises UnreadableError, reason malformed."""
    from unstructured.partition import docx

    _judge_prose(docx, _yes)
    return _under_title(list(_pieces(_office(docx.partition_docx, body), named=False)))


def pptx_pieces(body: bytes) -> list[Piece]:
    """The pieces of a presentation whose archive was checked. Raises UnreadableError, reason malformed."""
    from unstructured.partition import pptx

    _judge_prose(pptx, _yes)
    elements = _office(pptx.partition_pptx, body, include_slide_notes=True)
    return list(_pieces(_notes_last(elements), named=False))


def _under_title(pieces: list[Piece]) -> list[Piece]:
    """Word's style Title is a heading of level 1 like those it stands above: lower them."""
    if len(pieces) < 2 or not pieces[0].kind is pieces[1].kind is BlockKind.HEADING or pieces[1].level > 1:
        return pieces
    return [pieces[0], *(replace(p, level=p.level + 1) if p.kind is BlockKind.HEADING else p for p in pieces[1:])]


def _notes_last(elements: Iterable[Element]) -> Iterator[Element]:
    """A slide's notes come first: put them behind what they are about."""
    for _, slide in groupby(elements, key=lambda element: element.metadata.page_number):
        members = list(slide)
        begin = next((place for place, element in enumerate(members) if isinstance(element, Title)), 0)
        yield from [*members[begin:], *members[:begin]]


def _bare(partition: Callable[..., list[Element]]) -> Callable[..., list[Element]]:
    bare: Callable[..., list[Element]] = inspect.unwrap(partition)
    return bare


def _office(partition: Callable[..., list[Element]], body: bytes, **options: bool) -> list[Element]:
    try:
        return _bare(partition)(file=io.BytesIO(body), include_page_breaks=False, **options)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # noqa: BLE001 - the readers beneath raise whatever a broken file makes them stumble over
        raise UnreadableError("the file is damaged: save it again and resend it", reason="malformed") from None


def _pieces(elements: Iterable[Element], *, named: bool = True) -> Iterator[Piece]:
    for element in elements:
        page = element.metadata.page_number
        depth = element.metadata.category_depth or 0
        match element:
            case Header() | Footer() | PageBreak():
                continue
            case Title():
                yield Piece(BlockKind.HEADING, element.text.rstrip("¶ "), depth + 1, page)
            case Table() if element.metadata.text_as_html:
                yield from html.table_pieces(element.metadata.text_as_html, page, named=named)
            case ListItem():
                yield Piece(BlockKind.LIST_ITEM, element.text, max(depth, 1), page)
            case CodeSnippet():
                yield Piece(BlockKind.CODE, element.text.strip("\n"), page=page)
            case Image():
                if len(element.text.split()) >= _TELLING_ALT_WORDS:
                    yield Piece(BlockKind.PARAGRAPH, element.text, page=page)
            case _:
                yield Piece(BlockKind.PARAGRAPH, element.text, page=page)
