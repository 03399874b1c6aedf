"""Sends server-sent events: a response that goes on for as long as its client takes what it is sent."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",
}


async def send_events(
    request: web.Request, events: AsyncGenerator[bytes, None], request_id: str, slow_seconds: float
) -> web.StreamResponse:
    """Send until the events end, the client goes away, or it takes nothing for `slow_seconds`."""
    response = web.StreamResponse(headers=_HEADERS | {"X-Request-Id": request_id})
    async with aclosing(events):
        try:
            await response.prepare(request)
            async for event in events:
                async with asyncio.timeout(slow_seconds):
                    await response.write(event)
        except ConnectionError:
            return response
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
    return response
