"""The log's twin in memory."""

import asyncio

import pytest

from runtime.log_port import MAX_RECORD_BYTES, Log, MemoryLog
from schemas.errors import TooLargeError, TransientError


async def test_records_keep_their_order_and_can_be_read_back() -> None:
    memory = MemoryLog()
    log: Log = memory
    places = await asyncio.gather(*(log.append("t", number % 2, str(number), b"v") for number in range(6)))
    assert [str(at) for at in places] == ["t/0/0", "t/1/0", "t/0/1", "t/1/1", "t/0/2", "t/1/2"]
    assert [record.key for record in memory.records("t")] == ["0", "2", "4", "1", "3", "5"]
    assert [record.key for record in memory.records("t", 1)] == ["1", "3", "5"]
    assert list(memory.records("other")) == []


async def test_the_last_header_of_a_name_counts() -> None:
    memory = MemoryLog()
    await memory.append("t", 0, "k", b"v", (("a", b"1"), ("a", b"2")))
    (record,) = memory.records("t")
    assert record.header("a") == b"2"
    assert record.header("b") is None


async def test_a_record_over_the_limit_is_refused_with_the_limit() -> None:
    with pytest.raises(TooLargeError, match="limit"):
        await MemoryLog().append("t", 0, "k", bytes(MAX_RECORD_BYTES))


async def test_a_refusing_log_stores_nothing() -> None:
    memory = MemoryLog(refuse=lambda topic, key: TransientError("down") if key == "k" else None)
    with pytest.raises(TransientError):
        await memory.append("t", 0, "k", b"v")
    await memory.append("t", 0, "other", b"v")
    assert [record.key for record in memory.records("t")] == ["other"]
