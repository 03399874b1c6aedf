"""What sources sent and had acknowledged: writers that post events until each has its 202, whatever dies meanwhile."""

import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol, Self

from schemas.errors import TransientError
from schemas.identity import Document
from tests.acceptance.installation import Installation

GROUPS = ("public", "staff", "support")
PAUSE_SECONDS = 0.12


@dataclass(frozen=True)
class Expected:
    """The newest state of a document whose acknowledgement its writer has. `edition` None: it is deleted."""

    edition: str | None
    parts: int
    acl: tuple[str, ...]


@dataclass
class Writer:
    """One source's system: it makes, edits, deletes documents and changes who may read them, one event at a time."""

    installation: Installation
    source: str
    tenant: str
    default_acl: tuple[str, ...]
    numbered: bool = False
    """Whether events carry the source's own version; then some are sent late, and must lose."""
    expected: dict[str, Expected] = field(default_factory=dict)
    acknowledged: int = 0
    repeated: int = 0
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop. Raises PermanentError when the receiver refuses."""
        dice = random.Random(self.source)
        for number in self.numbers:
            self._write(dice, number, stop)
            if stop.wait(PAUSE_SECONDS):
                return

    def documents(self) -> Iterator[tuple[Document, Expected]]:
        """Every document and what is expected of it."""
        for doc_id, expected in self.expected.items():
            yield Document.checked(self.tenant, self.source, doc_id), expected

    def _write(self, dice: random.Random, number: int, stop: threading.Event) -> None:
        known = sorted(self.expected)
        doc_id = f"kills/{number:05d}" if not known or dice.random() < 0.25 else dice.choice(known)
        before = self.expected.get(doc_id, Expected(None, 0, self.default_acl))
        what = dice.random()
        if self.numbered and before.edition is not None and what < 0.15:
            self._post(upsert(doc_id, f"late{number:05d}", 1) | {"version": 0}, stop)
        elif before.edition is not None and what < 0.3:
            self._post(self._stated({"op": "delete", "doc_id": doc_id}, number), stop)
            self.expected[doc_id] = replace(before, edition=None, parts=0)
        elif not self.numbered and what < 0.45:
            acl = dice.choice(GROUPS)
            self._post({"op": "acl", "doc_id": doc_id, "acl": [acl]}, stop)
            self.expected[doc_id] = replace(before, acl=(acl,))
        else:
            edition, parts = f"{self.source}{number:05d}", dice.choice((1, 1, 2, 5))
            self._post(self._stated(upsert(doc_id, edition, parts), number), stop)
            self.expected[doc_id] = replace(before, edition=edition, parts=parts)

    def _stated(self, event: dict[str, object], number: int) -> dict[str, object]:
        return event | {"version": number} if self.numbered else event

    def _post(self, event: dict[str, object], stop: threading.Event) -> None:
        """Until it is acknowledged: also when told to stop, because it may be in the log already."""
        while True:
            try:
                self.installation.post(self.source, event)
                self.acknowledged += 1
                return
            except TransientError:
                self.repeated += 1
                stop.wait(0.2)


def upsert(doc_id: str, edition: str, parts: int) -> dict[str, object]:
    """A document whose every part names its edition; one heading, and so one chunk, a part."""
    sections = [
        f"## Part {part}\n\nIn edition {edition} the basin of gate {part} holds {part * 7} cubic metres of water."
        for part in range(1, parts + 1)
    ]
    body = "\n\n".join(sections)
    return {"op": "upsert", "doc_id": doc_id, "title": f"Edition {edition}", "content_type": "text/markdown",
            "body": body}  # fmt: skip


class Works(Protocol):
    """Writes until told to stop; what was begun is acknowledged then."""

    def run(self, stop: threading.Event) -> None: ...


class AtWork:
    """Writers at work, a thread each, within `with`; every event that was begun is acknowledged afterwards."""

    def __init__(self, writers: Sequence[Works]) -> None:
        self._writers = writers
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(len(writers))
        self._work: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._work = [self._pool.submit(writer.run, self._stop) for writer in self._writers]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._pool:
            for work in self._work:
                work.result(timeout=180)

    def goes_on(self) -> bool:
        """True. Raises what a writer was refused with."""
        for work in self._work:
            if work.done():
                work.result()
        return True


class Writers(AtWork):
    """The same, counted."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        super().__init__(writers)
        self._counted = writers

    def acknowledged(self) -> int:
        """How many events have their 202. Fails when a writer was refused."""
        self.goes_on()
        return sum(writer.acknowledged for writer in self._counted)
