"""Whose cancellation it is."""

import asyncio

import pytest

from runtime.cancellation import StrayCancellationError, no_stray_cancellation


async def guarded(waiting: "asyncio.Future[None]") -> None:
    with no_stray_cancellation():
        await waiting


async def test_a_cancelled_future_is_an_error_of_whoever_waits_for_it() -> None:
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(guarded(waiting))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(StrayCancellationError):
        await task


async def test_a_task_that_is_cancelled_is_cancelled() -> None:
    task = asyncio.create_task(guarded(asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_time_limit_is_no_cancellation() -> None:
    with pytest.raises(TimeoutError), no_stray_cancellation():
        async with asyncio.timeout(0.001):
            await asyncio.get_running_loop().create_future()
