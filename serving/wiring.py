"""Puts the parts of the API together; `__main__` hands it the real ones, tests the twins."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from aiohttp.web import Application

from index.embedding.port import Embedder
from index.port import VersionedIndex
from index.reader import Reader
from index.trail import Trail
from runtime.clock import Clock
from runtime.freshness_token import FreshnessToken, TokenKey, open_token
from runtime.health import NotReady
from runtime.metrics import Metrics
from schemas.identity import Tenant
from schemas.sources import Sources
from serving.answer import Answering, Parts
from serving.app import build_app
from serving.auth import Authenticator
from serving.cache import AnswerCache, CacheSize
from serving.changes import Changes
from serving.commits import CommitFeed
from serving.core.threshold import Thresholds
from serving.documents import Documents
from serving.limit import Gate, Limits
from serving.positions import Positions
from serving.questions import Questions
from serving.recall import Recall
from serving.tokens import Tokens
from serving.views import Served, Views


@dataclass(frozen=True, slots=True)
class Outside:
    """What the API stands on, beside an index."""

    embedder: Embedder
    authenticator: Authenticator
    token_key: TokenKey
    clock: Clock
    metrics: Metrics
    sources: Callable[[], Sources | None] = lambda: None
    """What is declared now; None while nothing is."""
    feed: CommitFeed | None = None
    """Commits as they become visible; whoever runs the API runs it."""
    cache_bytes: int = 0
    """Of answers; 0, or no feed: none is kept."""


class Desk:
    """Makes what answers from a build; the gate and the embedding threads are shared by all of them."""

    def __init__(self, outside: Outside, limits: Limits, thresholds: Thresholds) -> None:
        self._outside = outside
        self._gate = Gate(limits)
        self._thresholds = thresholds
        self._questions = Questions(outside.embedder)

    def serve(self, index: VersionedIndex) -> Served:
        """What answers from `index`, with a cache of its own."""
        outside = self._outside
        reader = Reader(index, outside.clock)
        positions = Positions(reader.position)
        cache = self._cache(index)
        parts = Parts(
            reader=reader,
            recall=Recall(positions, cache),
            identity=index.identity,
            questions=self._questions,
            authenticator=outside.authenticator,
            open_token=partial(_open, outside.token_key),
            gate=self._gate,
            clock=outside.clock,
            metrics=outside.metrics,
            thresholds=self._thresholds,
        )
        trail = Trail(index, positions.newest, outside.clock)
        changes = Changes(positions, trail, index.identity, outside.feed, outside.clock, outside.metrics)

        def end() -> None:
            changes.stop()
            if cache is not None:
                cache.close()

        return Served(Answering(parts), Documents(reader, index.identity), changes, end)

    def application(
        self, served: Callable[[], Awaitable[Served]], stop: Callable[[], None], not_ready: NotReady
    ) -> Application:
        """The API; `stop` is called when it shuts down. Closing it closes the embedding threads, not the index."""
        outside = self._outside
        views = Views(served, Tokens(outside.token_key, outside.sources), outside.authenticator)
        app = build_app(views, outside.metrics, outside.clock, not_ready)

        async def end_streams(_app: Application) -> None:
            stop()

        async def close(_app: Application) -> None:
            self._questions.close()

        app.on_shutdown.append(end_streams)
        app.on_cleanup.append(close)
        return app

    def _cache(self, index: VersionedIndex) -> AnswerCache | None:
        outside = self._outside
        if outside.feed is None or outside.cache_bytes == 0:
            return None
        size = CacheSize(outside.cache_bytes)
        return AnswerCache(outside.feed, index.identity, outside.clock, outside.metrics, size)


def build_api(
    index: VersionedIndex, outside: Outside, limits: Limits, thresholds: Thresholds, not_ready: NotReady
) -> Application:
    """The API of one build that never changes."""
    desk = Desk(outside, limits, thresholds)
    served = desk.serve(index)

    async def always() -> Served:
        return served

    return desk.application(always, served.end, not_ready)


def _open(key: TokenKey, token: str, tenant: Tenant) -> FreshnessToken:
    return open_token(key, token, tenant)
