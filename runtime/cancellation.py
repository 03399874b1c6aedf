"""Tells a task's own cancellation from one that only went through it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class StrayCancellationError(Exception):
    """Something that was waited for was cancelled, and nobody meant whoever waited."""


@contextmanager
def no_stray_cancellation() -> Iterator[None]:
    """What a task awaits may be cancelled by others, and then raises the same error in it: the task would end as if it
    had been told to, and nobody would hear of it. Raises StrayCancellationError instead.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise StrayCancellationError("something that was waited for was cancelled") from error
