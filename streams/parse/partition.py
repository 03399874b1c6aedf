"""The partitioners of unstructured, and its elements as pieces. The one module that knows unstructured and spaCy.

Import it only after `quiet.silence()`: unstructured reads its opt-outs while it is imported. Languages are given (as
"none"), because detecting them costs more than parsing; and unstructured gets a blank pipeline, because it would
download a trained one from a code host on first use.
"""

from collections.abc import Iterable, Iterator, Sequence

import spacy
from markdown import Markdown  # type: ignore[import-untyped]
from markdown.extensions import Extension  # type: ignore[import-untyped]
from markdown.postprocessors import Postprocessor  # type: ignore[import-untyped]
from spacy.language import Language
from unstructured.documents.elements import CodeSnippet, Element, Image, ListItem, Table, Title
from unstructured.nlp import tokenize
from unstructured.partition.html import partition_html
from unstructured.partition.md import partition_md
from unstructured.partition.text import partition_text

from streams.core.blocks import BlockKind, Piece
from streams.parse import html

_NO_DETECTION = [""]
_MARKDOWN = ("tables", "fenced_code", "sane_lists", "def_list")
_TELLING_ALT_WORDS = 4
_TITLE_WORDS = 10


def install_blank_pipeline() -> None:
    """Give unstructured sentence ends and words without a trained model. Once a process, before the first partition."""
    pipeline: Language = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    # The only place it can be given: unstructured has no setting for it.
    setattr(tokenize, "_get_nlp", lambda: pipeline)  # noqa: B010 - a typed assignment would have to be a cache too


def html_pieces(page: html.Page) -> list[Piece]:
    """The pieces of a cleaned page."""
    return list(_pieces(partition_html(text=page.html, languages=_NO_DETECTION)))


def markdown_pieces(text: str) -> tuple[list[Piece], str | None]:
    """The pieces of a Markdown text, and its first heading of level 1. Its HTML is cleaned like a page's."""
    cleaned = _CleanedHtml()
    elements = partition_md(text=text, languages=_NO_DETECTION, extensions=[*_MARKDOWN, cleaned])
    return list(_pieces(elements)), cleaned.title


def text_pieces(text: str) -> tuple[list[Piece], str | None]:
    """The pieces of a plain text, and its first line if that reads like a title."""
    elements = partition_text(text=text, languages=_NO_DETECTION)
    headings = [_is_heading(elements, place) for place in range(len(elements))]
    pieces: list[Piece] = []
    for element, heading in zip(elements, headings, strict=True):
        if heading:
            pieces.append(Piece(BlockKind.HEADING, element.text, level=1 if not pieces else 2))
        else:
            kind = BlockKind.LIST_ITEM if isinstance(element, ListItem) else BlockKind.PARAGRAPH
            pieces.append(Piece(kind, element.text, level=1 if kind is BlockKind.LIST_ITEM else 0))
    return pieces, elements[0].text if headings and headings[0] else None


class _CleanedHtml(Extension):  # type: ignore[misc]
    """Runs Python-Markdown's result through the same cleaning as a page, and keeps its title."""

    def __init__(self) -> None:
        super().__init__()
        self.title: str | None = None

    def extendMarkdown(self, md: Markdown) -> None:
        md.postprocessors.register(_Clean(self), "clean", priority=-1)


class _Clean(Postprocessor):  # type: ignore[misc]
    def __init__(self, owner: _CleanedHtml) -> None:
        super().__init__()
        self._owner = owner

    def run(self, text: str) -> str:
        if not text.strip():
            return text
        page = html.clean(text)
        self._owner.title = page.title
        return page.html


def _pieces(elements: Iterable[Element]) -> Iterator[Piece]:
    for element in elements:
        page = element.metadata.page_number
        depth = element.metadata.category_depth or 0
        match element:
            case Title():
                yield Piece(BlockKind.HEADING, element.text.rstrip("¶ "), depth + 1, page)
            case Table() if element.metadata.text_as_html:
                yield from html.table_pieces(element.metadata.text_as_html, page)
            case ListItem():
                yield Piece(BlockKind.LIST_ITEM, element.text, max(depth, 1), page)
            case CodeSnippet():
                yield Piece(BlockKind.CODE, element.text.strip("\n"), page=page)
            case Image():
                if len(element.text.split()) >= _TELLING_ALT_WORDS:
                    yield Piece(BlockKind.PARAGRAPH, element.text, page=page)
            case _:
                yield Piece(BlockKind.PARAGRAPH, element.text, page=page)


def _is_heading(elements: Sequence[Element], place: int) -> bool:
    """Without a trained model unstructured calls most short lines titles: believe it only where the rest agrees."""
    element = elements[place]
    text = element.text.strip()
    if not isinstance(element, Title) or len(text.split()) > _TITLE_WORDS or "\n" in text:
        return False
    followed = place + 1 < len(elements) and not isinstance(elements[place + 1], Title)
    starts_like_one = text[0].isupper() or text[0].isdecimal()
    return starts_like_one and text[-1].isalnum() and (followed or place == 0) and len(elements) > 1
