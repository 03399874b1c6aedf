"""Divergence planted in a real Weaviate is found by the process that applies, and repaired through the log."""

import asyncio
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from cli.installing import install
from index.audit.findings import Finding, Kind
from index.model import Published
from index.reader import Reader
from index.weaviate import WeaviateIndex, open_index
from infra.local.stack import Stack
from runtime.clock import SystemClock
from runtime.declarations import load_topics
from runtime.settings import Settings
from schemas.versions import Op
from streams.audit import Audit, Scope
from streams.audit_log import KafkaAuditLog
from tests.integration.audit_plants import head_ahead, lost_row, resurrection, vector_hole
from tests.integration.streams_bench import SOURCES, TENANT, Bench, StageRun, Stages, change, eventually, open_bench

pytestmark = [pytest.mark.parts, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def environment(stack_environment: Mapping[str, str], stack_settings: Settings) -> Mapping[str, str]:
    asyncio.run(install(stack_settings, SOURCES))
    hurried = {"MILLSTREAM_AUDIT_SHARE": "0.5", "MILLSTREAM_AUDIT_SECONDS": "3", "MILLSTREAM_EMBEDDING_THREADS": "1"}
    return {**stack_environment, **hurried}


@pytest.fixture
async def bench(stack_settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Bench]:
    async with open_bench(stack_settings) as bench:
        yield bench


@pytest.fixture
async def index(stack_settings: Settings) -> AsyncIterator[WeaviateIndex]:
    index = open_index(stack_settings)
    yield index
    await index.close()


@pytest.fixture
def stages(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Stages]:
    stages = Stages(environment, tmp_path)
    yield stages
    stages.kill()


async def audit(index: WeaviateIndex, settings: Settings) -> list[Finding]:
    """What an audit of everything finds now."""
    reads = KafkaAuditLog(settings, index.identity)
    scope = Scope(second_look_seconds=1.0)
    audit = Audit(index, reads, load_topics(settings), SystemClock(), scope)
    return [*await audit.cycle(), *await audit.told()]


def audited(run: StageRun) -> bool:
    """Whether a process has looked at everything once."""
    with urllib.request.urlopen(f"http://127.0.0.1:{run._port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith("millstream_audit_cycle_seconds ")]
    return bool(found) and float(found[0].split()[1]) > 0


def rested(bench: Bench) -> None:
    eventually("everything is acknowledged", lambda: bench.lag() == 0)


async def test_what_was_planted_while_nobody_applied_is_found_and_repaired(
    bench: Bench, index: WeaviateIndex, stages: Stages
) -> None:
    stages.start("prepare")
    apply = stages.start("apply").until_ready()
    names = ("missing", "hole", "gone", "lost", "well")
    for name in names:
        await bench.post(change(f"{name}.txt", f"Edition one of {name}. " * 30))
    await bench.post(change("gone.txt", "", Op.DELETE))
    await bench.post(change("lost.txt", "Edition two of lost."))
    await asyncio.to_thread(rested, bench)
    assert await audit(index, bench.settings) == []
    assert apply.stop() == 0
    rows = await bench.rows()
    of = {name: [row for row in rows if row.document.doc_id == f"{name}.txt"] for name in names}
    await index.remove_chunks(TENANT, [of["missing"][-1].manifest[0].chunk_id])
    await vector_hole(index, TENANT, [entry.chunk_id for entry in of["hole"][-1].manifest])
    await lost_row(index, of["lost"][-1])
    await resurrection(index, of["gone"][0])
    await head_ahead(index, TENANT)
    found = {(one.kind, one.document.doc_id if one.document else None) for one in await audit(index, bench.settings)}
    assert found >= {
        (Kind.MISSING_CHUNK, "missing.txt"),
        (Kind.VECTOR_HOLE, "hole.txt"),
        (Kind.BEHIND_LOG, "lost.txt"),
        (Kind.BEHIND_LOG, "gone.txt"),
        (Kind.MISSING_ROW, None),
        (Kind.LOST_COMMIT, None),
    }
    assert "well.txt" not in {name for _, name in found}
    again = stages.start("apply")
    deadline = asyncio.get_running_loop().time() + 60
    while left := await audit(index, bench.settings):
        assert asyncio.get_running_loop().time() < deadline, f"{left}\n{again.log.read_text()[-6000:]}"
    states = {row.document.doc_id: row for row in await bench.rows()}
    assert not states["gone.txt"].is_present
    assert await bench.texts(states["lost.txt"]) == "Edition two of lost."
    assert await bench.texts(states["missing.txt"])
    reader = Reader(index, SystemClock())
    published = await reader.position(TENANT)
    assert isinstance(published, Published)
    assert published.head.history_from > of["lost"][-1].from_seq, "nobody can say what was in force meanwhile"


async def test_what_a_killed_store_has_lost_of_its_graph_is_found_when_it_is_back(
    bench: Bench, index: WeaviateIndex, stages: Stages, parts: Stack
) -> None:
    stages.start("prepare")
    apply = stages.start("apply", MILLSTREAM_AUDIT_SECONDS="3600").until_ready()
    await bench.post(change("graph.txt", "Edition one of graph. " * 30))
    await asyncio.to_thread(rested, bench)
    await asyncio.to_thread(eventually, "everything was looked at", lambda: audited(apply))
    row = [row for row in await bench.rows() if row.document.doc_id == "graph.txt"][-1]
    await vector_hole(index, TENANT, [entry.chunk_id for entry in row.manifest])
    lines = Path(stages.environment["MILLSTREAM_LOG_DIR"]) / "streams-apply.log"
    known = lines.read_text().count("vector_hole")
    parts.kill("weaviate", signal.SIGKILL)
    await asyncio.to_thread(parts.restart, "weaviate")
    await asyncio.to_thread(eventually, "it is found", lambda: lines.read_text().count("vector_hole") > known)

    async def is_whole() -> bool:
        newest = [row for row in await bench.rows() if row.document.doc_id == "graph.txt"][-1]
        return newest.chunk_ids() != row.chunk_ids() and await index.in_graph(TENANT, newest.chunk_ids()) == (
            newest.chunk_ids()
        )

    async with asyncio.timeout(60):
        while not await is_whole():
            await asyncio.sleep(0.2)
