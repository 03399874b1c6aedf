"""`python -m serving`: the query API as a process, on the real parts."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import partial

import structlog
import uvloop
from aiohttp import web

from index.embedding.choice import open_embedder
from index.model import IndexIdentity
from index.weaviate import open_build
from index.went_back import went_back
from runtime.aio_kafka import KafkaTail
from runtime.clock import SystemClock
from runtime.declarations import load_sources, load_topics
from runtime.freshness_token import token_key
from runtime.kafka import KafkaAdmin
from runtime.logs import configure
from runtime.metrics import Metrics
from runtime.new_records import NewRecords
from runtime.settings import Settings, load_settings
from runtime.watched_files import WatchedFiles
from schemas.errors import ConfigError, DecodeError
from schemas.sources import Sources
from schemas.topics import COMMITS, GENERATIONS
from serving.auth import JwtKeys, KeysNow, api_keys_of, build_authenticator, jwt_keys_of
from serving.commits import CommitFeed
from serving.core.threshold import Thresholds
from serving.jwks import PublishedKeys, fetcher
from serving.limit import Limits
from serving.live import Live, Opened
from serving.reach import KafkaReach
from serving.readiness import Readiness
from serving.wiring import Desk, Outside

_READ_SECONDS = 2.5
_LOOK_SECONDS = 1.0
_MB = 1024 * 1024
_EMBEDDING_THREADS = 1
"""One question has too little work to share: with 2 threads ONNX Runtime spins between questions, 38 ms of CPU each at
30 questions a second instead of 8."""

_COLLECTOR = 50_000, 20, 50
"""How many new objects, and collections of the younger generation, make the collector look at each generation."""

log = structlog.get_logger("serving")


async def serve(settings: Settings, metrics: Metrics) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError."""
    clock = SystemClock()
    keys = WatchedFiles([settings.api_keys_file], partial(api_keys_of, settings), metrics, what="api_keys")
    jwks, look_again = await _jwt_keys(settings, metrics)
    held = KeysNow(lambda: jwks.current, lambda: keys.current, look_again)
    authenticator = build_authenticator(settings, clock, held)
    key = token_key(settings.token_key.get_secret_value())
    embedder = open_embedder(settings, threads=_EMBEDDING_THREADS)
    embedder.embed_query("warm up")
    sources = _watch_sources(settings, metrics)
    feed = _commit_feed(settings, metrics)
    outside = Outside(
        embedder,
        authenticator,
        key,
        clock,
        metrics,
        lambda: sources.current,
        feed,
        settings.answer_cache_mb * _MB,
    )
    desk = Desk(outside, Limits(), Thresholds())

    def open_one(identity: IndexIdentity) -> Opened:
        index = open_build(settings, identity, read_seconds=_READ_SECONDS)
        return Opened(index, Readiness(index, embedder), desk.serve(index))

    reach = KafkaReach(KafkaAdmin(settings, seconds=1.0))
    live = Live(NewRecords(settings, GENERATIONS).read, open_one, reach, partial(went_back, settings=settings))
    runner = web.AppRunner(desk.application(live.served, live.end, live.not_ready), access_log=None)
    try:
        await live.look()
        await runner.setup()
        _quiet_collector()
        await _listen(runner, settings)
        await _until_stopped(live.keep_looking(_LOOK_SECONDS), sources.watch(), keys.watch(), jwks.watch(), feed.run())
    finally:
        await runner.cleanup()
        await live.close()


async def _jwt_keys(
    settings: Settings, metrics: Metrics
) -> tuple[PublishedKeys | WatchedFiles[JwtKeys], Callable[[], None]]:
    """What verifies bearer tokens, and how to look for more of it. Raises ConfigError."""
    if settings.jwt_jwks_url:
        if settings.jwt_jwks_file is not None:
            raise ConfigError("set MILLSTREAM_JWT_JWKS_FILE or MILLSTREAM_JWT_JWKS_URL, not both")
        published = PublishedKeys(fetcher(settings.jwt_jwks_url), metrics)
        await published.refresh()
        return published, published.look_again
    read = WatchedFiles([settings.jwt_jwks_file], partial(jwt_keys_of, settings), metrics, what="jwks")
    return read, read.reload


def _quiet_collector() -> None:
    """Requests leave no cycles worth looking for: a full collection of what start-up made took 100 to 260 ms of one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR)


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    address = f"{settings.api_host}:{settings.api_port}"
    try:
        await web.TCPSite(runner, settings.api_host, settings.api_port, reuse_address=True).start()
    except OSError:
        address = f"{settings.api_host}:{settings.api_port}"
        raise ConfigError(
            f"{address} cannot be listened on: is the API running already? Set MILLSTREAM_API_PORT"
        ) from None
    log.info("listening", address=f"{settings.api_host}:{settings.api_port}")


def _commit_feed(settings: Settings, metrics: Metrics) -> CommitFeed:
    """What becomes visible; questions are answered without it, too."""
    partitions = load_topics(settings).partitions(COMMITS)
    return CommitFeed(KafkaTail(settings, COMMITS, partitions), metrics)


def _watch_sources(settings: Settings, metrics: Metrics) -> WatchedFiles[Sources | None]:
    """What is declared; nothing where there is no sources.yaml yet. Questions are answered without it."""

    def load() -> Sources | None:
        return load_sources(settings) if settings.sources_file.exists() else None

    return WatchedFiles([settings.sources_file], load, metrics)


async def _until_stopped(*endless: Coroutine[None, None, None]) -> None:
    """Until a signal, or until one of the endless tasks ends with an error."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks = [asyncio.create_task(each) for each in endless]
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
    stopping.cancel()
    for task in tasks:
        task.cancel()


def main() -> int:
    """Exit status: 1 with one line for what an operator can set right, and for a commit that cannot be decoded."""
    try:
        settings = load_settings()
        metrics = Metrics()
        configure(settings, "serving", metrics)
        uvloop.run(serve(settings, metrics))
    except ConfigError as error:
        print(f"millstream serving: {error}", file=sys.stderr)
        return 1
    except DecodeError as error:
        log.critical("a commit cannot be decoded", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
