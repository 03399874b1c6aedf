"""Markdown as HTML, by markdown-it (CommonMark with GitHub's tables), without its front matter. The one module that
knows it.
"""

import re
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r"""^title:[ \t]*(["']?)(.+?)\1[ \t]*$""", re.MULTILINE)
_LANGUAGE = re.compile(r"""^lang(?:uage)?:[ \t]*["']?([A-Za-z-]{2,12})["']?[ \t]*$""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """A Markdown text without its front matter, and what that said."""

    text: str
    title: str | None
    language: str | None


def source(text: str) -> Source:
    """Take the front matter off."""
    title = language = None
    if front := _FRONT_MATTER.match(text):
        title = found[2] if (found := _TITLE.search(front[1])) else None
        language = found[1].partition("-")[0].lower() if (found := _LANGUAGE.search(front[1])) else None
        text = text[front.end() :]
    return Source(text, title, language)


def html(text: str) -> str:
    """The text as a fragment of HTML; HTML within it is left as it is."""
    page: str = _parser().render(text)
    return page


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])
