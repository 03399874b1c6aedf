"""Markdown is read from its tokens as it is read from the HTML it makes."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.corpus import documents
from benchmarks.personal_texts import personal_texts
from streams.parse.document import read_document
from streams.parse.markdown import html, read, source
from streams.parse.reading import Reading

_ROOT = Path(__file__).parents[3]
_FRAGMENTS = (
    "a", "B c", "*x*", "**y z**", "`co  de`", "[l](u)", "[ref]", "[a][ref]", "~~s~~", "~t~", "_u_", "a_b_c", "__v__",
    "\\*", "&amp;", "&nbsp;", "&#10;", "& b", "<http://x.y>", "< 3", "• dot", "\\• y", "- dash", "· m", "", "¶", "1",
    "é ü", "中文。", "# H", "## h2 #", "> q", ">", "- i", "-", "* j", "1. k", "1.", "7) m", "0. z", "1234567. big",
    "```py\ncode\n```", "```\n\n\n```", "```", "~~~", "    indented", "---", "***", "===", "| a | b |\n|---|---|\n| c |"
    " *d*e |", "| a |\n|---|\n| b |", "| | |\n|-|-|\n| x | y |", "|a|b|\n|-|-|", "|a|b|\n|-|-|\n|c&#10;d|e `f`g|",
    "[ref]: /u 't'", "\t", "two  ", "back\\", "o'brien <a@b.io>", "--", "\u2028x", "\u00a0", "http://a_b.c/_d_", "!",
    "[x] y", "]( z", "[10:20] Who: *hm*", "> - q\n>   > d", "- > b", "1. > b", "- # h", "1. # h", "- ```\n  c\n  ```",
    "1. ```\n   c\n   ```\n   after", "- a\n  # h\n  b", "1. a\n\n   b", "- a\n\n- b", "1. &nbsp;", "- &nbsp;", "- - x",
    "1. 1. x", "* a\n  - b\n    1. c", "- \\- x", "- [ ] do", "<b>w</b>", "![i](u)",
)  # fmt: skip
_BEFORE = ("", "", "", "", "> ", "- ", "  ", "   ", "    ", "1. ")
_BEHIND = (" ", "\n", "\n", "\n\n", "\n\n", "", "\n  ")


def by_tokens(text: str) -> Reading | None:
    read_document(b"made ready", "text/plain", "a.txt")
    from streams.parse.partition import without_bullet

    return read(text, without_bullet)


def by_html(text: str) -> Reading:
    from streams.parse.html import clean
    from streams.parse.partition import html_pieces

    page = clean(html(text))
    return Reading(html_pieces(page), page.title)


def mixed(seed: int) -> Iterator[str]:
    chance = random.Random(seed)
    for _ in range(150):
        parts = (
            chance.choice(_BEFORE) + chance.choice(_FRAGMENTS) + chance.choice(_BEHIND)
            for _ in range(chance.randint(1, 9))
        )
        yield "".join(parts)


def pages() -> Iterator[str]:
    for folder in ("docs", "examples"):
        for path in sorted((_ROOT / folder).rglob("*.md")):
            yield source(path.read_text()).text


def generated() -> Iterator[str]:
    yield "\n\n".join(text.text for text in personal_texts(100, 5))
    yield from (document.body for document in documents(40))


def test_pages_and_generated_texts_are_read_as_their_html_is() -> None:
    texts = [*pages(), *generated()]
    by_token = [by_tokens(text) for text in texts]
    assert sum(reading is not None for reading in by_token) > 0.8 * len(texts)
    for text, reading in zip(texts, by_token, strict=True):
        assert reading in (None, by_html(text))


@pytest.mark.parametrize("seed", range(2))
def test_whatever_stands_beside_whatever_is_read_as_its_html_is(seed: int) -> None:
    for text in mixed(seed):
        reading = by_tokens(text) if text.strip() else None
        assert reading is None or reading == by_html(text), text


@pytest.mark.parametrize(
    "text",
    [
        "a <b>c</b>",
        "<div>\nx\n</div>",
        "![alt of four words](u)",
        "a\x80b",
        "```a\u2003toc\nx\n```",
        "*a " * 99 + "b* " * 99,
    ],
)
def test_what_only_a_reader_of_html_understands_is_left_to_it(text: str) -> None:
    assert by_tokens(text) is None
