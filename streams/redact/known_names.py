"""First and last names of sixty languages, from Faker's lists. The one module that knows Faker.

A list knows the names a small model has not seen, and costs nothing; it does not know that Lyon is a city, so only two
of its words side by side, or one with an initial, are a name.
"""

import pkgutil
import re
from collections.abc import Collection, Iterator
from importlib import import_module

from faker.providers import person

from streams.redact.rules import NO_NAMES, Span

# Looked at from every word on: of "Ask Susan E. Moore" the first pair is none.
_PAIR = re.compile(
    r"(?<![\w@./-])(?=(?P<first>[^\W\d_a-z][^\W\d_]+(?:-[^\W\d_]+)?)"
    r"(?P<middle>(?:[ \t][^\W\d_a-z]\.){0,2})[ \t]"
    r"(?P<last>[^\W\d_a-z](?:['’]?[^\W\d_])+(?:-[^\W\d_]+)?)(?![\w@]|\.\w))"
)
_FIRST, _LAST = "first_name", "last_name"


class KnownNames:
    """The lists in memory: some 50,000 short words."""

    def __init__(self) -> None:
        self._first: set[str] = set()
        self._last: set[str] = set()
        for module in pkgutil.iter_modules(person.__path__):
            if module.ispkg:
                self._take(import_module(f"{person.__name__}.{module.name}").Provider)

    def _take(self, provider: type) -> None:
        for attribute in dir(provider):
            listed = getattr(provider, attribute)
            target = self._first if _FIRST in attribute else self._last if _LAST in attribute else None
            if target is not None and isinstance(listed, Collection):
                target.update(name for name in listed if isinstance(name, str) and name.casefold() not in NO_NAMES)

    def __contains__(self, word: object) -> bool:
        return word in self._first or word in self._last

    def find(self, text: str) -> Iterator[Span]:
        """First and last name side by side; with an initial between them one known word is enough."""
        for match in _PAIR.finditer(text):
            first, last = match["first"], match["last"]
            both = first in self._first and last in self
            if both or (match["middle"] and (first in self._first or last in self._last)):
                yield match.start("first"), match.end("last")
