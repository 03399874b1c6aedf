"""A TCP line to a part that can be made slow: every answer is held back for some seconds. For tests of slow parts."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class SlowLine:
    """Listens on a free loopback port and passes everything on; `seconds` is how long answers are held back."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self.address = ""
        self.seconds = 0.0

    async def run(self, listening: threading.Event, stop: asyncio.Event) -> None:
        """Until `stop`."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"
        listening.set()
        await stop.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, downstream = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pump(reader, downstream, answers=False), self._pump(upstream, writer, answers=True))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):
            while some := await source.read(65_536):
                if answers and self.seconds:
                    await asyncio.sleep(self.seconds)
                sink.write(some)
                await sink.drain()
        with suppress(OSError):
            sink.close()


@contextmanager
def slow_line(target: str) -> Iterator[SlowLine]:
    """A line that runs in a thread of its own until the end of `with`."""
    line, listening = SlowLine(target), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(line.run(listening, stop),), daemon=True)
    thread.start()
    listening.wait()
    try:
        yield line
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
