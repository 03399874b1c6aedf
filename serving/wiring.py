"""Puts the parts of the API together; `__main__` hands it the real ones, tests the twins."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import web

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
from serving.views import Views


@dataclass(frozen=True, slots=True)
class Outside:
    """What the API stands on."""

    index: VersionedIndex
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


def build_api(outside: Outside, limits: Limits, thresholds: Thresholds, not_ready: NotReady) -> web.Application:
    """The application; closing it closes the embedding threads, not the index."""
    reader = Reader(outside.index, outside.clock)
    positions = Positions(reader.position)
    questions = Questions(outside.embedder)
    parts = Parts(
        reader=reader,
        recall=Recall(positions, _cache(outside)),
        identity=outside.index.identity,
        questions=questions,
        authenticator=outside.authenticator,
        open_token=partial(_open, outside.token_key),
        gate=Gate(limits),
        clock=outside.clock,
        metrics=outside.metrics,
        thresholds=thresholds,
    )
    documents = Documents(reader, outside.index.identity)
    tokens = Tokens(outside.token_key, outside.sources)
    trail = Trail(outside.index, positions.newest, outside.clock)
    changes = Changes(positions, trail, outside.index.identity, outside.feed, outside.clock, outside.metrics)
    views = Views(Answering(parts), documents, tokens, changes, outside.authenticator)
    app = build_app(views, outside.metrics, outside.clock, not_ready)

    async def end_streams(_app: web.Application) -> None:
        changes.stop()

    async def close(_app: web.Application) -> None:
        questions.close()

    app.on_shutdown.append(end_streams)
    app.on_cleanup.append(close)
    return app


def _cache(outside: Outside) -> AnswerCache | None:
    if outside.feed is None or outside.cache_bytes == 0:
        return None
    size = CacheSize(outside.cache_bytes)
    return AnswerCache(outside.feed, outside.index.identity, outside.clock, outside.metrics, size)


def _open(key: TokenKey, token: str, tenant: Tenant) -> FreshnessToken:
    return open_token(key, token, tenant)
