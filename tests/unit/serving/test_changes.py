"""/v1/changes on the twins: what each caller is told of what was committed, then and as it happens."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import pytest

from index.memory import MemoryIndex
from index.model import Published
from index.port import VersionedIndex
from index.trail import Trail
from runtime.clock import SystemClock
from runtime.metrics import CHANGE_STREAMS, Metrics
from schemas.errors import TransientError
from schemas.identity import Tenant
from schemas.versions import Op
from serving import changes as changes_module
from serving.caller import caller
from serving.changes import Changes, Wanted
from serving.positions import Positions
from tests.unit.serving.world import IDENTITY, World, world

GROUPS = ("staff", "board", "press")


class Stream:
    """A client of /v1/changes that keeps what it is sent."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self.last_id = ""
        self.beats = 0

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The next event: its name and its data. Beats and ids on their own are kept, not returned."""
        name, data = "message", ""
        while True:
            line = (await asyncio.wait_for(self._content.readline(), 5)).decode()
            if not line:
                return "closed", {}
            match line.rstrip("\n").partition(": "):
                case ("id", _, value):
                    self.last_id = value
                case ("event", _, value):
                    name = value
                case ("data", _, value):
                    data = value
                case ("", ": ", "beat"):
                    self.beats += 1
                case ("", "", "") if data:
                    return name, json.loads(data)

    async def told(self) -> list[tuple[int, str, str]]:
        """(seq, op, doc_id) of every change until the end."""
        found = []
        while (event := await self.next())[0] == "change":
            found.append((event[1]["seq"], event[1]["op"], event[1]["doc_id"]))
        return found


@asynccontextmanager
async def following(api: World, *groups: str, path: str = "", **headers: Any) -> AsyncIterator[Stream]:
    assert api.client is not None
    credentials = api.headers(*groups, **{key: headers.pop(key) for key in ("ttl", "scopes") if key in headers})
    async with api.client.get(f"/v1/changes{path}", headers=credentials | headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield Stream(response.content)


async def history(api: World, *groups: str, after: int = 0, **more: Any) -> list[tuple[int, str, str]]:
    async with following(api, *groups, path=f"?follow=false&after={after}", **more) as stream:
        return await stream.told()


async def test_a_commit_is_told_with_its_position_and_coordinates_and_without_text(api: World) -> None:
    async with following(api) as stream:
        await api.put("warranty", "The warranty is seven years.", title="Warranty")
        name, change = await stream.next()
    assert name == "change"
    assert stream.last_id == "g1-i1.1"
    assert change | {"committed_at": "", "position": ""} == {
        "seq": 1,
        "position": "",
        "source": "web",
        "doc_id": "warranty",
        "op": "upsert",
        "present": True,
        "title": "Warranty",
        "version": "1.1.0",
        "committed_at": "",
        "change": {"topic": "documents.changes", "partition": 0, "offset": 1},
    }
    assert change["position"] | {"committed_at": ""} == {
        "generation": "g1",
        "incarnation": "i1",
        "seq": 1,
        "committed_at": "",
    }


async def test_without_a_place_to_begin_a_stream_begins_now_and_with_one_there(api: World) -> None:
    for number in range(3):
        await api.put(f"d{number}", "Text.")
    async with following(api) as live, following(api, path="?after=1") as from_one:
        await api.put("d3", "Text.")
        assert (await live.next())[1]["seq"] == 4
        assert [(await from_one.next())[1]["seq"] for _ in range(3)] == [2, 3, 4]


async def test_who_comes_back_with_its_last_id_misses_nothing_and_hears_nothing_twice(api: World) -> None:
    for number in range(4):
        await api.put(f"d{number}", "Text.")
    async with following(api, path="?after=0&follow=false") as first:
        await first.next()
        await first.next()
        last = first.last_id
    async with following(api, path="?after=0&follow=false", **{"Last-Event-ID": last}) as again:
        assert [seq for seq, _, _ in await again.told()] == [3, 4]
    async with following(api, path="?follow=false", **{"Last-Event-ID": "3"}) as bare:
        assert [seq for seq, _, _ in await bare.told()] == [4]


async def test_a_delete_and_a_revocation_look_the_same_and_what_was_never_seen_is_never_told(api: World) -> None:
    await api.put("deleted", "Text.", title="A secret", acl=["staff"])
    await api.put("revoked", "Text.", title="A secret", acl=["staff"])
    await api.put("boards", "Text.", title="A secret", acl=["board"])
    async with following(api, "staff") as stream:
        await api.put("deleted", op=Op.DELETE, acl=None)
        await api.put("boards", op=Op.DELETE, acl=None)
        await api.put("revoked", op=Op.ACL, acl=["board"])
        await api.put("revoked", "Text.", title="Another secret", acl=None)
        await api.put("end", "Text.")
        gone = [(await stream.next())[1] for _ in range(2)]
        assert (await stream.next())[1]["doc_id"] == "end"
    assert [one["doc_id"] for one in gone] == ["deleted", "revoked"]
    for one in gone:
        assert (one["op"], one["present"], one["title"], one["version"]) == ("gone", False, None, None)
    assert [one["op"] for one in gone] == ["gone", "gone"]


async def test_the_past_is_told_by_todays_permissions(api: World) -> None:
    await api.put("a", "Text.", title="First", acl=["staff"])
    await api.put("a", op=Op.ACL, acl=["board"])
    assert await history(api, "staff") == [(2, "gone", "a")]
    assert await history(api, "board") == [(2, "acl", "a")]
    assert await history(api, "staff", "board") == [(1, "upsert", "a"), (2, "acl", "a")]
    assert await history(api) == []


async def test_of_a_document_deleted_since_the_past_needs_the_history_scope(api: World) -> None:
    await api.put("a", "Text.", title="First")
    await api.put("a", op=Op.DELETE, acl=None)
    assert await history(api) == [(2, "gone", "a")]
    told = await history(api, scopes=("query", "history"))
    assert told == [(1, "upsert", "a"), (2, "gone", "a")]


async def test_a_stream_may_be_narrowed_to_sources(api: World) -> None:
    for source in ("web", "wiki", "web", "shop"):
        await api.put("a", "Text.", source=source)
    async with following(api, path="?after=0&follow=false&source=web&source=shop") as stream:
        assert [seq for seq, _, _ in await stream.told()] == [1, 3, 4]


async def test_a_tenant_without_a_shard_has_nothing_to_tell_yet(api: World) -> None:
    assert api.client is not None
    headers = api.headers(tenant="nobody")
    async with api.client.get("/v1/changes?follow=false", headers=headers) as response:
        assert await Stream(response.content).next() == ("end", {"reason": "caught_up"})


async def test_a_stream_ends_when_its_token_does(api: World) -> None:
    async with following(api, ttl=timedelta(seconds=1)) as stream:
        assert await stream.next() == ("end", {"reason": "token_expired"})
        assert (await stream.next())[0] == "closed"


async def test_streams_end_when_the_process_does() -> None:
    async with world() as api, following(api) as stream:
        assert api.client is not None
        assert api.metrics.value(CHANGE_STREAMS) == 1
        stopping = asyncio.create_task(api.client.server.close())
        assert await stream.next() == ("end", {"reason": "stopping"})
        await stopping
        assert api.metrics.value(CHANGE_STREAMS) == 0


async def test_a_page_of_nothing_visible_still_brings_a_client_on(api: World) -> None:
    for number in range(changes_module.PAGE + 3):
        await api.put(f"d{number}", "Text.", acl=["board"])
    async with following(api, "staff", path="?after=0&follow=false") as stream:
        assert await stream.told() == []
        assert stream.last_id == f"g1-i1.{changes_module.PAGE + 3}"


async def test_more_streams_than_a_process_has_room_for_are_shed(api: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "MAX_STREAMS", 1)
    async with following(api):
        status, body = await api.get("/v1/changes")
        assert (status, body["type"]) == (429, "urn:millstream:problem:overloaded")
    while api.metrics.value(CHANGE_STREAMS):
        await asyncio.sleep(0.01)
    assert await history(api) == []


@pytest.mark.parametrize(
    ("path", "header", "status", "field"),
    [
        ("?after=x", "", 400, "after"),
        ("?after=-1", "", 400, "after"),
        ("?after=5", "", 400, "after"),
        ("?follow=maybe", "", 400, "follow"),
        ("?source=No", "", 400, "source"),
        ("?since=1", "", 400, "since"),
        ("", "x", 400, "Last-Event-ID"),
        ("", "g1-i1.", 400, "Last-Event-ID"),
        ("", "g1-i1.99999999999999999999", 400, "Last-Event-ID"),
        ("", "g1-i0.1", 410, "Last-Event-ID"),
    ],
)
async def test_a_bad_request_is_a_problem(api: World, path: str, header: str, status: int, field: str) -> None:
    headers = api.headers() | ({"Last-Event-ID": header} if header else {})
    found, problem = await api.get(f"/v1/changes{path}", headers)
    assert (found, problem["field"]) == (status, field)


async def test_a_stream_needs_credentials_and_the_query_scope(api: World) -> None:
    assert (await api.get("/v1/changes", {}))[0] == 401
    assert (await api.get("/v1/changes", api.headers(scopes=["history"])))[0] == 403


async def _change_something(api: World, chance: random.Random) -> None:
    doc_id = f"d{chance.randrange(6)}"
    acl = [group for group in GROUPS if chance.random() < 0.4]
    match chance.randrange(4):
        case 0:
            await api.put(doc_id, op=Op.DELETE, acl=None)
        case 1:
            await api.put(doc_id, op=Op.ACL, acl=acl)
        case 2:
            await api.put(doc_id, "Text.", acl=None)
        case _:
            await api.put(doc_id, "Text.", acl=acl)


async def _readable(api: World, *groups: str) -> set[str]:
    headers = api.headers(*groups)
    names = [f"d{number}" for number in range(6)]
    return {name for name in names if (await api.get(f"/v1/documents/web/{name}", headers))[0] == 200}


@pytest.mark.parametrize("seed", range(8))
async def test_whoever_keeps_what_it_is_told_holds_just_what_it_may_read(api: World, seed: int) -> None:
    """Each client comes and goes at any moment; what it holds at the end is what the API gives it."""
    chance = random.Random(seed)
    held: dict[tuple[str, ...], set[str]] = {("staff",): set(), ("board", "press"): set(), (): set()}
    at = dict.fromkeys(held, 0)
    for _ in range(12):
        for _ in range(chance.randrange(1, 6)):
            await _change_something(api, chance)
        groups = chance.choice([*held])
        seen: list[int] = []
        async with following(api, *groups, path=f"?after={at[groups]}&follow=false") as stream:
            for seq, op, doc_id in await stream.told():
                (held[groups].discard if op == "gone" else held[groups].add)(doc_id)
                seen.append(seq)
            assert seen == sorted(set(seen))
            at[groups] = int(stream.last_id.rpartition(".")[2])
        assert held[groups] == await _readable(api, *groups)


async def test_live_and_history_meet_without_a_hole_while_commits_go_on(api: World) -> None:
    total = 120

    async def write() -> None:
        for number in range(total):
            await api.put(f"d{number % 7}", f"Text {number}.")
            await asyncio.sleep(0)

    async def follow(pause: float) -> list[int]:
        await asyncio.sleep(pause)
        async with following(api, path="?after=0") as stream:
            return [(await stream.next())[1]["seq"] for _ in range(total)]

    _, *seen = await asyncio.gather(write(), *(follow(0.02 * number) for number in range(4)))
    assert seen == [list(range(1, total + 1))] * 4


async def test_a_commit_that_was_published_and_never_emitted_is_told_with_the_next(api: World) -> None:
    async with following(api) as stream:
        api.log.is_silent = True
        await api.put("a", "Text.")
        api.log.is_silent = False
        await api.put("b", "Text.")
        assert [(await stream.next())[1]["doc_id"] for _ in range(2)] == ["a", "b"]


async def test_a_store_that_is_away_for_a_moment_ends_no_stream() -> None:
    store = Away()
    async with world(index=cast(VersionedIndex, store)) as api:
        store.index = api.index
        async with following(api) as stream:
            store.is_away = True
            await api.put("a", "Text.")
            await asyncio.sleep(0.05)
            store.is_away = False
            assert (await stream.next())[1]["doc_id"] == "a"


async def test_a_stream_whose_build_is_gone_for_long_ends_so_that_its_client_comes_back() -> None:
    async def gone(_tenant: Tenant) -> Published:
        raise TransientError("the index has no such collection")

    clock, positions = SystemClock(), Positions(gone)
    trail = Trail(MemoryIndex(IDENTITY), positions.newest, clock)
    changes = Changes(positions, trail, IDENTITY, None, clock, Metrics(), away_seconds=0.6)
    ada = caller("acme", "ada", ["staff"], ["query"], "jwt")
    sent = [each async for each in changes.stream(ada, Wanted(None, frozenset(), follow=True), 7)]
    assert sent[0].startswith(b": beat\nid: g1-i1.7\n")
    assert sent[1:] == [b'event: end\ndata: {"reason":"unavailable"}\n\n']


class Away:
    """The memory index behind a connection that may be gone."""

    index: MemoryIndex

    def __init__(self) -> None:
        self.is_away = False
        self.identity = IDENTITY

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.index, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.is_away:
                raise TransientError("away")
            return await found(*args, **kwargs)

        return call
