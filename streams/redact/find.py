"""Everything that looks like personal data in a document, found in the parser's process beside parsing it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from schemas.redaction import Kind
from streams.core.blocks import BlockKind, ParsedDocument
from streams.core.echoes import echoes
from streams.core.private import private_findings
from streams.core.redaction import Finding, Search, Sighted
from streams.redact.rules import NO_NAMES
from streams.redact.screens import plain

if TYPE_CHECKING:
    from streams.redact.names import Names
    from streams.redact.recognisers import Recognisers

_URL = re.compile(r"[a-z][a-z0-9+.-]{0,20}://")
_CELL_END = " | "
_WORD = re.compile(r"[^\W\d_]+")
_MOST_WORDS = 1
_WITHOUT_PATTERN = frozenset({Kind.PERSON, Kind.PRIVATE})


def sighted(document: ParsedDocument, search: Search) -> Sighted:
    """The document with what was found in its text, its own title, those of its parts and the sides."""
    search = replace(search, private=tuple(map(plain, search.private)))
    titles = (document.title or "", *(part.title for part in document.parts))
    texts = [plain(text) for text in (document.text, *titles, *search.sides)]
    found = [list(_findings(text, search)) for text in texts]
    found[0] += _in_columns(document, texts[0], search.kinds)
    if Kind.PERSON in search.kinds:
        _add_names(texts, found)
    in_text, in_title, *others = (
        tuple(first + more) for first, more in zip(found, echoes(texts, found, NO_NAMES), strict=True)
    )
    parts = len(document.parts)
    return Sighted(document, in_text, in_title, sides=tuple(others[parts:]), parts=tuple(others[:parts]))


def warm_up(kinds: tuple[Kind, ...]) -> None:
    """Import and build what looking for these kinds needs, before the process gets its memory limit."""
    search = Search(kinds=kinds)
    document = ParsedDocument(None, None, "text", "Jane Roe, jane@example.com, +49 30 901820, 10.0.0.1", ())
    sighted(document, search)
    if Kind.PHONE in kinds:
        from streams.redact import dialling

        dialling.prepare()


def _findings(text: str, search: Search) -> Iterator[Finding]:
    """Findings in a plain text, of plain declared values."""
    if not text.strip():
        return
    yield from private_findings(text, search.private)
    for kind in search.kinds:
        if kind not in _WITHOUT_PATTERN:
            yield from _recognisers().find(kind, text)


def _in_columns(document: ParsedDocument, text: str, kinds: Sequence[Kind]) -> Iterator[Finding]:
    """Findings in cells that nothing tells but the name of their column. `text` is the document's, plain."""
    kinds = [kind for kind in kinds if kind not in _WITHOUT_PATTERN]
    for block in document.blocks:
        if block.kind is not BlockKind.TABLE or not block.header_lines:
            continue
        lines = text[block.start : block.end].split("\n")
        # As words: `customer_ssn`.
        names = lines[block.header_lines - 1].replace("_", " ").split(_CELL_END)
        told = {
            number: [kind for kind in kinds if _recognisers().tells(kind, name)] for number, name in enumerate(names)
        }
        if not any(told.values()):
            continue
        place = block.start + sum(len(line) + 1 for line in lines[: block.header_lines])
        for line in lines[block.header_lines :]:
            for number, cell in enumerate(line.split(_CELL_END)):
                # A cell of prose (`text`, `contact`) says itself what its numbers are.
                for kind in told.get(number, ()) if len(_WORD.findall(cell)) <= _MOST_WORDS else ():
                    yield from _in_cell(kind, f"{names[number]}: ", cell, place)
                place += len(cell) + len(_CELL_END)
            # A line's end is shorter than a cell's.
            place += 1 - len(_CELL_END)


def _in_cell(kind: Kind, lead: str, cell: str, place: int) -> Iterator[Finding]:
    shift = place - len(lead)
    for finding in _recognisers().find(kind, lead + cell):
        if finding.start >= len(lead):
            yield replace(finding, start=finding.start + shift, end=finding.end + shift)


def _add_names(texts: Sequence[str], found: Sequence[list[Finding]]) -> None:
    # A model sees names in any path; one that the document gave away is looked for in a url as well.
    for findings, names in zip(found, _names().find(["" if _URL.match(text) else text for text in texts]), strict=True):
        findings += names


@cache
def _recognisers() -> "Recognisers":
    from streams.redact.recognisers import Recognisers

    return Recognisers()


@cache
def _names() -> "Names":
    from streams.redact.names import Names

    return Names()
