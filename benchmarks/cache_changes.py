"""A small company whose fees change all the time: its documents, who may read them, what is asked and what is changed.

Everything follows from the seed. Groups and documents are drawn by Zipf's law, as askers and editors are in practice:
few questions are asked most of the time.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from benchmarks.corpus import subject

GROUPS = ("sales", "support", "finance", "legal", "board")
AUDIENCES: tuple[tuple[str, ...], ...] = (
    *((group,) for group in GROUPS),
    ("sales", "support"),
    ("finance", "legal"),
    (),
)
"""Groups of each asker; everyone also sees what is public."""

_PUBLIC_SHARE = 0.1
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)

Event = dict[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of one of the askers: what an answer is kept by."""

    audience: int
    document: int

    @property
    def text(self) -> str:
        """The question."""
        return f"What is the annual fee of {subject(self.document)}?"


def questions(documents: int, seed: int) -> Iterator[Asked]:
    """Questions without end; the n-th most popular is asked 1/n as often as the first."""
    chance = random.Random(seed)
    known = [Asked(audience, document) for audience in range(len(AUDIENCES)) for document in range(documents)]
    chance.shuffle(known)
    weights = _zipf(len(known))
    while True:
        yield from chance.choices(known, cum_weights=weights, k=1000)


def _zipf(count: int) -> Sequence[float]:
    return list(accumulate(1 / rank for rank in range(1, count + 1)))


@dataclass
class Company:
    """What is there now, and the next change of it."""

    documents: int
    seed: int
    run: str
    edition: int = 0
    present: set[int] = field(default_factory=set)
    newer: set[int] = field(default_factory=set)
    """Those that a document of a later date supersedes."""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def founding(self) -> list[Event]:
        """Every document, with its acl."""
        self.present |= set(range(self.documents))
        return [self._sheet(number, self._acl()) for number in range(self.documents)]

    def closing(self) -> list[Event]:
        """Delete everything."""
        return [_delete(_sheet_id(number)) for number in sorted(self.present)] + [
            _delete(_newer_id(number)) for number in sorted(self.newer)
        ]

    def change(self) -> tuple[str, Event]:
        """What is done next, and its event: half of it edits."""
        number = min(int(self._chance.paretovariate(0.8)) - 1, self.documents - 1)
        if number not in self.present:
            self.present.add(number)
            return "recreate", self._sheet(number, self._acl())
        match self._chance.choices(("edit", "delete", "supersede", "acl"), (50, 15, 15, 20))[0]:
            case "edit":
                return "edit", self._sheet(number, None)
            case "delete":
                self.present.remove(number)
                return "delete", _delete(_sheet_id(number))
            case "acl":
                return "acl", {"op": "acl", "doc_id": _sheet_id(number), "acl": self._acl()}
            case _:
                return self._supersede(number)

    def _supersede(self, number: int) -> tuple[str, Event]:
        if number in self.newer:
            self.newer.remove(number)
            return "withdraw", _delete(_newer_id(number))
        self.newer.add(number)
        return "supersede", self._sheet(number, self._acl(), is_newer=True)

    def _acl(self) -> list[str]:
        return ["public"] if self._chance.random() < _PUBLIC_SHARE else [self._chance.choice(GROUPS)]

    def _sheet(self, number: int, acl: list[str] | None, *, is_newer: bool = False) -> Event:
        self.edition += 1
        name, fee = subject(number), self._chance.randrange(1000, 10_000)
        since = _FIRST_DAY + timedelta(days=self.edition if is_newer else 0)
        event: Event = {
            "op": "upsert",
            "doc_id": _newer_id(number) if is_newer else _sheet_id(number),
            "title": f"{name}: fees",
            "content_type": "text/markdown",
            "body": f"# {name}: fees\n\nThe annual fee of {name} is {fee} EUR, edition {self.run}-{self.edition}.\n",
            "event_time": since.isoformat(),
        }
        return event if acl is None else event | {"acl": acl}


def _delete(doc_id: str) -> Event:
    return {"op": "delete", "doc_id": doc_id}


def _sheet_id(number: int) -> str:
    return f"fees/{number:04d}"


def _newer_id(number: int) -> str:
    return f"fees/{number:04d}/newer"
