"""Systems that write without rest, and remember what was acknowledged: batches of signed events, and rows of a table.

Most events are cheap: texts come from a small stock, so that vectors are reused and documents go back and forth
between the same editions; many events change permissions or delete. Some are late, repeated, or cannot be read.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count

import orjson
import psycopg

from connectors.webhook.client import post_signed
from schemas.errors import TransientError
from schemas.identity import Document
from schemas.sources import row_doc_id
from tests.acceptance.ledger import GROUPS, Expected, upsert
from tests.soak.scene import TABLE, Scene

_STOCK = 40
POISON = "%PDF-1.7\n%no such object\n%%EOF"
"""Cannot be read, and becomes a dead letter."""
_PARTS = (1, 1, 1, 2, 5)
LAST_ROW = 1_000_000
"""Key of the row that is written when nothing else will be."""
Json = dict[str, object]


def edition_of(dice: random.Random, number: int) -> tuple[str, int]:
    """An edition and how many parts it has; one in twenty was never written before."""
    if dice.random() < 0.05:
        return f"novel{number:06d}", 1
    stock = dice.randrange(_STOCK)
    return f"stock{stock:02d}", _PARTS[stock % len(_PARTS)]


@dataclass
class Writes:
    """What a writer has to tell: its documents as last acknowledged, and how many events that took."""

    tenant: str
    source: str
    expected: dict[str, Expected] = field(default_factory=dict)
    acknowledged: int = 0
    rests: threading.Event = field(default_factory=threading.Event)
    """Set while too much of what was written waits."""

    def documents(self) -> Iterator[tuple[Document, Expected]]:
        """Every document and what is expected of it."""
        for doc_id, expected in list(self.expected.items()):
            yield Document.checked(self.tenant, self.source, doc_id), expected


@dataclass
class WebhookWriter(Writes):
    """Posts batches of events, each until it is acknowledged, and one batch after the other."""

    scene: Scene | None = None
    seed: int = 0
    documents_most: int = 100
    batch: int = 8
    pause: float = 0.4
    numbered: bool = False
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    actors: list[str] = field(default_factory=list)
    """Of every acknowledged event: no two are the same."""

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop. Raises PermanentError when the receiver refuses."""
        dice = random.Random(f"{self.seed}:{self.source}")
        while not stop.is_set():
            if not self.rests.is_set():
                self._post(dice)
            stop.wait(self.pause * 2 * dice.random())

    def all_documents(self) -> list[Document]:
        """Every document it may ever write."""
        return [
            Document.checked(self.tenant, self.source, f"{self.source}/{number:04d}")
            for number in range(self.documents_most)
        ]

    def _post(self, dice: random.Random) -> None:
        states = dict(self.expected)
        events = [self._event(dice, next(self.numbers), states) for _ in range(dice.randint(1, 2 * self.batch))]
        body, message = orjson.dumps({"events": events}), f"msg_{self.source}_{next(self.numbers)}"
        assert self.scene is not None
        while True:
            try:
                post_signed(self.scene.installation.settings, self.source, body, message_id=message)
                break
            except TransientError:
                time.sleep(0.2)
        self.expected.update(states)
        self.acknowledged += len(events)
        self.actors += [str(event["actor"]) for event in events]

    def _event(self, dice: random.Random, number: int, states: dict[str, Expected]) -> Json:
        """The next event; `states` with what becomes of it."""
        doc_id = f"{self.source}/{dice.randrange(self.documents_most):04d}"
        before = states.get(doc_id, Expected(None, 0, ("public",)))
        stated: Json = {"actor": f"{self.source}:{number}"} | ({"version": number} if self.numbered else {})
        what = dice.random()
        if self.numbered and before.edition is not None and what < 0.04:
            return upsert(doc_id, f"late{number:05d}", 1) | stated | {"version": 0}
        if what < 0.05:
            return {"op": "upsert", "doc_id": doc_id, "content_type": "application/pdf", "body": POISON} | stated
        if what < 0.2 and before.edition is not None:
            states[doc_id] = replace(before, edition=None, parts=0)
            return {"op": "delete", "doc_id": doc_id} | stated
        if what < 0.55:
            acl = tuple(sorted(dice.sample(GROUPS, dice.choice((1, 1, 2)))))
            states[doc_id] = replace(before, acl=acl)
            return {"op": "acl", "doc_id": doc_id, "acl": list(acl)} | stated
        edition, parts = edition_of(dice, number)
        event = upsert(doc_id, edition, parts) | stated
        states[doc_id] = replace(before, edition=edition, parts=parts)
        if what < 0.65:
            states[doc_id] = replace(states[doc_id], acl=("staff",))
            event["acl"] = ["staff"]
        return event


@dataclass
class RowWriter(Writes):
    """Writes rows of the captured table, one statement a transaction; the table says in the end what is expected."""

    dsn: str = ""
    seed: int = 0
    documents_most: int = 60
    pause: float = 0.25

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop."""
        dice, numbers = random.Random(f"{self.seed}:rows"), count(1)
        while not stop.is_set():
            with suppress(psycopg.Error), psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as database:
                while not stop.wait(self.pause * 2 * dice.random()):
                    if not self.rests.is_set():
                        self._statement(database, dice, next(numbers))
                        self.acknowledged += 1
            stop.wait(0.3)
        self._end()

    def _statement(self, database: psycopg.Connection[object], dice: random.Random, number: int) -> None:
        key, what = dice.randrange(self.documents_most), dice.random()
        if what < 0.15:
            database.execute(f"DELETE FROM {TABLE} WHERE id = %s".encode(), (key,))
        elif what < 0.4:
            database.execute(f"UPDATE {TABLE} SET readers = %s WHERE id = %s".encode(), ([dice.choice(GROUPS)], key))
        else:
            edition, parts = edition_of(dice, number)
            event = upsert("", edition, parts)
            database.execute(
                f"INSERT INTO {TABLE} VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET"
                " title = excluded.title, body = excluded.body".encode(),
                (key, event["title"], event["body"], [dice.choice(GROUPS)]),
            )

    def _end(self) -> None:
        """Write the last row; what the table holds then is what is expected. It is asked until it answers."""
        while True:
            try:
                with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as database:
                    last = upsert("", "last", 1)
                    database.execute(
                        f"INSERT INTO {TABLE} VALUES (%s, %s, %s, '{{public}}') ON CONFLICT DO NOTHING".encode(),
                        (LAST_ROW, last["title"], last["body"]),
                    )
                    rows = database.execute(f"SELECT id, title, body, readers FROM {TABLE}".encode()).fetchall()
                break
            except psycopg.Error:
                time.sleep(0.5)
        self.expected = {
            row_doc_id([str(key)]): Expected(title.removeprefix("Edition "), body.count("## Part"), tuple(sorted(acl)))
            for key, title, body, acl in rows
        }
        for key in range(self.documents_most):
            self.expected.setdefault(row_doc_id([str(key)]), Expected(None, 0, ()))


def writers_of(scene: Scene, seed: int, pause: float = 0.4) -> list[WebhookWriter | RowWriter]:
    """One for each source of the scene."""

    def webhook(source: str, tenant: str, *, numbered: bool = False) -> WebhookWriter:
        return WebhookWriter(tenant, source, scene=scene, seed=seed, pause=pause, numbered=numbered)

    return [
        webhook("desk", "aurora"),
        webhook("feed", "delta"),
        webhook("stock", "orion", numbered=True),
        webhook("wire", "lyra"),
        RowWriter("aurora", TABLE, dsn=scene.dsn, seed=seed, pause=pause),
    ]
