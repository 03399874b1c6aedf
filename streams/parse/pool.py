"""Parsing in processes of its own, so that a document that hangs, crashes or swells takes nothing with it.

Each worker has one document at a time: what it dies of is known, and no neighbour is a suspect. A worker that fails is
killed and replaced; one that merely died is given its document once more, alone, before the document is blamed.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Coroutine
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import BinaryIO, Self

from schemas.errors import TransientError, UnreadableError
from schemas.redaction import Kind
from streams.core.blocks import ParsedDocument
from streams.core.redaction import Search, Sighted
from streams.parse import wire
from streams.parse.limits import Limits

_START_SECONDS = 120.0
_SLICE_SECONDS = 1.0
_DEFAULT_LIMITS = Limits()
_LONGEST_ANSWER = 256 * 1024 * 1024
_LONGEST_WORDS = 64 * 1024
# A worker knows no setting and no secret; threads of numeric libraries would only cost memory.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class _DiedError(Exception):
    """The worker's pipe ended."""


def _last_words() -> BinaryIO:
    """A file for what a worker says as it dies: in memory, since a word of its document may be among it."""
    return os.fdopen(os.memfd_create("parser") if sys.platform == "linux" else os.open(os.devnull, os.O_RDWR), "r+b")


def _not_started(error: Exception) -> TransientError:
    return TransientError(f"a parser process could not be started: {error}")


class _Worker:
    """One parser process."""

    def __init__(self, process: Process, words: BinaryIO) -> None:
        self._process = process
        self._words = words
        self.documents = 0
        self.renewing = False
        """A successor is on its way; until it is ready this one goes on."""
        self.retired = False

    @classmethod
    async def start(cls, memory_mb: int, limits: Limits, kinds: tuple[Kind, ...] = ()) -> Self:
        """Start a process and wait until it has imported everything. Raises TransientError."""
        arguments = ("-m", "streams.parse.worker", str(os.getpid()), str(memory_mb), limits.argument(), *kinds)
        try:
            words = _last_words()
        except OSError as error:
            raise _not_started(error) from None
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=PIPE, stdout=PIPE, stderr=words, env=_ENVIRONMENT
            )
        except (OSError, RuntimeError) as error:  # no memory, no descriptors, no threads at the moment
            words.close()
            raise _not_started(error) from None
        worker = cls(process, words)
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await worker._receive()
        except (_DiedError, TimeoutError):
            ready = b""
        except asyncio.CancelledError:
            await worker.kill()
            raise
        if ready != wire.READY:
            await worker.kill()
            raise TransientError("a parser process did not start: see `python -m streams.parse.worker 0 1024 1,1,1,1`")
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, message: bytes) -> bytes:
        """Send one request and wait for its answer. Raises _DiedError."""
        assert self._process.stdin is not None
        self.documents += 1
        try:
            self._process.stdin.write(wire.framed(message))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise _DiedError from None
        return await self._receive()

    async def _receive(self) -> bytes:
        assert self._process.stdout is not None
        try:
            (length,) = wire.LENGTH.unpack(await self._process.stdout.readexactly(wire.LENGTH.size))
            if length > _LONGEST_ANSWER:
                raise _DiedError
            return await self._process.stdout.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            raise _DiedError from None

    def died_of_memory(self) -> bool:
        """Whether it said so; asked once its pipe has ended, before `kill`."""
        file = self._words.fileno()
        words = os.pread(file, _LONGEST_WORDS, max(0, os.fstat(file).st_size - _LONGEST_WORDS))
        return any(word in words for word in wire.OUT_OF_MEMORY)

    async def kill(self) -> None:
        """End the process now and reap it."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._words.close()


async def _within(seconds: float, asking: Coroutine[None, None, bytes]) -> bytes:
    """Its answer. Raises TimeoutError after so long; the time that this process slept does not count, for then its
    parsers slept, too.
    """
    task, left = asyncio.create_task(asking), seconds
    try:
        while left > 0:
            began = monotonic()
            done, _ = await asyncio.wait([task], timeout=min(left, _SLICE_SECONDS))
            if done:
                return task.result()
            left -= min(monotonic() - began, 2 * _SLICE_SECONDS)
        raise TimeoutError
    finally:
        task.cancel()


class ParserPool:
    """Up to `workers` parser processes with limits of time (`seconds`) and memory (`memory_mb` above their start) a
    document, and those of `limits`.

    The first one starts with the pool; another when a document waits and fewer than `workers` are there (each costs
    some seconds of CPU to start, and 200 MB). A worker is renewed after `documents_per_worker` documents. Start it and
    close it, or use it as a context manager.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        seconds: float = 30.0,
        memory_mb: int = 1024,
        documents_per_worker: int = 5000,
        kinds: tuple[Kind, ...] = (),
        limits: Limits = _DEFAULT_LIMITS,
    ) -> None:
        self._size = workers
        self._kinds = kinds
        self._limits = limits
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._documents_per_worker = documents_per_worker
        self._idle: asyncio.Queue[_Worker | TransientError] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._workers: set[_Worker] = set()
        self._closed = asyncio.Event()
        self._asked_for = 0
        """Workers that are there or on their way, successors aside."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Start the first worker and wait for it (some seconds: unstructured is large). Raises TransientError."""
        self._asked_for = 1
        await self._add()

    def _grow(self) -> None:
        """Start one more worker, in the background, while there are fewer than wanted."""
        if self._asked_for < self._size:
            self._asked_for += 1
            self._spawn(self._replace(None))

    async def close(self) -> None:
        """End all workers; documents under way fail with TransientError."""
        self._closed.set()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(worker) for worker in tuple(self._workers)))
        self._idle.put_nowait(TransientError("the parser pool is closed"))

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that are ready, for a look at their memory."""
        return tuple(worker.pid for worker in self._workers)

    async def parse(self, body: bytes, content_type: str | None, name: str) -> ParsedDocument:
        """Parse one document, as `read`, and look for nothing in it."""
        return (await self.read(body, content_type, name, Search())).document

    async def read(self, body: bytes, content_type: str | None, name: str, search: Search) -> Sighted:
        """Parse one document in a worker and look for personal data in it; waits for a free one.

        Raises UnreadableError (the reasons of `read_document`, parser_timeout, parser_crashed, parser_memory) or, when
        no worker can be started or the pool is closed, TransientError.
        """
        message = wire.encode_request(wire.Request(body, content_type, name, search))
        try:
            return await self._read_once(message, search)
        except _DiedError:
            pass
        try:
            return await self._read_once(message, search)
        except _DiedError:
            raise UnreadableError("the parser crashed twice on this document", reason="parser_crashed") from None

    async def _read_once(self, message: bytes, search: Search) -> Sighted:
        worker = await self._free_worker()
        keep = False
        try:
            answer = await _within(self._seconds, worker.ask(message))
            read = wire.decode_answer(answer, search.sides)
            keep = True
            return read
        except TimeoutError:
            raise UnreadableError(
                f"the document took over {self._seconds:g} s to parse", reason="parser_timeout"
            ) from None
        except UnreadableError as error:
            # After a failed allocation a process is not to be trusted with another document.
            keep = error.reason != "parser_memory"
            raise
        except _DiedError:
            if self._closed.is_set():
                raise TransientError("the parser pool is closed") from None
            if worker.died_of_memory():
                raise wire.out_of_memory() from None
            raise
        finally:
            self._give_back(worker, keep)

    async def _free_worker(self) -> _Worker:
        while True:
            if self._closed.is_set():
                raise TransientError("the parser pool is closed")
            if self._idle.empty():
                self._grow()
            found = await self._idle.get()
            if self._closed.is_set():
                # The one wake-up that `close` sends goes from waiter to waiter.
                self._idle.put_nowait(found)
            elif isinstance(found, TransientError):
                self._spawn(self._replace(None))
                raise found
            elif found.retired:
                await self._end(found)
            else:
                return found

    def _give_back(self, worker: _Worker, keep: bool) -> None:
        if self._closed.is_set():
            return
        if not keep:
            self._spawn(self._replace(worker))
            return
        if worker.documents >= self._documents_per_worker and not worker.renewing:
            worker.renewing = True
            self._spawn(self._renew(worker))
        self._idle.put_nowait(worker)

    async def _add(self) -> None:
        worker = await _Worker.start(self._memory_mb, self._limits, self._kinds)
        self._workers.add(worker)
        self._idle.put_nowait(worker)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _renew(self, worker: _Worker) -> None:
        try:
            await self._add()
            worker.retired = True
        except TransientError:
            worker.renewing = False

    async def _replace(self, worker: _Worker | None) -> None:
        if worker is not None:
            await self._end(worker)
        try:
            await self._add()
        except TransientError as error:
            self._idle.put_nowait(error)

    async def _end(self, worker: _Worker) -> None:
        await worker.kill()
        self._workers.discard(worker)
