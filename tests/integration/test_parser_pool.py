"""The pool of parser processes: real processes, real limits, real kills."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from schemas.errors import TransientError, UnreadableError
from streams.parse.document import read_document
from streams.parse.pool import ParserPool
from tests.unit.parse.corpus import ENGLISH, FORMATS, zipped

SMALL = b"# Pump\n\nServiced every quarter by two engineers.\n"
# A second to parse, a hundred megabytes of elements.
LARGE = b"<ul>" + b"<li>An item of a long list.</li>" * 10_000 + b"</ul>"
# Three megabytes that keep the reader of Markdown busy for minutes: a table of thousands of columns.
HOSTILE = b"|a" * 4000 + b"\n" + b"|-" * 4000 + b"\n" + (b"|b" * 4000 + b"\n") * 400

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ParserPool]:
    async with ParserPool(seconds=300) as running:
        yield running


def workers(pool: ParserPool) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in pool.pids]


async def until_busy(worker: psutil.Process) -> None:
    """Wait until a worker has begun to parse: it uses processor time only then."""
    before = sum(worker.cpu_times()[:2])
    while sum(worker.cpu_times()[:2]) < before + 0.2:
        await asyncio.sleep(0.01)


async def reason_of(parsing: "asyncio.Future[object] | asyncio.Task[object]") -> str:
    with pytest.raises(UnreadableError) as caught:
        await parsing
    return caught.value.reason


async def test_a_worker_reads_what_this_process_would_read(pool: ParserPool) -> None:
    for body, name in ((SMALL, "a.md"), (b"<h1>A</h1><p>Words of it.", "a.html"), ("泵\n\nтекст".encode(), "a.txt")):
        assert await pool.parse(body, None, name) == read_document(body, None, name)


async def test_a_refused_document_is_refused_with_its_reason_and_harms_nobody(pool: ParserPool) -> None:
    before = workers(pool)
    with pytest.raises(UnreadableError) as caught:
        await pool.parse(b"\xff", None, "a.txt")
    assert caught.value.reason == "invalid_encoding"
    await pool.parse(SMALL, None, "a.md")
    assert workers(pool) == before


async def test_a_document_that_takes_too_long_is_given_up_and_the_next_is_read() -> None:
    async with ParserPool(seconds=0.5) as pool:
        parsing = asyncio.create_task(pool.parse(HOSTILE, None, "a.md"))
        waiting = asyncio.create_task(pool.parse(SMALL, None, "a.md"))
        assert await reason_of(parsing) == "parser_timeout"
        assert (await waiting).title == "Pump"


async def test_a_worker_that_stands_still_is_given_up_and_the_next_is_read() -> None:
    async with ParserPool(seconds=1.0) as pool:
        (stuck,) = workers(pool)
        stuck.suspend()
        assert await reason_of(asyncio.create_task(pool.parse(SMALL, None, "a.md"))) == "parser_timeout"
        assert (await pool.parse(SMALL, None, "a.md")).title == "Pump"
        assert stuck.pid not in pool.pids
        assert not stuck.is_running()


async def test_a_document_that_swells_is_given_up_and_the_next_is_read() -> None:
    async with ParserPool(memory_mb=16) as pool:
        assert await reason_of(asyncio.create_task(pool.parse(LARGE, None, "a.html"))) == "parser_memory"
        assert (await pool.parse(SMALL, None, "a.md")).title == "Pump"


async def test_a_document_that_takes_all_the_memory_there_is_is_blamed_for_that_and_at_once() -> None:
    """Small things one after the other (Python's own), and one that is too large to ask for (Rust, which aborts)."""
    for body in (HOSTILE, sparse_sheet()):
        async with ParserPool(seconds=600, memory_mb=64) as pool:
            parsing = asyncio.create_task(pool.parse(body, None, "a.md"))
            first = set(pool.pids)
            assert await reason_of(parsing) == "parser_memory"
            assert (await pool.parse(SMALL, None, "a.md")).title == "Pump"
            assert first.isdisjoint(pool.pids)


async def test_good_documents_of_every_format_go_through_among_bad_ones() -> None:
    bad = {
        "a sheet with cells at its corners": sparse_sheet(),
        "a table of thousands of columns": HOSTILE,
        "a bomb": zipped({"word/document.xml": b"0" * 300_000_000}),
        "nonsense": b"%PDF-1.7 nonsense",
    }
    async with ParserPool(workers=2, seconds=20, memory_mb=512) as pool:
        dooms = {what: asyncio.create_task(pool.parse(body, None, "a.md")) for what, body in bad.items()}
        good = [
            asyncio.create_task(pool.parse(made.make(ENGLISH), made.content_type, "x")) for made in FORMATS.values()
        ]
        assert [document.kind for document in await asyncio.gather(*good)] == list(FORMATS)
        reasons = {what: await reason_of(doomed) for what, doomed in dooms.items()}
    # It takes time and memory without end: which limit it meets first depends on the machine.
    assert reasons.pop("a table of thousands of columns") in ("parser_timeout", "parser_memory")
    assert reasons == {
        "a sheet with cells at its corners": "parser_memory",
        "a bomb": "archive_bomb",
        "nonsense": "malformed",
    }


def sparse_sheet() -> bytes:
    """A few kilobytes that ask for a table of seventeen billion cells."""
    from xlsxwriter import Workbook

    file = io.BytesIO()
    with Workbook(file, {"in_memory": True}) as workbook:
        sheet = workbook.add_worksheet()
        sheet.write(0, 0, "first")
        sheet.write(1_048_575, 16_383, "last")
    return file.getvalue()


async def test_a_document_whose_worker_was_killed_is_read_by_the_next_worker(pool: ParserPool) -> None:
    parsing = asyncio.create_task(pool.parse(LARGE, None, "a.html"))
    await until_busy(workers(pool)[0])
    workers(pool)[0].kill()
    assert len((await parsing).blocks) > 1000


async def test_a_document_that_kills_two_workers_is_blamed(pool: ParserPool) -> None:
    parsing = asyncio.create_task(pool.parse(HOSTILE, None, "a.md"))
    first = workers(pool)[0]
    await until_busy(first)
    first.kill()
    while not (left := [worker for worker in workers(pool) if worker.pid != first.pid]):
        await asyncio.sleep(0.05)
    await until_busy(left[0])
    left[0].kill()
    assert await reason_of(parsing) == "parser_crashed"
    assert (await pool.parse(SMALL, None, "a.md")).title == "Pump"


async def test_a_worker_is_renewed_after_its_documents_without_holding_up_any() -> None:
    async with ParserPool(documents_per_worker=3) as pool:
        first = workers(pool)[0]
        for _ in range(3):
            await pool.parse(SMALL, None, "a.md")
        while first.is_running() and first.status() != psutil.STATUS_ZOMBIE:
            assert (await pool.parse(SMALL, None, "a.md")).title == "Pump"
            await asyncio.sleep(0.05)
        assert (await pool.parse(SMALL, None, "a.md")).title == "Pump"
        assert first.pid not in {worker.pid for worker in workers(pool)}


async def test_two_workers_parse_at_the_same_time() -> None:
    async with ParserPool(workers=2, seconds=300) as pool:
        slow = asyncio.create_task(pool.parse(HOSTILE, None, "a.md"))
        await asyncio.sleep(0)
        assert (await pool.parse(SMALL, None, "a.md")).title == "Pump"
        assert not slow.done()
        slow.cancel()


async def test_a_cancelled_parse_frees_its_worker_s_place(pool: ParserPool) -> None:
    parsing = asyncio.create_task(pool.parse(HOSTILE, None, "a.md"))
    await until_busy(workers(pool)[0])
    parsing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await parsing
    assert (await pool.parse(SMALL, None, "a.md")).title == "Pump"


async def test_closing_ends_the_workers_and_whoever_waits() -> None:
    pool = ParserPool()
    await pool.start()
    parsing = [asyncio.create_task(pool.parse(HOSTILE, None, "a.md")) for _ in range(3)]
    await until_busy(workers(pool)[0])
    await pool.close()
    for task in parsing:
        with pytest.raises(TransientError, match="closed"):
            await task
    assert workers(pool) == []
    with pytest.raises(TransientError, match="closed"):
        await pool.parse(SMALL, None, "a.md")


PARENT = """
import asyncio, os, sys
from streams.parse.pool import ParserPool
async def main():
    pool = ParserPool()
    await pool.start()
    print(*[c for c in open(f"/proc/self/task/{os.getpid()}/children").read().split()], flush=True)
    await pool.parse(b"|a" * 4000 + b"\\n" + b"|-" * 4000 + (b"\\n" + b"|b" * 4000) * 400, None, "a.md")
asyncio.run(main())
"""


async def test_a_worker_dies_with_its_parent_in_the_middle_of_a_parse() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


async def test_the_time_that_all_of_it_slept_is_not_the_documents() -> None:
    async with ParserPool(seconds=5) as pool:
        (worker,) = workers(pool)
        parsing = asyncio.create_task(pool.parse(LARGE, None, "a.html"))
        await until_busy(worker)
        os.kill(worker.pid, signal.SIGSTOP)
        time.sleep(6)  # this process, too
        os.kill(worker.pid, signal.SIGCONT)
        assert (await parsing).text.startswith("An item")


async def test_a_worker_that_cannot_be_replaced_now_is_replaced_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ParserPool(seconds=60) as pool:
        (worker,) = workers(pool)
        start = asyncio.create_subprocess_exec
        failures = [OSError(12, "no memory")]

        async def sometimes(*arguments: str, **options: object) -> object:
            if failures:
                raise failures.pop()
            return await start(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(asyncio, "create_subprocess_exec", sometimes)
        worker.kill()
        with pytest.raises(TransientError, match="could not be started"):
            await pool.parse(SMALL, None, "a.md")
        assert (await pool.parse(SMALL, None, "a.md")).title == "Pump"
