"""Embeds questions off the event loop, in a thread or two of its own: ONNX Runtime releases the GIL."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from index.embedding.port import Embedder
from index.model import Vector


class Questions:
    """One embedder behind its own threads."""

    def __init__(self, embedder: Embedder, threads: int = 2) -> None:
        self._embedder = embedder
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="embed")

    async def vector(self, question: str) -> Vector:
        """The question's vector: shape (dimension,), float32, unit length."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._embedder.embed_query, question)

    def close(self) -> None:
        """End the threads once they are done."""
        self._pool.shutdown(wait=False, cancel_futures=True)
