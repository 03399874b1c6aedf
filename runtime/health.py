"""/healthz, /readyz and /metrics: of a stage process on loopback, and mounted by the webhook receiver and the API."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from runtime.metrics import CONTENT_TYPE, Metrics
from schemas.errors import ConfigError

LOOPBACK = "127.0.0.1"

NotReady = Callable[[], Awaitable[Sequence[str]]]
"""Reasons why the process cannot do its work now, without text or secrets; empty = ready. Must not block."""


def add_health(app: web.Application, metrics: Metrics, not_ready: NotReady) -> None:
    """Add the three routes to an app."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        reasons = list(await not_ready())
        status = 503 if reasons else 200
        return web.json_response({"status": "not ready" if reasons else "ready", "reasons": reasons}, status=status)

    async def scrape(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", scrape)


@asynccontextmanager
async def serving_health(metrics: Metrics, not_ready: NotReady, port: int) -> AsyncIterator[None]:
    """Serve the three routes on loopback within `async with`; port 0: nothing. Raises ConfigError for a taken one."""
    if not port:
        yield
        return
    app = web.Application()
    add_health(app, metrics, not_ready)
    runner = web.AppRunner(app, access_log=None)
    try:
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError:
            raise ConfigError(
                f"port {port} cannot be listened on: does this process run already? Set MILLSTREAM_METRICS_PORT"
            ) from None
        yield
    finally:
        await runner.cleanup()
