"""What a stage process carries, and what a log that is lost means to it."""

import subprocess
import sys

import pytest

from runtime.log_port import MemoryLog
from schemas.codec import decode
from schemas.errors import TooLargeError, TransientError
from schemas.identity import Tenant
from schemas.records import TakeOver
from schemas.topics import COMMITS
from streams.commit_log import LastingLog, LogCommits, LogLostError
from streams.core.recipe import recipe_fingerprint
from streams.recipe import recipe_of
from tests.unit.streams.records import AT, topics

HEAVY = ("weaviate", "grpc", "fastembed", "onnxruntime", "unstructured", "tokenizers")


def test_a_stage_imports_neither_store_nor_model_nor_parser_before_it_builds_them() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import sys, streams.stages, streams.apply; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not set(HEAVY) & set(found)
    assert "streams.stages" in found


async def test_a_take_over_is_told_its_offset_in_the_tenants_partition() -> None:
    log, counted = MemoryLog(), []
    commits = LogCommits(log, topics(), lambda: counted.append(1))
    record = TakeOver(tenant=Tenant("acme"), generation="g1", incarnation="i1", writer="w", at=AT)
    assert [await commits.take_over(record) for _ in range(3)] == [0, 1, 2]
    (first, *_) = log.records(COMMITS, topics().partition(COMMITS, tenant=Tenant("acme")))
    assert decode(first.value or b"", TakeOver) == record
    assert len(counted) == 3


async def test_a_log_that_does_not_acknowledge_ends_the_process_but_a_refused_record_does_not() -> None:
    lost = LastingLog(MemoryLog(refuse=lambda *_: TransientError("no broker")))
    with pytest.raises(LogLostError):
        await lost.append("t", 0, "k", b"")
    with pytest.raises(TooLargeError):
        await LastingLog(MemoryLog()).append("t", 0, "k", b"x" * 17_000_000)


def test_another_embedder_is_another_recipe() -> None:
    parts = recipe_of("model-1")
    assert recipe_fingerprint(parts) == recipe_fingerprint(recipe_of("model-1"))
    assert recipe_fingerprint(parts) != recipe_fingerprint(recipe_of("model-2"))
