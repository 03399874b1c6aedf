"""Puts a sources.yaml in force: checks it, makes everything it needs, replaces the applied copy the processes watch,
and then brings Kafka Connect to it.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from cli.bootstrap import Bootstrapped, bootstrap, create_tenants
from cli.session import open_environment, open_profile, open_settings
from connectors.debezium.apply import Applied, Report, apply_connectors, check_tables, silent
from index.model import IndexIdentity
from infra.local.profile import write_private
from runtime.clock import Clock
from runtime.declarations import load_sources
from runtime.settings import Settings
from schemas.errors import ConfigError
from schemas.sources import SourceConfig, Sources, parse_sources


def read_sources(file: Path) -> tuple[Sources, str]:
    """A sources.yaml and its text. Raises ConfigError with one line."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist: copy sources.example.yaml to it and edit it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {type(error).__name__}") from None
    return parse_sources(text), text


@dataclass(frozen=True, slots=True)
class InForce:
    """What is in force now, and what Kafka Connect was told."""

    sources: Sources
    connectors: Applied
    notes: tuple[str, ...] = ()
    """What stays as it was until somebody does something about it."""


def apply_sources(file: Path, report: Report = silent) -> InForce:
    """Check `file` against what is in force and against its databases, create topics, tenants and secrets, put it in
    force, and apply its connectors. Raises ConfigError, TransientError; before the last step nothing is in force then.
    """
    wanted, text = read_sources(file)
    profile, settings = open_profile(), open_settings()
    before = sources_in_force(settings)
    if before is not None:
        check_change(before, wanted)
    environment = open_environment()
    asyncio.run(check_tables(settings, environment, wanted))
    asyncio.run(install(settings, wanted))
    profile.ensure_webhook_secrets(source.name for source in wanted.sources if source.kind == "webhook")
    # Before the connectors: rows that are read again by a new declaration must meet processes that know it.
    write_private(settings.sources_file, text)
    applied = asyncio.run(apply_connectors(settings, environment, wanted, before, report))
    return InForce(wanted, applied, (*applied.notes, *_what_stays(before, wanted)))


def _what_stays(before: Sources | None, after: Sources) -> Iterator[str]:
    for known in before.sources if before is not None else ():
        now = after.get(known.name)
        if now is None:
            yield (
                f"{known.name}: not declared any more: its documents are still answered, and follow it no more;"
                f" to delete them declare it again and run `millstream source clear {known.name}`"
            )
        elif now.redaction != known.redaction:
            yield (
                f"{known.name}: what was prepared before keeps what the old redaction left in it;"
                " to prepare everything again: `millstream replay --generation NAME`, NAME being a new one"
            )


def declare_beside(settings: Settings, source: SourceConfig) -> SourceConfig:
    """Put one more source in force beside the declared ones, where none has its name; the operator's file stays as it
    is. Returns the one in force. Raises as `apply_sources`.
    """
    declared = load_sources(settings)
    if (known := declared.get(source.name)) is not None:
        return known
    wanted = declared.model_copy(update={"sources": (*declared.sources, source)})
    with TemporaryDirectory(prefix="millstream-sources-") as folder:
        file = Path(folder) / "sources.yaml"
        file.write_bytes(orjson.dumps(wanted.model_dump(mode="json", exclude_defaults=True)))  # JSON is YAML
        apply_sources(file)
    return source


def sources_in_force(settings: Settings) -> Sources | None:
    """The applied copy; None where there is none yet. Raises ConfigError."""
    if not settings.sources_file.exists():
        return None
    return parse_sources(settings.sources_file.read_text(encoding="utf-8"))


def connect_sources(report: Report = silent) -> Applied:
    """Apply the connectors of the sources in force. Raises ConfigError, TransientError."""
    settings = open_settings()
    sources = sources_in_force(settings)
    if sources is None or not sources.captured:
        return Applied()
    return asyncio.run(apply_connectors(settings, open_environment(), sources, None, report))


def check_change(before: Sources, after: Sources) -> None:
    """Refuse an edit that would give documents another owner or order. Raises ConfigError."""
    for source in after.sources:
        known = before.get(source.name)
        if known is None:
            continue
        if known.tenant != source.tenant:
            raise ConfigError(
                f"source {source.name} belongs to tenant {known.tenant}: a document's identity never moves, "
                f"declare a source of another name for {source.tenant}"
            )
        if source.epoch < known.epoch:
            raise ConfigError(f"source {source.name}: epoch never goes down ({known.epoch} is in force)")
        if (known.kind == "postgres") != (source.kind == "postgres") and source.epoch == known.epoch:
            raise ConfigError(f"source {source.name}: a change of kind needs a higher epoch than {known.epoch}")
        if known.versioning != source.versioning and source.epoch == known.epoch:
            raise ConfigError(f"source {source.name}: a change of versioning needs a higher epoch than {known.epoch}")


async def install(settings: Settings, sources: Sources) -> Bootstrapped:
    """Everything an installation needs before its processes start; idempotent."""
    from index.embedding.choice import embedding_recipe
    from index.weaviate import open_build, open_index
    from runtime.aio_kafka import LogProducer
    from runtime.clock import SystemClock
    from runtime.declarations import load_topics
    from runtime.kafka import KafkaAdmin
    from streams.recipe import recipe_of

    model = await asyncio.to_thread(embedding_recipe, settings)
    index = open_index(settings)
    log = LogProducer(settings)

    async def create_tenants_of(build: IndexIdentity, declared: Sources, clock: Clock) -> None:
        other = open_build(settings, build)
        try:
            await create_tenants(other, declared, clock)
        finally:
            await other.close()

    await log.start()
    try:
        return await bootstrap(
            settings,
            load_topics(settings),
            sources,
            admin=KafkaAdmin(settings),
            log=log,
            index=index,
            create_tenants_of=create_tenants_of,
            dimension=model.dimension,
            recipe=recipe_of(model.fingerprint, settings.chunk_tokens),
            clock=SystemClock(),
        )
    finally:
        await log.stop()
        await index.close()
