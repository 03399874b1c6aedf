"""The configuration of a source's connector: everything Debezium 3.7 has to be told, and why.

Pure: the same source gives the same configuration, so a connector that has it already is left alone. Two entries are
ours, and Connect keeps them for us: what the rows were read by, and which publication they came through.
"""

import hashlib
import json
import re
from dataclasses import dataclass

from connectors.debezium.names import capture_topic, connector_name, slot_name
from runtime.log_port import MAX_RECORD_BYTES
from schemas.headers import EPOCH
from schemas.sources import PostgresTable, SourceConfig

MAPPING = "millstream.mapping"
"""Entry with a digest of what decides how a row reads: where it changes, every row has to be read again."""
PUBLICATION = "millstream.publication"
"""Entry with the identity of the table's place in its publication: another one means that changes passed by unseen."""
SYSTEM = "millstream.system"
"""Entry with the identity of the database cluster: positions of two clusters cannot be compared."""

HEARTBEAT_PREFIX = "millstream"
HEARTBEAT_SECONDS = 10
_JSON = "org.apache.kafka.connect.json.JsonConverter"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the source's database is, as Connect reaches it; no password."""

    host: str
    port: int
    user: str
    database: str
    ssl_mode: str = ""
    ssl_root_certificate: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connector needs besides its source. `password`: a reference that Connect's config provider resolves, or
    empty for a database that asks none.
    """

    endpoint: Endpoint
    password: str
    topic_prefix: str
    max_document_bytes: int
    publication_id: str
    system_id: str


def connector_config(source: SourceConfig, around: Surroundings) -> dict[str, str]:
    """The connector's configuration, as Connect keeps it."""
    table = source.postgres
    assert table is not None, "only sources of kind postgres are captured"
    name = slot_name(around.topic_prefix, source.name)
    return {
        "name": connector_name(around.topic_prefix, source.name),
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        **_database(around.endpoint, around.password),
        "topic.prefix": f"{around.topic_prefix}{source.name}",
        "plugin.name": "pgoutput",
        "slot.name": name,
        "publication.name": name,
        # Ours to make: a connector that made a lost one again would pass over what was written meanwhile.
        "publication.autocreate.mode": "disabled",
        **_events(table, around.max_document_bytes),
        **_snapshot(table),
        **_records(f"{around.topic_prefix}{capture_topic(source.name)}", source.epoch),
        **_failures(),
        MAPPING: mapping_digest(source),
        PUBLICATION: around.publication_id,
        SYSTEM: around.system_id,
    }


def mapping_digest(source: SourceConfig) -> str:
    """What decides how a row of the source reads as a document, in 16 hexadecimal digits."""
    read_by = source.model_dump(mode="json", include={"name", "tenant", "epoch", "default_acl", "postgres"})
    read_by["postgres"].pop("dsn_env")
    return hashlib.sha256(json.dumps(read_by, sort_keys=True).encode()).hexdigest()[:16]


def _database(endpoint: Endpoint, password: str) -> dict[str, str]:
    given = {
        "database.hostname": endpoint.host,
        "database.port": str(endpoint.port),
        "database.user": endpoint.user,
        "database.password": password,
        "database.dbname": endpoint.database,
        "database.sslmode": endpoint.ssl_mode,
        "database.sslrootcert": endpoint.ssl_root_certificate,
    }
    return {name: value for name, value in given.items() if value}


def _events(table: PostgresTable, max_document_bytes: int) -> dict[str, str]:
    """Which rows and columns become events, and how values are written: exactly, as text.

    An update that leaves a large column alone comes without it. Debezium's reselect would read that column alone, as it
    is now: a text of now under an acl of then. Capture reads the row as a whole (docs/adr/0017).
    """
    named = tuple(dict.fromkeys((*table.columns.named, *table.pii_columns)))
    cut = tuple(column for column in named if column not in table.columns.key)
    return {
        "table.include.list": re.escape(table.table),
        # What no column of the mapping holds never leaves the database.
        "column.include.list": _columns(table, named),
        "message.key.columns": f"{re.escape(table.table)}:{','.join(table.columns.key)}",
        # A text over the limit would be a record that no broker takes and end the task: cut to one character more than
        # a document may have, it passes, and is refused as one document.
        f"column.truncate.to.{max_document_bytes + 1}.chars": _columns(table, cut),
        "skipped.operations": "none",
        "tombstones.on.delete": "true",
        "decimal.handling.mode": "string",
        "time.precision.mode": "isostring",
        "interval.handling.mode": "string",
        "binary.handling.mode": "base64",
        "include.unknown.datatypes": "false",
    }


def _columns(table: PostgresTable, names: tuple[str, ...]) -> str:
    return f"{re.escape(table.table)}\\.({'|'.join(names)})"


def _snapshot(table: PostgresTable) -> dict[str, str]:
    """Rows are read when there is no position yet, and again when the server has lost it. The events of an outbox stand
    in an order that a snapshot, where all have one position, would lose: they are read from the stream alone, and a
    lost position fails the task.
    """
    return {
        "snapshot.mode": "no_data" if table.shape == "outbox" else "when_needed",
        "snapshot.fetch.size": "100",
        # A slot somebody made anew is behind or ahead of the position: never go on as if nothing were missing.
        "offset.mismatch.strategy": "trust_offset",
        # STARTED and COMPLETED, in the source's own topic, around the rows.
        "notification.enabled.channels": "sink",
        "notification.sink.topic.name": "notifications",
    }


def _records(topic: str, epoch: int) -> dict[str, str]:
    """One topic for rows, heartbeats and notifications, so that they keep their order. Each says the epoch it was told
    in: when that is raised, what an earlier connector told is still being read.
    """
    converters = {}
    for side in ("key", "value"):
        converters[f"{side}.converter"] = _JSON
        converters[f"{side}.converter.schemas.enable"] = "false"
        # Or a NULL reads as the column's default: an acl that nobody set.
        converters[f"{side}.converter.replace.null.with.default"] = "false"
    return converters | {
        "extended.headers.enabled": "false",
        "header.converter": "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        "transforms": "topic,epoch",
        "transforms.topic.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.topic.regex": ".*",
        "transforms.topic.replacement": topic,
        "transforms.epoch.type": "org.apache.kafka.connect.transforms.InsertHeader",
        "transforms.epoch.header": EPOCH,
        "transforms.epoch.value.literal": str(epoch),
        "poll.interval.ms": "10",
        "max.queue.size.in.bytes": str(4 * MAX_RECORD_BYTES),
        "heartbeat.interval.ms": str(1000 * HEARTBEAT_SECONDS),
        # Moves the slot where this table is quiet and its neighbours are not; a message needs no table of ours.
        "heartbeat.action.query": f"SELECT pg_logical_emit_message(false, '{HEARTBEAT_PREFIX}', '')",
        "message.prefix.exclude.list": ".*",
        "producer.override.linger.ms": "0",
        "producer.override.acks": "all",
        "producer.override.enable.idempotence": "true",
        "producer.override.max.request.size": str(MAX_RECORD_BYTES),
    }


def _failures() -> dict[str, str]:
    """What cannot be read ends the task, where it is seen; a database that is away is asked again."""
    return {
        "errors.tolerance": "none",
        "errors.log.include.messages": "false",
        "event.processing.failure.handling.mode": "fail",
        "event.converting.failure.handling.mode": "fail",
        "errors.max.retries": "-1",
        "retriable.restart.connector.wait.ms": "2000",
        "slot.max.retries": "3",
        "slot.retry.delay.ms": "2000",
    }
