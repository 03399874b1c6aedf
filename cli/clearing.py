"""Clears a source: decides what its documents have to be older than, and deletes them round by round.

The deletes go through the log like any other change: answers follow as soon as they are applied.
"""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cli.session import open_environment, open_settings
from connectors.changes import MAX_VERSION, Receipt
from connectors.clear import Clearing, Cut, before_offsets, truncated
from connectors.debezium.names import capture_topic, slot_name
from connectors.debezium.passed import passed
from connectors.debezium.postgres import SourceDatabase, dsn_of
from runtime.clock import SystemClock
from runtime.declarations import load_sources, load_topics
from runtime.kafka import KafkaAdmin, open_producer, read_topic
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.records import Origin
from schemas.sources import SourceConfig
from schemas.topics import CHANGES
from schemas.versions import Rank, Version
from streams.groups import capture_group

CONNECTOR = "clear"

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")

Progress = Callable[[int], None]
"""Called with how many more records were read or deletes appended."""
Confirm = Callable[[int], None]
"""Called with how many documents will go; raises to stop."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """How many documents were deleted, in how many rounds."""

    source: str
    documents: int
    rounds: int


def clear_source(name: str, version: str | None, confirm: Confirm, progress: Progress) -> Cleared:
    """Delete every document of the source that is older than `version`, or than now where the source's order is known
    here. Raises ConfigError, TransientError; after the latter it may be run again.
    """
    settings = open_settings()
    source = load_sources(settings).get(name)
    if source is None:
        raise ConfigError(f"source {name} is not declared: see `millstream source list`")
    return asyncio.run(_clear(settings, source, version, confirm, progress))


async def _clear(
    settings: Settings, source: SourceConfig, version: str | None, confirm: Confirm, progress: Progress
) -> Cleared:
    cut = await cut_for(settings, open_environment(), source, version)
    event = f"clear/{uuid.uuid4()}"
    receipt = Receipt(SystemClock().now(), event, Origin(connector=CONNECTOR, reference=event))
    async with _clearing(settings, source, progress) as clearing:
        confirm(await clearing.count(cut))
        documents, rounds = 0, 0
        while deleted := await clearing.once(cut, receipt):
            documents, rounds = documents + deleted, rounds + 1
    return Cleared(source.name, documents, rounds)


@asynccontextmanager
async def _clearing(settings: Settings, source: SourceConfig, progress: Progress) -> AsyncIterator[Clearing]:
    async with open_producer(settings) as log:
        yield Clearing(source, lambda: read_topic(settings, CHANGES), log, load_topics(settings), progress)


async def cut_for(settings: Settings, environment: Mapping[str, str], source: SourceConfig, version: str | None) -> Cut:
    """What `source clear` deletes: everything below this version of the source. Raises ConfigError, TransientError."""
    if source.kind == "postgres":
        if version is None:
            return written_before(source.epoch, await _captured_position(settings, environment, source))
        return truncated(Version(source.epoch, _lsn(version), Rank.DELETE))
    if source.versioning == "source":
        if version is None:
            raise ConfigError(
                f"source {source.name} states its own versions: say with --version below which its documents go"
            )
        return truncated(Version(source.epoch, _number(version), Rank.DELETE))
    if version is not None:
        raise ConfigError(f"source {source.name} is versioned by the log: leave --version out, all of now goes")
    return before_offsets(source.epoch, await asyncio.to_thread(KafkaAdmin(settings).end_offsets, CHANGES))


def written_before(epoch: int, position: int) -> Cut:
    """All that a database told which writes at `position` now: what it writes next may begin right there."""
    return truncated(Version(epoch, position - 1, Rank.DELETE))


async def _captured_position(settings: Settings, environment: Mapping[str, str], source: SourceConfig) -> int:
    """Where the source's database writes now, once all that it wrote before is in the log: what came later than the
    clear would be there again. Raises ConfigError, TransientError.
    """
    assert source.postgres is not None
    slot, topic = slot_name(settings.kafka_topic_prefix, source.name), capture_topic(source.name)
    database, kafka = SourceDatabase(dsn_of(source, environment), source.name), KafkaAdmin(settings)
    position = (await database.table_facts(source.postgres, slot)).position

    async def confirmed() -> int | None:
        found = await database.slot(slot)
        return None if found is None else found.confirmed

    def captured() -> int:
        return kafka.group_offsets(capture_group(source.name), topic).get(0, 0)

    await passed(position, confirmed, lambda: kafka.end_offsets(topic)[0], captured)
    return position


def _lsn(text: str) -> int:
    found = _LSN.fullmatch(text)
    return _number(text) if found is None else (int(found[1], 16) << 32) + int(found[2], 16)


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MAX_VERSION:
        raise ConfigError("--version is a whole number above 0, or an LSN such as 16/B374D848")
    return int(text)
