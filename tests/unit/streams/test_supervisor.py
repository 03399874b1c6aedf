"""The supervisor over small processes of its own kind: restarts, a clean stop, and no orphan."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from streams.supervisor import Kept, keep, supervise, wait_after

CHILD = """
import os, sys, pathlib
folder, stage = pathlib.Path(sys.argv[1]), sys.argv[2]
runs = len(list(folder.glob(f"{stage}.*")))
(folder / f"{stage}.{os.getpid()}").touch()
if stage == "weak" and runs == 0:
    sys.exit(3)
sys.stdin.read()
"""


async def _until(count: int, folder: Path, stage: str) -> list[int]:
    while len(found := sorted(folder.glob(f"{stage}.*"))) < count:
        await asyncio.sleep(0.01)
    return [int(path.suffix[1:]) for path in found]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.timeout(30)
async def test_a_stage_that_ends_is_started_again_and_a_signal_stops_all(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    folder = tmp_path / "runs"
    folder.mkdir()
    running = asyncio.create_task(
        supervise(("weak", "strong"), lambda stage: (sys.executable, "-I", "-S", str(script), str(folder), stage))
    )
    weak = await _until(2, folder, "weak")
    strong = await _until(1, folder, "strong")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert not any(_is_running(pid) for pid in weak + strong)
    assert len(await _until(1, folder, "strong")) == 1


def test_restarts_come_later_each_time_and_never_stop() -> None:
    waits = [wait_after(attempt) for attempt in range(1, 100)]
    assert waits == sorted(waits)
    assert waits[0] == 0.5
    assert waits[-1] == 15.0


@pytest.mark.timeout(30)
async def test_a_process_that_cannot_be_started_now_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.supervisor._FIRST_WAIT_SECONDS", 0.01)
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    failures, start = [OSError(12, "no memory")], asyncio.create_subprocess_exec

    async def sometimes(*arguments: str, **options: object) -> object:
        if failures:
            raise failures.pop()
        return await start(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", sometimes)
    stop = asyncio.Event()
    kept = Kept("strong", (sys.executable, "-I", "-S", str(script), str(tmp_path), "strong"))
    running = asyncio.create_task(keep(kept, stop))
    await _until(1, tmp_path, "strong")
    stop.set()
    await running
