"""Vectors for chunks: remembered by the hash of the embedded text, in memory and on disk; the rest embedded in runs
across documents.

The model runs in one thread, since it uses all its cores itself. Documents take turns: each run begins with the text
whose turn it is and is filled with waiting texts of like length, so that a note does not wait for a book and little is
spent on padding. A document has its vectors as soon as its last text is done.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np

from index.embedding.port import Embedder, FailedTextsError, probe_text
from schemas.errors import TransientError, UnreadableError

RUN_TEXTS = 32
RUN_CHARACTERS = 2048
"""Of one run, padding included: more are no faster on two cores, and make the next document wait."""

_PADDING = 1.25
_RUN_COST = 100
"""Characters' worth of a run of its own: so much padding may be wasted for one run less."""
_LOOK = 256


@dataclass(frozen=True, slots=True)
class Obtained:
    """How the vectors of one document were obtained."""

    embedded: int
    remembered: int
    stored: int


class VectorStore(Protocol):
    """Vectors that outlive the process; it may forget any of them. Blocks: called from a thread of its own."""

    def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Those it has."""
        ...

    def put(self, vectors: Mapping[str, bytes]) -> None:
        """Keep them, as long as there is room."""
        ...

    def close(self) -> None:
        """Let the files go."""
        ...


@dataclass(slots=True, eq=False)
class _Text:
    """A text that is to be embedded, once, for everyone who waits for it."""

    name: str
    said: str
    waiting: "list[_Request]" = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Request:
    """One document's texts that are still to be embedded."""

    queue: deque[_Text]
    left: int
    done: asyncio.Future[None]
    vectors: dict[str, bytes] = field(default_factory=dict)


class Vectors:
    """An embedder with a memory. All methods belong to one event loop.

    `on_step` learns how many texts a run had, `on_answer` how a document's vectors were obtained.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        store: VectorStore | None = None,
        remembered: int = 20_000,
        run_texts: int = RUN_TEXTS,
        run_characters: int = RUN_CHARACTERS,
        on_step: Callable[[int], None] = lambda _texts: None,
        on_answer: Callable[[Obtained], None] = lambda _obtained: None,
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._remembered = remembered
        self._run_texts = run_texts
        self._run_characters = run_characters
        self._on_step = on_step
        self._on_answer = on_answer
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._pending: dict[str, _Text] = {}
        self._requests: deque[_Request] = deque()
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="vectors")
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    async def of(self, wanted: Sequence[tuple[str, str]]) -> list[bytes]:
        """Vectors of (embedded hash, embedded text) pairs, in their order: float32, little endian, unit length.

        Raises UnreadableError for a text that the model cannot embed.
        """
        known = self._recalled(name for name, _ in wanted)
        remembered = len(known)
        unknown = {name: text for name, text in wanted if name not in known}
        stored = await self._stored(list(unknown))
        known |= stored
        missing = {name: text for name, text in unknown.items() if name not in known}
        if missing:
            known |= await self._embedded(missing)
        repeated = len(wanted) - remembered - len(unknown)
        self._on_answer(Obtained(len(missing), remembered + repeated, len(stored)))
        return [known[name] for name, _ in wanted]

    def close(self) -> None:
        """Wait for the run under way, then for what is to be stored, and end the threads."""
        self._closed = True
        self._model_thread.shutdown(wait=True, cancel_futures=True)
        self._store_thread.shutdown(wait=True)
        if self._store is not None:
            self._store.close()

    def _recalled(self, names: Iterator[str]) -> dict[str, bytes]:
        known = {name: self._memory[name] for name in names if name in self._memory}
        for name in known:
            self._memory.move_to_end(name)
        return known

    async def _stored(self, names: Sequence[str]) -> Mapping[str, bytes]:
        if self._store is None or not names:
            return {}
        found = await asyncio.get_running_loop().run_in_executor(self._store_thread, self._store.get, names)
        self._remember(found)
        return found

    def _remember(self, vectors: Mapping[str, bytes]) -> None:
        self._memory.update(vectors)
        while len(self._memory) > self._remembered:
            self._memory.popitem(last=False)

    async def _embedded(self, missing: Mapping[str, str]) -> dict[str, bytes]:
        request = _Request(deque(), len(missing), asyncio.get_running_loop().create_future())
        for name, said in missing.items():
            text = self._pending.get(name)
            if text is None:
                text = self._pending[name] = _Text(name, said)
                request.queue.append(text)
            text.waiting.append(request)
        if request.queue:
            self._requests.append(request)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        await request.done
        return request.vectors

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._requests:
            texts = self._next_run()
            said = [text.said for text in texts]
            try:
                outcomes = await loop.run_in_executor(self._model_thread, self._embed, said)
            except Exception as error:  # noqa: BLE001 - handed to every document waiting; it ends the process there
                for text in texts:
                    self._settle(text, error)
                continue
            fresh = {}
            for text, outcome in zip(texts, outcomes, strict=True):
                self._settle(text, outcome)
                if isinstance(outcome, bytes):
                    fresh[text.name] = outcome
            self._remember(fresh)
            if self._store is not None and not self._closed:
                self._store_thread.submit(self._store.put, fresh)
            self._on_step(len(texts))

    def _next_run(self) -> list[_Text]:
        """The text whose turn it is, and the waiting ones nearest to it in length, within the limits of a run."""
        turn = self._requests[0]
        first = turn.queue[0]
        self._requests.rotate(-1)
        others = [text for text in islice(self._waiting(), _LOOK) if text is not first]
        others.sort(key=lambda text: abs(len(text.said) - len(first.said)))
        run, total, longest = [first], self._cost(first), self._cost(first)
        for text in others:
            total, longest = total + self._cost(text), max(longest, self._cost(text))
            padded = longest * (len(run) + 1)
            is_full = len(run) == self._run_texts or padded > self._run_characters
            if is_full or padded > _PADDING * total + _RUN_COST:
                break
            run.append(text)
        chosen = {text.name for text in run}
        for request in self._requests:
            if any(text.name in chosen for text in islice(request.queue, _LOOK)):
                request.queue = deque(text for text in request.queue if text.name not in chosen)
        self._requests = deque(request for request in self._requests if request.queue)
        return run

    def _waiting(self) -> Iterator[_Text]:
        """Texts in turns, one of each document."""
        queues = [iter(request.queue) for request in self._requests]
        while queues:
            going = []
            for queue in queues:
                text = next(queue, None)
                if text is not None:
                    yield text
                    going.append(queue)
            queues = going

    def _cost(self, text: _Text) -> int:
        """Characters that count: what is over the model's longest input is cut off, and costs no more."""
        return min(len(text.said), 5 * self._embedder.max_tokens)

    def _embed(self, said: Sequence[str]) -> list[bytes | Exception]:
        """A vector, or what is wrong, of each text. Raises what the model raises when it is the model's fault: when it
        fails on every text, or does not answer.
        """
        rows = self._tried(said)
        if rows is not None:
            return [*rows]
        if len(said) > 1:
            half = len(said) // 2
            return [*self._embed(said[:half]), *self._embed(said[half:])]
        self._embedder.embed([probe_text()])
        rows = self._tried(said)  # once more: a model that failed for a moment is no reason to give a document up
        failed = UnreadableError("the embedding model fails on one of its texts", reason="not_embeddable")
        return [failed] if rows is None else [*rows]

    def _tried(self, said: Sequence[str]) -> list[bytes] | None:
        """None where a text may be at fault."""
        try:
            return [_checked(row) for row in self._embedder.embed(said)]
        except FailedTextsError:
            return None
        except TransientError:
            raise
        except Exception:  # noqa: BLE001 - asked again apart, to find whose fault it is
            return None

    def _settle(self, text: _Text, outcome: bytes | Exception) -> None:
        del self._pending[text.name]
        for request in text.waiting:
            if isinstance(outcome, Exception):
                self._give_up(request, outcome)
                continue
            request.vectors[text.name] = outcome
            request.left -= 1
            if request.left == 0 and not request.done.done():
                request.done.set_result(None)

    def _give_up(self, request: _Request, error: Exception) -> None:
        """The document fails; texts that only it waits for are not embedded any more."""
        if not request.done.done():
            request.done.set_exception(error)
        for text in request.queue:
            text.waiting = [other for other in text.waiting if other is not request]
            if not text.waiting:
                self._pending.pop(text.name, None)
        request.queue = deque(text for text in request.queue if text.waiting)
        if not request.queue and request in self._requests:
            self._requests.remove(request)


def _checked(row: np.ndarray[tuple[int], np.dtype[np.float32]]) -> bytes:
    if not np.isfinite(row).all():
        raise ValueError("a vector with a value that is no number")
    return row.astype("<f4").tobytes()
