"""Vectors for chunks: remembered by the hash of the embedded text, the rest embedded in batches across documents.

The model runs in one thread, since it uses all its cores itself. What queued up while a batch ran is the next batch;
documents take turns in it, so that a note does not wait for a book.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from index.embedding.port import Embedder

_BATCH_TEXTS = 16
_TURN_TEXTS = 4


@dataclass(slots=True, eq=False)
class _Request:
    """The texts of one document that are still to be embedded."""

    texts: deque[tuple[str, str]]
    left: int
    done: asyncio.Future[None]
    vectors: dict[str, bytes] = field(default_factory=dict)


class Vectors:
    """An embedder with a memory. All methods belong to one event loop.

    `on_step` learns how many texts a batch had, `on_answer` how many vectors were embedded and how many remembered.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        remembered: int = 20_000,
        on_step: Callable[[int], None] = lambda _texts: None,
        on_answer: Callable[[int, int], None] = lambda _embedded, _remembered: None,
    ) -> None:
        self._embedder = embedder
        self._remembered = remembered
        self._on_step = on_step
        self._on_answer = on_answer
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._requests: deque[_Request] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._runner: asyncio.Task[None] | None = None

    async def of(self, wanted: Sequence[tuple[str, str]]) -> list[bytes]:
        """Vectors of (embedded hash, embedded text) pairs, in their order: float32, little endian, unit length."""
        known = {name: self._memory[name] for name, _ in wanted if name in self._memory}
        for name in known:
            self._memory.move_to_end(name)
        missing = {name: text for name, text in wanted if name not in known}
        if missing:
            request = _Request(deque(missing.items()), len(missing), asyncio.get_running_loop().create_future())
            self._requests.append(request)
            if self._runner is None or self._runner.done():
                self._runner = asyncio.create_task(self._run())
            await request.done
            known |= request.vectors
        self._on_answer(len(missing), len(wanted) - len(missing))
        return [known[name] for name, _ in wanted]

    def close(self) -> None:
        """Wait for the batch under way and end the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._requests:
            batch = self._next_batch()
            texts = list({name: text for _, name, text in batch}.items())
            try:
                rows = await loop.run_in_executor(self._thread, self._embed, [text for _, text in texts])
            except Exception as error:  # noqa: BLE001 - handed to every document waiting; it ends the process there
                self._fail(error, {id(request): request for request, _, _ in batch})
                continue
            vectors = {name: row for (name, _), row in zip(texts, rows, strict=True)}
            self._settle(batch, vectors)
            self._on_step(len(texts))

    def _next_batch(self) -> list[tuple[_Request, str, str]]:
        """Up to a batch of texts, a few from each document in turn."""
        batch: list[tuple[_Request, str, str]] = []
        while self._requests and len(batch) < _BATCH_TEXTS:
            request = self._requests.popleft()
            for _ in range(min(_TURN_TEXTS, len(request.texts), _BATCH_TEXTS - len(batch))):
                name, text = request.texts.popleft()
                batch.append((request, name, text))
            if request.texts:
                self._requests.append(request)
        return batch

    def _embed(self, texts: list[str]) -> list[bytes]:
        return [row.astype("<f4").tobytes() for row in self._embedder.embed(texts)]

    def _settle(self, batch: list[tuple[_Request, str, str]], vectors: dict[str, bytes]) -> None:
        for request, name, _ in batch:
            request.vectors[name] = vectors[name]
            request.left -= 1
            if request.left == 0 and not request.done.done():
                request.done.set_result(None)
        self._memory.update(vectors)
        while len(self._memory) > self._remembered:
            self._memory.popitem(last=False)

    def _fail(self, error: Exception, requests: dict[int, _Request]) -> None:
        for request in requests.values():
            if request in self._requests:
                self._requests.remove(request)
            if not request.done.done():
                request.done.set_exception(error)
