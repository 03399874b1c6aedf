"""The index built anew from the log while sources write and people ask: a new incarnation, the switch, the switch back,
and a generation with another recipe. Each build equals what was acknowledged, and no answer is older than its token.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from index.model import IndexIdentity
from index.weaviate import open_build
from runtime.kafka import KafkaAdmin
from runtime.settings import Settings
from schemas.errors import TransientError
from schemas.identity import Document, Tenant
from schemas.topics import HIDES, mutations_topic
from streams.groups import apply_group, hides_group
from tests.acceptance.index_check import Fault, StoreKills, check_index
from tests.acceptance.installation import Installation, eventually
from tests.acceptance.ledger import Writer, Writers, upsert

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

NOBODY_KILLED = StoreKills()


@dataclass
class Asker:
    """Posts a document and at once asks what only it says, with its token: over and over, whatever is switched."""

    installation: Installation
    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            edition = f"asked{number:05d}"
            (token,) = self.installation.post("helpdesk", upsert(f"replay/{number % 7}", edition, 1))[:1]
            question = f"How many cubic metres of water does the basin of gate 1 hold in edition {edition}?"
            answer = self.installation.query(question, "staff", at_least=[token])
            while answer.refusal is not None and answer.refusal.reason == "not_yet_indexed" and not stop.is_set():
                answer = self.installation.query(question, "staff", at_least=[token])
            if stop.is_set():
                return
            if answer.refusal is not None or not any(edition in one.quote for one in answer.citations):
                self.wrong.append(f"{edition}: {answer.refusal} {[one.quote for one in answer.citations]}")
            elif answer.position is not None:
                self.answered[answer.position.incarnation + answer.position.generation] += 1
            stop.wait(0.1)


@pytest.fixture(scope="module")
def writers(installation: Installation) -> list[Writer]:
    return [
        Writer(installation, "notices", "harbor", ("public",)),
        Writer(installation, "inventory", "aurora", ("sales", "support"), numbered=True),
    ]


@contextmanager
def asking(installation: Installation) -> Iterator[Asker]:
    """Somebody asks, until the end of `with`; every answer was right."""
    one, stop = Asker(installation), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(one.run, stop)
        try:
            yield one
        finally:
            stop.set()
        work.result(timeout=60)
    assert one.wrong == []


def of_build(settings: Settings, name: str) -> Settings:
    generation, _, incarnation = name.partition("-")
    return settings.model_copy(update={"generation": generation, "incarnation": incarnation})


def settle(installation: Installation, name: str) -> None:
    """Until a build has applied everything."""
    installation.settle()
    settings = of_build(installation.settings, name)
    admin, identity = KafkaAdmin(settings), IndexIdentity(settings.generation, settings.incarnation)
    topic = mutations_topic(identity.generation)
    eventually(f"{name} has applied everything", lambda: not any(admin.lag(apply_group(identity), topic).values()))
    eventually(f"{name} has hidden everything", lambda: not any(admin.lag(hides_group(identity), HIDES).values()))


def faults(installation: Installation, writers: Sequence[Writer], name: str) -> list[Fault]:
    """What differs between a build and what was acknowledged."""
    settle(installation, name)
    found: list[Fault] = []
    for tenant in ("aurora", "harbor"):
        written = [each for writer in writers if writer.tenant == tenant for each in writer.documents()]
        settings = of_build(installation.settings, name)
        rebuilt = name != "g1-i1"
        found += asyncio.run(check_index(settings, Tenant(tenant), written, NOBODY_KILLED, is_rebuilt=rebuilt))
    return found


def answers_from(asker: Asker, name: str) -> None:
    """Wait until answers come from a build."""
    generation, _, incarnation = name.partition("-")
    before = asker.answered[incarnation + generation]
    eventually(f"answers come from {name}", lambda: asker.answered[incarnation + generation] > before + 2)


def chunks_of(installation: Installation, name: str, document: Document) -> list[str]:
    """Texts of a document in a build, in order."""

    async def read() -> list[str]:
        index = open_build(installation.settings, IndexIdentity(*name.split("-")))
        try:
            rows = (await index.document_history(document, limit=1))[0]
            chunks = await index.chunks(document.tenant, [entry.chunk_id for entry in rows.manifest])
            return [chunks[entry.chunk_id].text for entry in rows.manifest]
        finally:
            await index.close()

    return asyncio.run(read())


def test_an_incarnation_is_built_and_switched_to_and_back_while_everything_goes_on(
    installation: Installation, loaded: Mapping[str, object], writers: list[Writer]
) -> None:
    with asking(installation) as asker, Writers(writers) as at_work:
        eventually("events are acknowledged", lambda: at_work.acknowledged() > 40)
        built = installation.millstream("replay", "--incarnation", "i2", "--json").json()
        assert isinstance(built, dict)
        assert built["switched"] is True
        assert built["records"] > 40
        answers_from(asker, "g1-i2")
        eventually("events are acknowledged", lambda: at_work.acknowledged() > 80)
        assert installation.millstream("generation", "switch", "i1", "--json").json() == {"live": "g1-i1"}
        answers_from(asker, "g1-i1")
        installation.millstream("generation", "switch", "i2", "--json")
        answers_from(asker, "g1-i2")
    assert faults(installation, writers, "g1-i2") == []
    assert faults(installation, writers, "g1-i1") == []


def test_a_generation_with_another_recipe_is_prepared_again_and_switched_to(
    installation: Installation, loaded: Mapping[str, object], writers: list[Writer]
) -> None:
    other = Installation(installation.folder, {**installation.environ, "MILLSTREAM_CHUNK_TOKENS": "64"})
    with asking(installation) as asker, Writers(writers):
        refused = other.millstream("replay", "--incarnation", "i3", exit_code=1)
        assert "replay --generation" in refused.err
        other.millstream("replay", "--generation", "g2", "--json")
        answers_from(asker, "g2-i1")
    assert faults(installation, writers, "g2-i1") == []
    guide = Document.checked("aurora", "handbook", "products/installation-guide-polar.html")
    assert len(chunks_of(installation, "g2-i1", guide)) > len(chunks_of(installation, "g1-i1", guide))
    listed = installation.millstream("generation", "list", "--json").json()
    assert isinstance(listed, list)
    assert {one["build"]: one["state"] for one in listed} == {
        "g1-i1": "standby",
        "g1-i2": "standby",
        "g2-i1": "live",
    }


def test_a_retired_build_is_gone_and_its_name_is_not_used_again(installation: Installation) -> None:
    assert "switch to another" in installation.millstream("generation", "retire", "g2-i1", "--yes", exit_code=1).err
    assert "MILLSTREAM_INCARNATION" in installation.millstream("generation", "retire", "i1", "-y", exit_code=1).err
    with asking(installation) as asker:
        installation.millstream("generation", "switch", "g1-i1")
        answers_from(asker, "g1-i1")
        installation.millstream("generation", "retire", "g1-i2", "--yes")
    assert "retired" in installation.millstream("replay", "--incarnation", "i2", exit_code=1).err

    async def heads() -> object:
        index = open_build(installation.settings, IndexIdentity("g1", "i2"))
        try:
            return await index.heads(Tenant("aurora"))
        finally:
            await index.close()

    with pytest.raises(TransientError):
        asyncio.run(heads())
