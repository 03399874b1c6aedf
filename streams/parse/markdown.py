"""Markdown as people write it, made into Markdown as Python-Markdown reads it. Pure text to text.

Front matter is taken off. A list right below a paragraph and a fence inside a list item, both plain in CommonMark, get
the blank line or the indentation that Python-Markdown wants.
"""

import re
from dataclasses import dataclass

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r"""^title:[ \t]*(["']?)(.+?)\1[ \t]*$""", re.MULTILINE)
_LANGUAGE = re.compile(r"""^lang(?:uage)?:[ \t]*["']?([A-Za-z-]{2,12})["']?[ \t]*$""", re.MULTILINE)
_FENCE = re.compile(r"^( *)(`{3,}|~{3,})")
# CommonMark 0.31, 5.3: a bullet, or a number if it is 1, may interrupt a paragraph.
_ITEM = re.compile(r"^ {0,3}(?:[-*+]|1[.)])[ \t]+\S")
_IN_LIST = re.compile(r"^(?: {2,}|\t| {0,3}(?:[-*+]|\d{1,9}[.)])[ \t])")


@dataclass(frozen=True, slots=True)
class Source:
    """A Markdown text without its front matter, and what that said."""

    text: str
    title: str | None
    language: str | None


def source(text: str) -> Source:
    """Take the front matter off and adjust what Python-Markdown reads otherwise."""
    title = language = None
    if front := _FRONT_MATTER.match(text):
        title = found[2] if (found := _TITLE.search(front[1])) else None
        language = found[1].partition("-")[0].lower() if (found := _LANGUAGE.search(front[1])) else None
        text = text[front.end() :]
    return Source("\n".join(_adjusted(text.split("\n"))), title, language)


def _adjusted(lines: list[str]) -> list[str]:
    adjusted: list[str] = []
    fence = ""
    indent = 0
    for line in lines:
        if fence:
            stripped = line.strip()
            closes = stripped.startswith(fence) and not stripped.strip(fence[0])
            adjusted.append(fence if closes else _dedented(line, indent))
            fence = "" if closes else fence
        elif opening := _FENCE.match(line):
            indent, fence = len(opening[1]), opening[2]
            adjusted += ["", line[indent:]] if indent else [line]
        else:
            before = adjusted[-1] if adjusted else ""
            if _ITEM.match(line) and before.strip() and not _IN_LIST.match(before):
                adjusted.append("")
            adjusted.append(line)
    return adjusted


def _dedented(line: str, indent: int) -> str:
    return line[indent:] if not line[:indent].strip() else line.lstrip()
