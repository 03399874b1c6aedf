"""The stream of changes and times on a real Weaviate and a real Kafka, while the real writer changes things."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from serving.auth import issue_token
from tests.integration.streams_bench import SOURCE, TENANT
from tests.integration.test_cache_replicas import Site, embedder, site

__all__ = ["embedder", "site"]
pytestmark = [pytest.mark.parts, pytest.mark.timeout(240)]

NAMES = ("a", "b", "c", "d")
Told = tuple[int, str, str]


def _headers(site: Site, *groups: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {issue_token(site.settings, TENANT, 'ada', groups)}", **more}


@asynccontextmanager
async def following(site: Site, replica: int, *groups: str, path: str = "") -> AsyncIterator[AsyncIterator[Told]]:
    client = site.replicas[replica].client
    async with client.get(f"/v1/changes{path}", headers=_headers(site, *groups)) as response:
        assert response.status == 200, await response.text()
        yield _told(response)


async def _told(response: Any) -> AsyncIterator[Told]:
    name = ""
    async for line in response.content:
        match line.decode().rstrip("\n").partition(": "):
            case ("event", _, value):
                name = value
            case ("data", _, value) if name == "change":
                change = json.loads(value)
                yield change["seq"], change["op"], change["doc_id"]


async def _position(site: Site) -> dict[str, Any]:
    answer = await site.ask(0, "How much may a hotel cost?", cache="bypass")
    position: dict[str, Any] = answer["position"]
    return position


async def _change_something(site: Site, chance: random.Random) -> None:
    name, acl = chance.choice(NAMES), [group for group in ("staff", "board") if chance.random() < 0.5]
    match chance.randrange(4):
        case 0:
            await site.put(name, None, None)
        case 1:
            await site.put(name, None, acl)
        case _:
            await site.put(name, f"Text {chance.randrange(5)}.", acl)


async def test_history_and_live_of_both_replicas_meet_without_a_hole_and_hold_what_may_be_read(site: Site) -> None:
    """Each client keeps what it is told; at the end it is what its caller may read, and no seq came twice."""
    await site.put("zero", "Text.", ["public"])
    start = (await _position(site))["seq"]
    chance = random.Random(7)

    async def follow(replica: int, group: str, pause: float) -> tuple[list[int], set[str]]:
        await asyncio.sleep(pause)
        seqs: list[int] = []
        held: set[str] = set()
        async with following(site, replica, group, path=f"?after={start}") as told:
            async for seq, op, doc_id in told:
                seqs.append(seq)
                (held.discard if op == "gone" else held.add)(doc_id)
                if doc_id == "end":
                    return seqs, held - {"end"}
        raise AssertionError("the stream ended")

    async def write() -> None:
        for _ in range(60):
            await _change_something(site, chance)
        await asyncio.sleep(0.2)
        await site.put("end", "Text.", ["public"])

    clients = [(0, "staff", 0.0), (1, "staff", 0.1), (0, "board", 0.3), (1, "board", 0.6)]
    _, *found = await asyncio.gather(write(), *(follow(*client) for client in clients))
    for (replica, group, _), (seqs, held) in zip(clients, found, strict=True):
        assert seqs == sorted(set(seqs))
        client = site.replicas[replica].client
        readable = set()
        for name in NAMES:
            async with client.get(f"/v1/documents/{SOURCE}/{name}", headers=_headers(site, group)) as response:
                if response.status == 200:
                    readable.add(name)
        assert held == readable


async def test_a_commit_reaches_a_client_at_once(site: Site) -> None:
    async with following(site, 1) as told:
        for number in range(3):
            await site.put(f"quick{number}", "Text.", ["public"])
            async with asyncio.timeout(5):  # the streams would look for themselves after 15 s
                assert (await anext(told))[2] == f"quick{number}"


async def test_every_time_is_answered_as_its_position_was(site: Site) -> None:
    question = "How much may a hotel cost per night?"
    answers: list[dict[str, Any]] = []
    for number in range(6):
        await site.put("times", f"Since 2026 a hotel may cost up to {100 + number} EUR per night.", ["public"])
        answers.append(await site.ask(0, question))
        await asyncio.sleep(0.01)
    for answer in answers:
        at = answer["position"]["committed_at"]
        assert datetime.fromisoformat(at).tzinfo is not None
        then = await site.ask(1, question, as_of=at)
        assert (then["answer"], then["position"]) == (answer["answer"], answer["position"])
