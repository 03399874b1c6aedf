"""What the tests of captured tables share: sources in force, capture processes, and what the log says of a table."""

import asyncio
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import yaml

from connectors.debezium.apply import Applied, apply_connectors
from connectors.debezium.names import capture_topic, connector_name, slot_name
from runtime.declarations import load_topics
from runtime.kafka import KafkaAdmin, read_topic
from runtime.settings import settings_from
from schemas.codec import decode
from schemas.records import DeadLetter, DocumentChange
from schemas.sources import Sources, parse_sources
from schemas.topics import CHANGES, DLQ
from schemas.versions import Op, Version
from streams.redrive import Settlement
from tests.integration.streams_bench import StageRun

Database = psycopg.Connection[tuple[object, ...]]
Document = tuple[str, str]
"""Tenant and doc_id."""


def declared(name: str, columns: Mapping[str, object], *, epoch: int = 1, **postgres: object) -> dict[str, object]:
    """A source of the table of its name, as sources.yaml has it."""
    block = {"dsn_env": "MILLSTREAM_POSTGRES_DSN", "table": f"public.{name}", "columns": columns, **postgres}
    entry = {"name": name, "tenant": "aurora", "kind": "postgres", "epoch": epoch, "default_acl": ["staff"]}
    return {**entry, "postgres": block}


@dataclass(frozen=True)
class Told:
    """A document as documents.changes tells it, newest version by newest version."""

    title: str | None
    body: str
    acl: tuple[str, ...] | None


class Cdc:
    """One installation's captured sources: applied, captured, and read back."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.file = folder / "sources.yaml"
        self.environment = {**environment, "MILLSTREAM_SOURCES_FILE": str(self.file)}
        self.settings = settings_from(self.environment)
        self.folder = folder
        self.runs: list[StageRun] = []
        self.in_force: Sources | None = None
        self.file.write_text("version: 1\nsources: []\n")
        self._entries: dict[str, dict[str, object]] = {}

    def database(self) -> Database:
        """A connection that commits each statement."""
        return psycopg.connect(self.environment["MILLSTREAM_POSTGRES_DSN"], autocommit=True)

    def apply(self, *entries: dict[str, object], instead_of: Sequence[str] = ()) -> Applied:
        """Declare these sources besides those there are, as `millstream source apply` does."""
        known = {name: entry for name, entry in self._entries.items() if name not in instead_of}
        self._entries = known | {str(entry["name"]): entry for entry in entries}
        text = yaml.safe_dump({"version": 1, "sources": list(self._entries.values())})
        wanted, before = parse_sources(text), self.in_force
        admin = KafkaAdmin(self.settings)
        names = tuple(source.name for source in wanted.captured)
        admin.apply(admin.plan(load_topics(self.settings).concrete(sources=names, generations=("g1",))))
        self.file.write_text(text)
        self.in_force = wanted
        return asyncio.run(apply_connectors(self.settings, self.environment, wanted, before))

    def capture(self) -> StageRun:
        """Start a capture process."""
        run = StageRun("capture", self.environment, self.folder / f"capture-{len(self.runs)}.log")
        self.runs.append(run)
        return run

    def stop(self) -> None:
        for run in self.runs:
            if run.process.poll() is None:
                run.stop()

    def slot(self, source: str) -> str:
        return slot_name(self.settings.kafka_topic_prefix, source)

    def connector(self, source: str) -> Callable[[str, str], None]:
        """Ask Connect something about the source's connector: method and path."""
        name = connector_name(self.settings.kafka_topic_prefix, source)

        def ask(method: str, path: str) -> None:
            url = f"{self.settings.connect_url}/connectors/{name}/{path}"
            urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30).close()

        return ask

    def lag(self, source: str) -> int:
        """Records of the source's topic that capture has not acknowledged."""
        group, topic = f"millstream.capture.{source}", capture_topic(source)
        return sum(KafkaAdmin(self.settings).lag(group, topic).values())

    def told(self, source: str) -> dict[Document, Told]:
        """The documents of a source that are there, whoever may read them."""
        contents: dict[Document, tuple[Version, DocumentChange]] = {}
        acls: dict[Document, tuple[Version, tuple[str, ...]]] = {}
        for record in read_topic(self.settings, CHANGES):
            change = decode(record.value or b"", DocumentChange)
            if change.source != source:
                continue
            document = (str(change.tenant), str(change.doc_id))
            version = change.version.at(record.coordinates.offset)
            if change.op is not Op.ACL and (document not in contents or contents[document][0] < version):
                contents[document] = (version, change)
            if change.acl is not None and (document not in acls or acls[document][0] < version):
                acls[document] = (version, change.acl)
        return {
            document: Told(change.title, (change.body or b"").decode(), acls[document][1] if document in acls else None)
            for document, (_, change) in contents.items()
            if change.op is Op.UPSERT
        }

    def letters(self) -> list[DeadLetter]:
        """Every dead letter."""
        letters = [decode(record.value or b"", DeadLetter) for record in read_topic(self.settings, DLQ)]
        return [letter for letter in letters if letter.stage not in set(Settlement)]

    def until_told(self, source: str, expected: Callable[[], Mapping[Document, Told]], seconds: float = 200.0) -> None:
        """Wait until the log tells what a table holds. Fails with the documents that differ."""
        deadline, pause = time.monotonic() + seconds, 0.2
        while True:
            wanted, found = dict(expected()), self.told(source)
            if found == wanted:
                return
            if time.monotonic() > deadline:
                differ = [key for key in {*wanted, *found} if wanted.get(key) != found.get(key)]
                shown = [(key, _short(wanted.get(key)), _short(found.get(key))) for key in sorted(differ)[:5]]
                raise AssertionError(f"{len(differ)} documents differ: {shown}; letters: {len(self.letters())}")
            time.sleep(pause)
            pause = min(4.0, 1.5 * pause)  # reading the log takes what the stage would need


def _short(told: Told | None) -> str:
    return "absent" if told is None else f"{told.title} {told.body[:12]}.. {told.acl}"
