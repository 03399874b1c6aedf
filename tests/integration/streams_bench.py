"""What the integration tests of the stages share: stage processes, changes to post, ways to look at the outcome."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from index.model import DocumentRow, IndexIdentity, Published, newest_head
from index.weaviate import open_index
from runtime.aio_kafka import LogProducer
from runtime.declarations import load_topics
from runtime.kafka import KafkaAdmin, read_topic
from runtime.settings import Settings
from schemas.codec import decode, encode
from schemas.headers import headers_of
from schemas.identity import DocId, Source, Tenant
from schemas.records import Coordinates, DeadLetter, DocumentChange, Origin
from schemas.sources import Sources, parse_sources
from schemas.topics import CHANGES, DLQ, mutations_topic
from schemas.versions import RANKS, Op, StatedVersion
from streams.groups import apply_group, prepare_group

SOURCES: Sources = parse_sources(
    "version: 1\nsources: [{name: wiki, tenant: acme, kind: webhook, default_acl: [public]}]\n"
)
TENANT, SOURCE = Tenant("acme"), Source("wiki")
PATIENCE_SECONDS = 120.0


def eventually(
    what: str, check: Callable[[], bool], seconds: float = PATIENCE_SECONDS, *, log: Path | None = None
) -> None:
    """Wait until `check` holds. Fails with `what`, and the end of `log`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() >= deadline:
            said = "" if log is None else f"\n{log.read_text()[-3000:]}"
            raise AssertionError(f"not within {seconds:.0f} s: {what}{said}")
        time.sleep(0.1)


class StageRun:
    """One process of `python -m streams`; its output is in `log`."""

    def __init__(self, stage: str, environment: Mapping[str, str], log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams", "--stage", stage],
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")},
                    **environment,
                    "MILLSTREAM_METRICS_PORT": "0" if stage == "all" else str(self._port),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ready(self) -> bool:
        """Whether /readyz says so. Fails when the process ended."""
        assert self.process.poll() is None, f"the stage ended:\n{self.log.read_text()[-4000:]}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def until_ready(self) -> "StageRun":
        eventually("the stage is ready", self.ready)
        return self

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


class Stages:
    """Stage processes of a test or a module."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder
        self.runs: list[StageRun] = []

    def start(self, stage: str, **more: str) -> StageRun:
        """One with `more` in its environment."""
        run = StageRun(stage, {**self.environment, **more}, self.folder / f"{len(self.runs)}-{stage}.log")
        self.runs.append(run)
        return run

    async def ready(self, stage: str) -> StageRun:
        """One that is ready."""
        return await asyncio.to_thread(self.start(stage).until_ready)

    def running(self) -> list[StageRun]:
        """Those that were not ended."""
        return [run for run in self.runs if run.process.poll() is None]

    def kill(self) -> None:
        """End what still runs."""
        for run in self.running():
            run.kill()


def change(doc: str, body: str, op: Op = Op.UPSERT, *, acl: tuple[str, ...] | None = None) -> DocumentChange:
    """A change of one document of acme's wiki."""
    return DocumentChange(
        tenant=TENANT,
        source=SOURCE,
        doc_id=DocId(doc),
        op=op,
        version=StatedVersion(1, None, RANKS[op]),
        event_id=f"{doc}:{body}",
        content_type="text/plain",
        body=body.encode() if op is Op.UPSERT else None,
        acl=acl,
        default_acl=("public",),
        received_at=datetime.now(UTC),
        origin=Origin(connector="webhook", reference=body),
    )


class Bench:
    """Posts changes and looks at what became of them."""

    def __init__(self, settings: Settings, log: LogProducer) -> None:
        self.settings = settings
        self.topics = load_topics(settings)
        self.log = log

    async def post(self, record: DocumentChange) -> Coordinates:
        """Append a change as the connectors do."""
        partition = self.topics.partition(CHANGES, document=record.document)
        return await self.log.append(CHANGES, partition, record.key, encode(record), headers_of(record))

    async def rows(self) -> list[DocumentRow]:
        """Every valid document row of the source, in order of seq."""
        index = open_index(self.settings)
        try:
            head = newest_head(await index.heads(TENANT))
            assert head is not None
            published = Published(head)
            rows = [row async for row in index.source_rows(TENANT, SOURCE) if published.is_valid(row)]
        finally:
            await index.close()
        return sorted(rows, key=lambda row: row.from_seq)

    async def texts(self, row: DocumentRow) -> str:
        """The text of a document row's manifest."""
        index = open_index(self.settings)
        try:
            chunks = await index.chunks(TENANT, row.chunk_ids())
        finally:
            await index.close()
        return "\n".join(chunks[entry.chunk_id].text for entry in row.manifest)

    def lag(self) -> int:
        """Records not acknowledged by either stage."""
        admin = KafkaAdmin(self.settings)
        mutations = mutations_topic(self.settings.generation)
        identity = IndexIdentity(self.settings.generation, self.settings.incarnation)
        stages = {prepare_group(identity.generation): CHANGES, apply_group(identity): mutations}
        return sum(sum(admin.lag(group, topic).values()) for group, topic in stages.items())

    def letters(self) -> list[DeadLetter]:
        """Every dead letter."""
        return [decode(record.value or b"", DeadLetter) for record in read_topic(self.settings, DLQ)]


@asynccontextmanager
async def open_bench(settings: Settings) -> AsyncIterator[Bench]:
    """A bench on a producer of its own."""
    log = LogProducer(settings)
    await log.start()
    try:
        yield Bench(settings, log)
    finally:
        await log.stop()
