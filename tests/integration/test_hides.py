"""Deletes and acls overtake the queue, on real Kafka and Weaviate: while nothing is prepared at all, and afterwards."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from cli.installing import install
from index.model import ContentState, DocumentRow
from runtime.settings import Settings
from schemas.records import Coordinates, DocumentChange
from schemas.topics import HIDES
from schemas.versions import Op
from tests.integration.streams_bench import SOURCES, Bench, Stages, change, eventually, open_bench

pytestmark = [pytest.mark.parts, pytest.mark.timeout(240)]

BACKLOG = 120


@pytest.fixture(scope="module")
def environment(stack_environment: Mapping[str, str], stack_settings: Settings) -> Mapping[str, str]:
    asyncio.run(install(stack_settings, SOURCES))
    return {**stack_environment, "MILLSTREAM_EMBEDDING_THREADS": "1"}


@pytest.fixture
async def bench(stack_settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Bench]:
    async with open_bench(stack_settings) as bench:
        yield bench


@pytest.fixture
def runs(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Stages]:
    started = Stages(environment, tmp_path)
    yield started
    started.kill()


async def newest(bench: Bench) -> dict[str, DocumentRow]:
    return {row.document.doc_id: row for row in await bench.rows()}


async def until_readable(bench: Bench, doc: str, *principals: str, readable: bool) -> DocumentRow:
    """Wait until somebody may read a document, or may not."""
    async with asyncio.timeout(30):
        while True:
            row = (await newest(bench)).get(doc)
            if row is not None and row.readable_by(principals) is readable:
                return row
            await asyncio.sleep(0.02)


def acknowledged(bench: Bench) -> bool:
    return bench.lag() == 0


async def post_all(bench: Bench, *records: DocumentChange) -> list[Coordinates]:
    return [await bench.post(record) for record in records]


async def test_deletes_and_revocations_do_not_wait_for_what_is_to_be_prepared(bench: Bench, runs: Stages) -> None:
    prepare, apply, hide = await asyncio.gather(runs.ready("prepare"), runs.ready("apply"), runs.ready("hide"))
    kept = [change(f"hide-{n}.txt", f"Edition {n}.", acl=("staff", "board")) for n in range(4)]
    await post_all(bench, *kept)
    await asyncio.to_thread(eventually, "everything is acknowledged", lambda: acknowledged(bench))
    assert await asyncio.to_thread(prepare.stop) == 0

    await asyncio.gather(*(bench.post(change(f"backlog-{n}.txt", f"Waits {n}.")) for n in range(BACKLOG)))
    await post_all(
        bench,
        change("hide-0.txt", "", Op.DELETE),
        change("hide-1.txt", "", Op.ACL, acl=("board",)),
        change("hide-2.txt", "A new edition.", acl=("board",)),
        change("hide-3.txt", "", Op.ACL, acl=("staff", "board", "public")),
        change("unknown.txt", "", Op.DELETE),
    )
    gone = await until_readable(bench, "hide-0.txt", "staff", "board", readable=False)
    assert (gone.op, gone.content, gone.mutation.topic) == (Op.DELETE, ContentState.PRESENT, HIDES)
    for doc in ("hide-1.txt", "hide-2.txt"):
        revoked = await until_readable(bench, doc, "staff", readable=False)
        assert revoked.readable_by(["board"])
    granted = await until_readable(bench, "hide-3.txt", "staff", readable=True)
    assert not granted.readable_by(["public"]), "a hide gives nothing"
    assert bench.lag() > BACKLOG, "nothing was prepared"

    apply.kill()
    apply = await runs.ready("apply")
    await bench.post(change("hide-3.txt", "", Op.DELETE))
    await until_readable(bench, "hide-3.txt", "staff", readable=False)
    await bench.post(change("hide-3.txt", "It is back.", acl=("public",)))
    hide.kill()
    await runs.ready("hide")

    await runs.ready("prepare")
    await asyncio.to_thread(eventually, "everything is acknowledged", lambda: acknowledged(bench), 120)
    await until_readable(bench, "hide-3.txt", "public", readable=True)
    rows = await newest(bench)
    assert (rows["hide-0.txt"].content, rows["hide-0.txt"].acl) == (ContentState.DELETED, ("staff", "board"))
    assert rows["hide-1.txt"].acl == ("board",)
    assert await bench.texts(rows["hide-1.txt"]) == "Edition 1."
    assert (rows["hide-2.txt"].acl, await bench.texts(rows["hide-2.txt"])) == (("board",), "A new edition.")
    assert (rows["hide-3.txt"].acl, await bench.texts(rows["hide-3.txt"])) == (("public",), "It is back.")
    assert rows["unknown.txt"].content is ContentState.DELETED
    assert all(rows[f"backlog-{n}.txt"].is_present for n in range(BACKLOG))
    assert all(row.hide_deleted is None and row.hide_acl_version is None for row in rows.values())
    seqs = [row.from_seq for row in await bench.rows()]
    assert seqs == list(range(1, len(seqs) + 1)), "the tenant's log has a hole or a seq twice"
    assert bench.letters() == []
