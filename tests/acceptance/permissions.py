"""Who may read what, and when: the record that responses given during changes are judged by.

Every edition of a document carries a mark that occurs nowhere else. A mark in a response is a leak if no state that
shows it to the caller can have been in force at any moment between request and response; a missing one is a loss if
every state that can have been in force shows it.
"""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

MARK = re.compile(r"mk[0-9a-f]{12}")
PUBLIC = "public"


@dataclass(frozen=True)
class Reader:
    """Somebody of a tenant."""

    tenant: str
    subject: str
    groups: tuple[str, ...]

    @property
    def principals(self) -> frozenset[str]:
        return frozenset({*self.groups, f"user:{self.subject}", PUBLIC})


@dataclass
class Stated:
    """A state of a document. In force at the earliest when it was posted, at the latest when it was seen."""

    mark: str | None
    """None: deleted, or not there yet."""
    acl: tuple[str, ...]
    posted: float
    seen: float = float("inf")

    def shows_to(self, reader: Reader) -> str | None:
        """The mark, for somebody who may read it."""
        return self.mark if reader.principals & {*self.acl} else None


@dataclass
class Subject:
    """A document and all its states, oldest first."""

    tenant: str
    source: str
    doc_id: str
    default_acl: tuple[str, ...]
    states: list[Stated] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states.append(Stated(None, self.default_acl, 0.0, 0.0))

    def possible(self, begin: float, end: float) -> Iterator[Stated]:
        """The states that can have been in force at some moment of [begin, end]."""
        states = list(self.states)
        for place, state in enumerate(states):
            until = states[place + 1].seen if place + 1 < len(states) else float("inf")
            if state.posted <= end and until >= begin:
                yield state


class Ledger:
    """All documents, written by those who change them and read by those who ask."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self.subjects = subjects
        self._lock = threading.Lock()
        self._of_mark: dict[str, Subject] = {}

    def post(self, subject: Subject, mark: str | None, acl: tuple[str, ...]) -> Stated:
        """Note a state before it is posted."""
        with self._lock:
            stated = Stated(mark, acl, time.monotonic())
            subject.states.append(stated)
            if mark is not None:
                self._of_mark[mark] = subject
            return stated

    def marks(self) -> list[str]:
        """Every mark that was ever posted."""
        with self._lock:
            return list(self._of_mark)

    def leaks(self, reader: Reader, response: str, begin: float, end: float) -> list[str]:
        """Marks in a response that its reader cannot have been shown rightly."""
        found = []
        for mark in {*MARK.findall(response)}:
            with self._lock:
                subject = self._of_mark[mark]
                states = list(subject.possible(begin, end))
            shown = subject.tenant == reader.tenant and any(state.shows_to(reader) == mark for state in states)
            if not shown:
                found.append(f"{reader} was shown {mark} of {subject.source}/{subject.doc_id}")
        return found

    def lost(self, reader: Reader, subject: Subject, response: str, begin: float, end: float) -> bool:
        """Whether a response about this document lacks what its reader may read throughout."""
        with self._lock:
            wanted = {state.shows_to(reader) for state in subject.possible(begin, end)}
        (mark,) = wanted if len(wanted) == 1 else (None,)
        return mark is not None and mark not in response
