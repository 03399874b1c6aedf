"""Permissions in motion: what a caller may not read leaves by no way, while documents and their acls change."""

import random
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from urllib.parse import quote

import orjson
import pytest

from cli.http import RefusedError, request
from serving.auth import issue_token
from serving.caller import HISTORY, QUERY
from tests.acceptance.installation import Installation
from tests.acceptance.permissions import MARK, PUBLIC, Ledger, Reader, Stated, Subject

READERS = (
    Reader("aurora", "ada", ()),
    Reader("aurora", "bob", ("sales",)),
    Reader("aurora", "cleo", ("support", "night shift")),
    Reader("aurora", "dan", ("sales", "support")),
    Reader("harbor", "ada", ("sales",)),
    Reader("harbor", "bob", ("support", "night shift")),
)
ACLS: tuple[tuple[str, ...], ...] = (
    (),
    (PUBLIC,),
    ("sales",),
    ("support",),
    ("sales", "support"),
    ("user:ada",),
    ("night shift", "user:bob"),
)
SOURCES = (("aurora", "helpdesk", (PUBLIC,)), ("aurora", "inventory", ("sales", "support")),
           ("harbor", "notices", (PUBLIC,)))  # fmt: skip
DOCUMENTS = 5
"""Of each source."""
CHANGES = 40
"""Of each source."""
QUESTION = "How many crates of barley does the depot hold?"
ASKING = 3


@dataclass
class Source:
    """One source's system: it changes its documents one event after the other and waits until each is answerable."""

    installation: Installation
    ledger: Ledger
    name: str
    tenant: str
    stated: bool

    def run(self, subjects: Sequence[Subject]) -> None:
        dice = random.Random(self.name)
        numbers = count(1)
        for _ in range(CHANGES):
            self._change(dice, dice.choice(subjects), next(numbers))

    def _change(self, dice: random.Random, subject: Subject, number: int) -> None:
        before, what = subject.states[-1], dice.random()
        if before.mark is None or what < 0.35:
            self._write(dice, subject, before, number)
        elif what < 0.5:
            self._post({"op": "delete", "doc_id": subject.doc_id}, self.ledger.post(subject, None, before.acl), number)
        else:
            acl = dice.choice(ACLS)
            state = self.ledger.post(subject, before.mark, acl)
            self._post({"op": "acl", "doc_id": subject.doc_id, "acl": [*acl]}, state, number)

    def _write(self, dice: random.Random, subject: Subject, before: Stated, number: int) -> None:
        """A new edition, with an acl or without one; who had read it as a whole finds it as a whole."""
        mark = f"mk{dice.randrange(16**12):012x}"
        acl = dice.choice((None, *ACLS))
        state = self.ledger.post(subject, mark, before.acl if acl is None else acl)
        event: dict[str, object] = {
            "op": "upsert",
            "doc_id": subject.doc_id,
            "title": f"Depot {mark}",
            "body": f"The depot {mark} holds {number} crates of barley.\n\nIts keeper {mark} counts them at night.",
        }
        self._post(event if acl is None else {**event, "acl": [*acl]}, state, number)

    def _post(self, event: dict[str, object], state: Stated, number: int) -> None:
        tokens = self.installation.post(self.name, {**event, "version": number} if self.stated else event)
        while not self._is_answerable(tokens):
            pass
        state.seen = time.monotonic()

    def _is_answerable(self, tokens: tuple[str, ...]) -> bool:
        """Wait for it, as long as one request may."""
        body = {"question": QUESTION, "at_least": tokens, "wait_ms": 10_000}
        headers = self.installation.bearer(tenant=self.tenant)
        refusal = request("POST", self.installation.api("/v1/search"), body, headers)["refusal"]
        return not (isinstance(refusal, dict) and refusal["reason"] == "not_yet_indexed")


@dataclass
class Asking:
    """Somebody who asks all the time, in every way there is, and judges what comes back."""

    installation: Installation
    ledger: Ledger
    seed: int
    faults: list[str]
    asked: int = 0
    cached: int = 0

    def run(self, stop: threading.Event) -> None:
        dice = random.Random(self.seed)
        ways = (self._search, self._query, self._ask_openly, self._ask_openly, self._document)
        while not stop.is_set():
            self.judge(dice.choice(READERS), dice.choice(self.ledger.subjects), dice.choice(ways))

    def judge(self, reader: Reader, subject: Subject, way: "Way") -> None:
        """Ask once. A response that must show the document and does not is as wrong as one that shows too much."""
        begin = time.monotonic()
        response, complete = way(reader, subject)
        end = time.monotonic()
        self.asked += 1
        self.cached += '"cached":"exact"' in response
        self.faults += self.ledger.leaks(reader, response, begin, end)
        if complete and reader.tenant == subject.tenant and self.ledger.lost(reader, subject, response, begin, end):
            self.faults.append(f"{reader} misses {subject.source}/{subject.doc_id} in {way.__name__}")

    def check_all(self) -> None:
        """Every reader, every document, now that nothing changes any more."""
        for reader in READERS:
            for subject in self.ledger.subjects:
                for way in (self._search, self._document):
                    self.judge(reader, subject, way)

    def _search(self, reader: Reader, subject: Subject) -> tuple[str, bool]:
        return self._call(reader, "/v1/search", {"question": QUESTION, "filters": _only(subject)}), True

    def _query(self, reader: Reader, subject: Subject) -> tuple[str, bool]:
        body = {"question": QUESTION, "filters": _only(subject), "debug": True}
        return self._call(reader, "/v1/query", body), True

    def _ask_openly(self, reader: Reader, _subject: Subject) -> tuple[str, bool]:
        return self._call(reader, "/v1/query", {"question": QUESTION, "top_k": 50}), False

    def _document(self, reader: Reader, subject: Subject) -> tuple[str, bool]:
        return self._call(reader, f"/v1/documents/{subject.source}/{quote(subject.doc_id, safe='')}?text=true"), True

    def _call(self, reader: Reader, path: str, body: object | None = None) -> str:
        settings = self.installation.settings
        token = issue_token(settings, reader.tenant, reader.subject, reader.groups, (QUERY,))
        headers = {"Authorization": f"Bearer {token}"}
        try:
            found = request("GET" if body is None else "POST", self.installation.api(path), body, headers)
        except RefusedError as error:
            return orjson.dumps(dict(error.problem)).decode()
        return orjson.dumps(dict(found)).decode()


Way = Callable[[Reader, Subject], tuple[str, bool]]


def _only(subject: Subject) -> Mapping[str, str]:
    return {"source": subject.source, "doc_id": subject.doc_id}


@pytest.fixture(scope="module")
def asked(installation: Installation) -> tuple[Installation, Ledger, Asking]:
    """Three sources change their documents while several people ask; afterwards everything is asked once more."""
    subjects = [
        Subject(tenant, source, f"depots/{number}", acl)
        for tenant, source, acl in SOURCES
        for number in range(DOCUMENTS)
    ]
    ledger, stop = Ledger(subjects), threading.Event()
    people = [Asking(installation, ledger, seed, []) for seed in range(ASKING)]
    with ThreadPoolExecutor(len(SOURCES) + ASKING) as pool:
        asking = [pool.submit(each.run, stop) for each in people]
        changing = [
            pool.submit(
                Source(installation, ledger, source, tenant, source == "inventory").run,
                [subject for subject in subjects if subject.source == source],
            )
            for tenant, source, _ in SOURCES
        ]
        try:
            for each in changing:
                each.result()
        finally:
            stop.set()
        for each in asking:
            each.result()
    last = Asking(installation, ledger, 0, [fault for each in people for fault in each.faults])
    last.asked, last.cached = sum(each.asked for each in people), sum(each.cached for each in people)
    last.check_all()
    return installation, ledger, last


def test_nothing_forbidden_is_shown_and_nothing_permitted_is_lost(asked: tuple[Installation, Ledger, Asking]) -> None:
    _, ledger, asking = asked
    assert not asking.faults, [*dict.fromkeys(asking.faults)]
    assert asking.asked > len(READERS) * len(ledger.subjects)
    assert asking.cached, "no answer came from the cache, so none of those was judged"


def test_no_mark_reaches_a_log_or_a_metric(asked: tuple[Installation, Ledger, Asking]) -> None:
    installation, ledger, _ = asked
    written = installation.logs() + "".join(metrics(installation))
    assert "request" in written
    assert [mark for mark in ledger.marks() if mark in written] == []


def test_the_audit_trail_of_a_forbidden_document_is_empty_for_those_without_it(
    asked: tuple[Installation, Ledger, Asking],
) -> None:
    installation, ledger, _ = asked
    for reader in READERS:
        for subject in ledger.subjects:
            found = trail(installation, reader, subject)
            acl = subject.states[-1].acl
            assert not found or reader.tenant == subject.tenant
            assert not found or reader.principals & {*acl}, f"{reader} read the trail of {subject.doc_id}, for {acl}"
            written_for = {state.mark for state in subject.states if reader.principals & {*state.acl}}
            assert {*MARK.findall(found)} <= written_for, f"{reader} read of {subject.doc_id} what was not for them"


def trail(installation: Installation, reader: Reader, subject: Subject) -> str:
    """The document's versions as somebody with the history scope gets them; empty where there is none for them."""
    token = issue_token(installation.settings, reader.tenant, reader.subject, reader.groups, (QUERY, HISTORY))
    path = f"/v1/documents/{subject.source}/{quote(subject.doc_id, safe='')}/versions"
    try:
        found = request("GET", installation.api(path), headers={"Authorization": f"Bearer {token}"})
    except RefusedError as error:
        return "" if error.status == 404 else str(error)
    return orjson.dumps(dict(found)).decode()


def metrics(installation: Installation) -> list[str]:
    """What every process with an address says of itself."""
    found = []
    for unit in installation.status().units:
        if unit.kind == "service" and unit.address:
            with urllib.request.urlopen(f"{unit.address}/metrics", timeout=10) as response:
                found.append(response.read().decode())
    assert len(found) >= 4
    return found
