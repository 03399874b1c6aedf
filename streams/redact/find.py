"""Everything that looks like personal data in a document, found in the parser's process beside parsing it."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from schemas.redaction import Kind
from streams.core.blocks import ParsedDocument
from streams.core.private import private_findings
from streams.core.redaction import Finding, Findings, Search, Sighted
from streams.redact.screens import plain

if TYPE_CHECKING:
    from streams.redact.names import Names
    from streams.redact.recognisers import Recognisers

_WITHOUT_PATTERN = frozenset({Kind.PERSON, Kind.PRIVATE})


def sighted(document: ParsedDocument, search: Search) -> Sighted:
    """The document with what was found in its text, its own title and the sides."""
    title, *sides = (_found(text, search) for text in (document.title or "", *search.sides))
    return Sighted(document, _found(document.text, search), title, tuple(sides))


def warm_up(kinds: tuple[Kind, ...]) -> None:
    """Import and build what looking for these kinds needs, before the process gets its memory limit."""
    search = Search(kinds=kinds)
    _found("Jane Roe, jane@example.com, +49 30 901820, 10.0.0.1", search)


def _found(text: str, search: Search) -> Findings:
    if not text.strip():
        return ()
    return tuple(_findings(text, search))


def _findings(text: str, search: Search) -> Iterator[Finding]:
    if search.private:
        yield from private_findings(text, search.private)
    simple = plain(text)
    for kind in search.kinds:
        if kind not in _WITHOUT_PATTERN:
            yield from _recognisers().find(kind, simple)
    if Kind.PERSON in search.kinds:
        yield from _names().find(simple)


@cache
def _recognisers() -> "Recognisers":
    from streams.redact.recognisers import Recognisers

    return Recognisers()


@cache
def _names() -> "Names":
    from streams.redact.names import Names

    return Names()
