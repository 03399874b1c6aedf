"""Waits, before a stage is built, until the parts it stands on answer: a minute, and then lets it say what is wrong.

A process that ends because a part is away is started again by its supervisor, which gives up one that dies too often:
an outage must not take a stage away for good. Meanwhile the process has no /readyz, so nobody counts on it.
"""

import asyncio
from time import monotonic

import structlog

from runtime.kafka import KafkaAdmin
from runtime.settings import Settings
from schemas.errors import ConfigError, TransientError
from schemas.topics import CHANGES

_ANSWER_SECONDS = 3.0
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 2.0
_PATIENCE_SECONDS = 60.0
"""The launcher gives up what dies more than seven times within two minutes."""

log = structlog.get_logger("millstream.streams")


async def until_parts_answer(settings: Settings, *, store: bool) -> None:
    """Returns once Kafka does, with `store` Weaviate as well, or after a minute. Tells once what it waits for."""
    admin, until = KafkaAdmin(settings, seconds=_ANSWER_SECONDS), monotonic() + _PATIENCE_SECONDS
    pause, told = _FIRST_WAIT_SECONDS, ""
    while (missing := await _missing(settings, admin, store=store)) and monotonic() < until:
        if missing != told:
            log.warning("waits for a part", part=missing)
        told = missing
        await asyncio.sleep(pause)
        pause = min(_LONGEST_WAIT_SECONDS, 2 * pause)


async def _missing(settings: Settings, admin: KafkaAdmin, *, store: bool) -> str:
    """A part that does not answer; empty where all do."""
    try:
        # More than that it is there: a broker that has just begun, or was stopped, does not know its topics at once.
        await asyncio.to_thread(admin.end_offsets, CHANGES)
    except TransientError:
        return "kafka"
    except ConfigError:
        return ""  # what is wrong the checks of the stage say
    return "weaviate" if store and not await _store_answers(settings) else ""


async def _store_answers(settings: Settings) -> bool:
    from index.weaviate import open_index  # imported here: only `apply` carries the store's client

    index = open_index(settings)
    try:
        return await index.ready()
    finally:
        await index.close()
