"""Makes connectors as sources.yaml declares them: looks at every table first, and touches nothing unless all will do.

Applying the same twice changes nothing. What to do is decided in plan; here it is done, one source after the other.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from connectors.debezium.connect_client import ConnectClient
from connectors.debezium.failures import explain
from connectors.debezium.names import connector_name, connector_stem, slot_name
from connectors.debezium.plan import Action, Existing, Step, check_lineage, plan_connector
from connectors.debezium.postgres import Dsn, SourceDatabase, dsn_of
from connectors.debezium.secrets import PasswordStore
from connectors.debezium.tables import TableFacts, advice, check_table
from connectors.debezium.template import Surroundings, connector_config
from runtime.settings import Settings
from schemas.errors import ConfigError, MillstreamError, TransientError
from schemas.sources import SourceConfig, Sources

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.25

Report = Callable[[str], None]


def silent(line: str) -> None:
    """Reports nothing."""
    del line


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done: per source its action, and what an operator should know."""

    actions: Mapping[str, Action] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Target:
    """One source and what surrounds it."""

    source: SourceConfig
    dsn: Dsn
    database: SourceDatabase
    facts: TableFacts
    connector: str
    slot: str


async def apply_connectors(
    settings: Settings,
    environment: Mapping[str, str],
    wanted: Sources,
    before: Sources | None = None,
    report: Report = silent,
) -> Applied:
    """Bring Connect to what `wanted` declares. `before`: what was in force, for the databases of sources that went.

    Raises ConfigError with one line that names source, table and column and the remedy, before anything was changed
    wherever it can be known; TransientError when Connect or a database does not answer.
    """
    if not wanted.captured and (before is None or not before.captured):
        return Applied()
    async with ConnectClient(settings.connect_url) as connect:
        passwords = PasswordStore.of(settings)
        targets = [await _examine(settings, environment, source) for source in wanted.captured]
        actions: dict[str, Action] = {}
        for target in targets:
            step = await _bring_to(connect, settings, passwords, target)
            report(f"{target.source.name}: {step.action}" + (f", {step.why}" if step.why else ""))
            actions[target.source.name] = step.action
        for target in targets:
            await _wait_running(connect, target)
        removed, left = await _remove_others(connect, settings, environment, wanted, before)
        notes = [line for target in targets for line in _notes(target, actions[target.source.name])]
        return Applied(actions, removed, (*notes, *left))


async def check_tables(settings: Settings, environment: Mapping[str, str], wanted: Sources) -> None:
    """Look at every captured table and change nothing. Raises what `apply_connectors` raises first."""
    PasswordStore.of(settings)
    for source in wanted.captured:
        await _examine(settings, environment, source)


async def _examine(settings: Settings, environment: Mapping[str, str], source: SourceConfig) -> _Target:
    assert source.postgres is not None
    prefix = settings.kafka_topic_prefix
    dsn = dsn_of(source, environment)
    database = SourceDatabase(dsn, source.name)
    slot = slot_name(prefix, source.name)
    facts = await database.table_facts(source.postgres, slot)
    check_table(source, facts, slot)
    return _Target(source, dsn, database, facts, connector_name(prefix, source.name), slot)


async def _existing(connect: ConnectClient, target: _Target) -> Existing:
    config = await connect.config(target.connector)
    if config is None:
        return Existing()
    return Existing(
        config,
        await connect.state(target.connector),
        await connect.position(target.connector),
        await target.database.slot(target.slot),
    )


async def _bring_to(connect: ConnectClient, settings: Settings, passwords: PasswordStore, target: _Target) -> Step:
    existing = await _existing(connect, target)
    target = await _published(target)
    assert target.facts.publication is not None
    changed_password = passwords.keep(target.source.name, target.dsn.password)
    wanted = connector_config(
        target.source,
        Surroundings(
            endpoint=target.dsn.endpoint,
            password=passwords.reference(target.source.name) if target.dsn.password else "",
            topic_prefix=settings.kafka_topic_prefix,
            max_document_bytes=settings.max_document_bytes,
            publication_id=target.facts.publication.place,
            system_id=target.facts.system,
        ),
    )
    check_lineage(target.source.name, wanted, target.facts, existing)
    step = plan_connector(wanted, existing)
    if step.action is Action.NONE and changed_password:
        step = Step(Action.RESTART, "its password differs")
    await _act(connect, target, step, wanted)
    return step


async def _published(target: _Target) -> _Target:
    """The target with a publication that has its table, looked at once more: after the connector's position was."""
    table = target.source.postgres
    assert table is not None
    if target.facts.publication is None:
        await target.database.create_publication(table, target.slot)
    return replace(target, facts=await target.database.table_facts(table, target.slot))


async def _act(connect: ConnectClient, target: _Target, step: Step, wanted: Mapping[str, str]) -> None:
    name = target.connector
    match step.action:
        case Action.CREATE:
            # Created stopped, so that a position left by a connector of that name is forgotten first.
            await connect.create_stopped(name, wanted)
            await _forget(connect, target, step)
            await connect.resume(name)
        case Action.REREAD:
            await connect.stop(name)
            await _stopped(connect, name)
            await _forget(connect, target, step)
            await connect.put_config(name, wanted)
            await connect.resume(name)
        case Action.CHANGE:
            await connect.put_config(name, wanted)
            await connect.resume(name)
            await connect.restart(name, only_failed=True)
        case Action.RESTART:
            await connect.restart(name, only_failed=False)
        case Action.RESUME:
            await connect.resume(name)
        case Action.NONE:
            pass


async def _forget(connect: ConnectClient, target: _Target, step: Step) -> None:
    """A stopped connector begins anew afterwards."""
    await connect.forget_position(target.connector)
    if step.new_slot:
        await _drop_slot(target.database, target.slot)


async def _drop_slot(database: SourceDatabase, slot: str) -> None:
    """A task that stopped may hold it a little longer."""
    async with _within(STOP_SECONDS, f"replication slot {slot} is still in use"):
        while await database.slot(slot) is not None:
            await database.drop_slot(slot)
            await asyncio.sleep(POLL_SECONDS)


async def _stopped(connect: ConnectClient, name: str) -> None:
    """Until the connector has no task any more."""
    async with _within(STOP_SECONDS, f"connector {name} does not stop"):
        while True:
            state = await connect.state(name)
            if state is None or (state.state == "STOPPED" and not state.tasks):
                return
            await asyncio.sleep(POLL_SECONDS)


async def _wait_running(connect: ConnectClient, target: _Target) -> None:
    """Until the connector runs and has its slot. Raises ConfigError when it fails, TransientError when it is slow."""
    about = f"source {target.source.name}: its connector"
    async with _within(READY_SECONDS, f"{about} does not come up: `millstream status` says why"):
        while True:
            state = await connect.state(target.connector)
            if state is not None and (trace := state.failed_trace) is not None:
                failure = explain(trace)
                raise ConfigError(f"{about} fails: {failure.what}: {failure.remedy}")
            if state is not None and state.running and await target.database.slot(target.slot) is not None:
                return
            await asyncio.sleep(POLL_SECONDS)


async def _ours(connect: ConnectClient, settings: Settings) -> tuple[str, ...]:
    """Names of this installation's connectors."""
    stem = connector_stem(settings.kafka_topic_prefix)
    return tuple(sorted(name for name in await connect.names() if name.startswith(stem)))


async def _remove_others(
    connect: ConnectClient,
    settings: Settings,
    environment: Mapping[str, str],
    wanted: Sources,
    before: Sources | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove connectors of sources that are no longer declared; the sources, and what is left for somebody to do."""
    declared = {connector_name(settings.kafka_topic_prefix, source.name) for source in wanted.captured}
    gone = [name for name in await _ours(connect, settings) if name not in declared]
    notes: list[str] = []
    removed: list[str] = []
    for name in gone:
        source = name.removeprefix(connector_stem(settings.kafka_topic_prefix))
        await connect.stop(name)
        await _stopped(connect, name)
        await connect.forget_position(name)
        await connect.delete(name)
        removed.append(source)
        slot = slot_name(settings.kafka_topic_prefix, source)
        try:
            await _clean_database(before.get(source) if before is not None else None, environment, slot)
        except MillstreamError as error:
            notes.append(
                f"source {source}: its slot still holds back the database's log ({error}); there, run "
                f"SELECT pg_drop_replication_slot('{slot}'); DROP PUBLICATION {slot}"
            )
        PasswordStore.of(settings).forget(source)
    return tuple(removed), tuple(notes)


async def _clean_database(known: SourceConfig | None, environment: Mapping[str, str], slot: str) -> None:
    if known is None or known.postgres is None:
        raise ConfigError("its database is not known any more")
    database = SourceDatabase(dsn_of(known, environment), known.name)
    await _drop_slot(database, slot)
    await database.drop_publication(slot)


def _notes(target: _Target, action: Action) -> Sequence[str]:
    table = target.source.postgres
    assert table is not None
    notes = list(advice(target.source, target.facts))
    if table.shape == "outbox" and action is Action.REREAD:
        notes.append(
            f"source {target.source.name}: events written while it did not run are not read: insert them again"
        )
    return notes


@asynccontextmanager
async def _within(seconds: float, otherwise: str) -> AsyncIterator[None]:
    """Give the body so long. Raises TransientError with `otherwise`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TransientError(otherwise) from None
