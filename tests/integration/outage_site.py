"""An installation whose parts are taken away: its processes on the run's real Kafka and Weaviate, what its users see of
it, and the comparison of its whole index with the serial reference.
"""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import orjson

from cli.installing import install
from connectors.webhook.client import post_signed
from index.model import DocumentRow, Published, newest_head
from index.weaviate import open_index
from infra.local.stack import Stack
from runtime.kafka import read_topic
from runtime.settings import Settings, settings_from
from schemas.codec import decode
from schemas.errors import TransientError
from schemas.identity import Document
from schemas.records import DeadLetter
from schemas.sources import parse_sources
from schemas.topics import CHANGES, DLQ
from serving.auth import issue_token
from tests.integration.slow_line import SlowLine, slow_line
from tests.integration.streams_bench import SOURCE, TENANT, StageRun, eventually
from tests.reference import differences, logged, reference

DECLARED = "version: 1\nsources: [{name: wiki, tenant: acme, kind: webhook, default_acl: [public]}]\n"
BUDGET_SECONDS = 9.0
"""The longest that any answer or refusal of the API may take: a client that waits no longer gets one."""


@dataclass(frozen=True)
class Reply:
    """What a process answered."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, object]


@dataclass
class Site:
    """The processes of one installation."""

    settings: Settings
    environment: Mapping[str, str]
    stack: Stack
    line: SlowLine
    """From the processes to the store."""
    runner: asyncio.Runner
    """One event loop for every look at the index: gRPC's poller belongs to the first."""
    folder: Path
    """Of its settings and logs."""
    stages: dict[str, StageRun] = field(default_factory=dict)
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def headers(self) -> dict[str, str]:
        """Of somebody who may read everything."""
        token = issue_token(self.settings, TENANT, "ada", ["staff"])
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, question: str, **more: object) -> Reply:
        """POST /v1/query. Fails where it takes longer than the budget."""
        return call(f"{self.api}/v1/query", self.headers(), orjson.dumps({"question": question, **more}))

    def document(self, doc_id: str) -> Reply:
        """GET of a document. Fails where it takes longer than the budget."""
        return call(f"{self.api}/v1/documents/{SOURCE}/{quote(doc_id, safe='')}", self.headers())

    @property
    def api(self) -> str:
        """Address of the query API."""
        return f"http://{self.settings.api_host}:{self.settings.api_port}"

    def ready(self, process: str) -> Reply:
        """What /readyz of `api` or `ingest` says."""
        ports = {"api": self.settings.api_port, "ingest": self.settings.ingest_port}
        return call(f"http://127.0.0.1:{ports[process]}/readyz", {})

    def say(self, doc_id: str, text: str = "", *, op: str = "upsert", acl: tuple[str, ...] | None = None) -> None:
        """Post an event. Raises TransientError where it is not accepted."""
        event = {"op": op, "doc_id": doc_id, "body": text, "acl": None if acl is None else list(acl)}
        body = orjson.dumps({name: value for name, value in event.items() if value not in ("", None)})
        post_signed(self.settings, SOURCE, body)

    def until(self, what: str, doc_id: str, status: int, text: str = "", seconds: float = 60.0) -> None:
        """Wait until a document reads so."""

        def holds() -> bool:
            found = call(f"{self.api}/v1/documents/{SOURCE}/{quote(doc_id, safe='')}?text=true", self.headers())
            return found.status == status and text in orjson.dumps(found.body).decode()

        eventually(what, holds, seconds)

    def until_settled(self, seconds: float = 90.0) -> None:
        """Wait until the whole index is what the log says; fails with the differences. No record became a letter."""
        found = ["not looked yet"]

        def is_settled() -> bool:
            found[:] = self.differences()
            return not found

        try:
            eventually("the index equals the reference", is_settled, seconds)
        except AssertionError:
            raise AssertionError(f"not settled after {seconds:.0f} s: {found}") from None
        assert self.letters() == []

    def differences(self) -> list[str]:
        """Between the newest state of every document and the serial reference."""
        try:
            wanted = reference(logged(read_topic(self.settings, CHANGES)))
            return differences(wanted, self.runner.run(newest_rows(self.settings)))
        except TransientError as error:
            return [str(error)]

    def letters(self) -> list[str]:
        """Every dead letter: reason and document."""
        found = [decode(record.value or b"", DeadLetter) for record in read_topic(self.settings, DLQ)]
        return [f"{letter.reason} {letter.doc_id}" for letter in found]

    def keep(self, stage: str) -> None:
        """Start a stage again where it has ended, as its supervisor does."""
        run = self.stages[stage]
        if run.process.poll() is not None:
            self.stages[stage] = StageRun(stage, self.environment, run.log)

    def log_of(self, process: str) -> Path:
        """What `serving` or `connectors.webhook` printed."""
        return self.folder / f"{process}.log"

    def pids(self) -> dict[str, int]:
        """Of the stages; fails where one ended."""
        for name, run in self.stages.items():
            assert run.process.poll() is None, f"{name} ended:\n{run.log.read_text()[-3000:]}"
        return {name: run.process.pid for name, run in self.stages.items()}


async def newest_rows(settings: Settings) -> dict[Document, DocumentRow]:
    """The valid row in force of every document."""
    index = open_index(settings)
    try:
        head = newest_head(await index.heads(TENANT))
        assert head is not None
        published, newest = Published(head), dict[Document, DocumentRow]()
        async for row in index.source_rows(TENANT, SOURCE):
            known = newest.get(row.document)
            state = published.state_at((row,) if known is None else (known, row), published.seq)
            if state is not None:
                newest[row.document] = state
        return newest
    finally:
        await index.close()


def call(url: str, headers: Mapping[str, str], body: bytes | None = None, seconds: float = BUDGET_SECONDS) -> Reply:
    """One request; status 0 where nothing listens. Fails where it takes longer."""
    request = urllib.request.Request(url, data=body, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return Reply(answer.status, dict(answer.headers), orjson.loads(answer.read()))
    except urllib.error.HTTPError as error:
        return Reply(error.code, dict(error.headers), orjson.loads(error.read()))
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise
        return Reply(0, {}, {})


@contextmanager
def running_site(environment: Mapping[str, str], folder: Path, stack: Stack) -> Iterator[Site]:
    """Start everything and end it again."""
    with slow_line(environment["MILLSTREAM_WEAVIATE_GRPC"]) as line, _running(environment, folder, stack, line) as site:
        yield site


@contextmanager
def _running(environment: Mapping[str, str], folder: Path, stack: Stack, line: SlowLine) -> Iterator[Site]:
    (folder / "sources.yaml").write_text(DECLARED)
    (folder / "secrets.json").touch(mode=0o600)
    (folder / "secrets.json").write_text(json.dumps({"wiki": "whsec_" + base64.b64encode(b"o" * 32).decode()}))
    own = {
        **environment,
        "MILLSTREAM_SOURCES_FILE": str(folder / "sources.yaml"),
        "MILLSTREAM_WEBHOOK_SECRETS_FILE": str(folder / "secrets.json"),
        "MILLSTREAM_EMBEDDING_THREADS": "1",
        "MILLSTREAM_LOG_DIR": str(folder / "logs"),
        "MILLSTREAM_WEAVIATE_GRPC": line.address,
    }
    site = Site(settings_from(own), own, stack, line, asyncio.Runner(), folder)
    site.runner.run(install(site.settings, parse_sources(DECLARED)))
    try:
        for stage in ("prepare", "apply", "hide"):
            site.stages[stage] = StageRun(stage, own, folder / f"{stage}.log")
        for module in ("connectors.webhook", "serving"):
            site.others.append(_start(module, own, folder / f"{module}.log"))
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(StageRun.until_ready, site.stages.values()))
        for process in ("api", "ingest"):
            eventually(f"{process} is ready", lambda process=process: site.ready(process).status == 200)  # type: ignore[misc]
        yield site
    finally:
        for child in (*(run.process for run in site.stages.values()), *site.others):
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        site.runner.close()


def _start(module: str, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            env={**clean, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
