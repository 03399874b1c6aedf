"""An installation as its users have it: a project's folder, the `millstream` command in it, the two APIs over HTTP."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import orjson

from cli.http import request
from connectors.webhook.client import post_signed
from index.model import IndexIdentity
from infra.local import profile as profiles
from infra.local.status import State, Status, UnitStatus, read_status
from runtime.kafka import KafkaAdmin
from runtime.settings import Settings, settings_from
from schemas.topics import CHANGES, mutations_topic
from serving.auth import issue_token
from serving.caller import QUERY
from serving.models import DocumentResponse, QueryResponse, VersionsResponse
from streams.groups import apply_group, prepare_group

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MILLSTREAM = Path(sys.executable).with_name("millstream")
PATIENCE_SECONDS = 120.0


def eventually(what: str, holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds. Fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


@dataclass(frozen=True)
class Printed:
    """What a command said, and how it ended."""

    out: str
    err: str
    exit_code: int

    def json(self) -> object:
        """The one JSON document on standard output. Fails when there is anything else."""
        return orjson.loads(self.out)


@dataclass(frozen=True)
class Installation:
    """A project's folder and the environment its user has: other ports than the defaults, nothing else of ours."""

    folder: Path
    environ: Mapping[str, str]

    @property
    def state_dir(self) -> Path:
        """Where `millstream up` keeps everything."""
        return self.folder / ".millstream"

    @property
    def settings(self) -> Settings:
        """Those of its processes."""
        profile = profiles.read(self.state_dir)
        assert profile is not None
        return settings_from(profile.environment(self.environ))

    def millstream(self, *arguments: str, exit_code: int = 0) -> Printed:
        """Run the command in the project's folder. Fails when it ends otherwise than expected."""
        done = subprocess.run(
            [str(MILLSTREAM), *arguments],
            cwd=self.folder,
            env=dict(self.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == exit_code, f"millstream {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return Printed(done.stdout, done.stderr, done.returncode)

    def load(self, source: str, folder: Path, *more: str) -> dict[str, int]:
        """`millstream load`: how many documents were sent, unchanged, deleted."""
        done = self.millstream("load", str(folder), "--source", source, *more, "--json").json()
        assert isinstance(done, dict)
        return {name: done[name] for name in ("sent", "unchanged", "deleted")}

    def status(self) -> Status:
        """What runs."""
        return read_status(self.state_dir)

    def unit(self, name: str) -> UnitStatus:
        """What a process does. Fails when there is no such."""
        unit = self.status().unit(name)
        assert unit is not None, name
        return unit

    def runs_again(self, name: str, restarts: int) -> bool:
        """Whether a process that was started so many times again is so once more. Fails when it was given up."""
        unit = self.unit(name)
        assert unit.state is not State.FAILED, unit.message
        return unit.state is State.READY and unit.restarts > restarts

    def bearer(self, *groups: str, tenant: str = "aurora", scopes: tuple[str, ...] = (QUERY,)) -> dict[str, str]:
        """A header for somebody of these groups."""
        return {"Authorization": f"Bearer {issue_token(self.settings, tenant, 'ada', groups, scopes)}"}

    def api(self, path: str) -> str:
        """An address of the query API."""
        return f"http://{self.settings.api_host}:{self.settings.api_port}{path}"

    def query(self, question: str, *groups: str, tenant: str = "aurora", **more: object) -> QueryResponse:
        """POST /v1/query. Raises RefusedError for a problem, TransientError when nothing answers."""
        headers = self.bearer(*groups, tenant=tenant)
        found = request("POST", self.api("/v1/query"), {"question": question, "wait_ms": 10_000, **more}, headers)
        return QueryResponse.model_validate_json(orjson.dumps(found))

    def document(
        self, source: str, doc_id: str, *groups: str, tenant: str = "aurora", rest: str = ""
    ) -> DocumentResponse:
        """GET /v1/documents/{source}/{doc_id}. Raises RefusedError."""
        path = f"/v1/documents/{source}/{quote(doc_id, safe='')}{rest}"
        found = request("GET", self.api(path), headers=self.bearer(*groups, tenant=tenant))
        return DocumentResponse.model_validate_json(orjson.dumps(found))

    def versions(self, source: str, doc_id: str, *groups: str) -> VersionsResponse:
        """The same document's audit trail, for somebody who may see what was deleted. Raises RefusedError."""
        headers = self.bearer(*groups, scopes=(QUERY, "history"))
        path = f"/v1/documents/{source}/{quote(doc_id, safe='')}/versions"
        return VersionsResponse.model_validate_json(orjson.dumps(request("GET", self.api(path), headers=headers)))

    def post(self, source: str, event: object) -> tuple[str, ...]:
        """Post to the signed webhook; the tokens of its 202. Raises PermanentError, TransientError."""
        body = event if isinstance(event, bytes) else orjson.dumps(event)
        return post_signed(self.settings, source, body)

    def settle(self) -> None:
        """Wait until both stages have acknowledged all that is in the log."""
        admin, generation = KafkaAdmin(self.settings), self.settings.generation
        identity = IndexIdentity(generation, self.settings.incarnation)
        stages = {prepare_group(generation): CHANGES, apply_group(identity): mutations_topic(generation)}
        eventually(
            "the stages have acknowledged everything",
            lambda: not any(sum(admin.lag(group, topic).values()) for group, topic in stages.items()),
        )

    def logs(self) -> str:
        """Everything its processes wrote to their logs."""
        files = [*(self.state_dir / "logs").glob("*.log"), *(self.state_dir / "logs").glob("*.out")]
        return "\n".join(file.read_text(errors="replace") for file in files)


def users_environment(ports: Mapping[str, int]) -> dict[str, str]:
    """The caller's environment, without settings, with these ports; Postgres and Connect count as run by others."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MILLSTREAM_") or name == "MILLSTREAM_CACHE_DIR"
    }
    moved = {f"MILLSTREAM_PORT_{name.upper()}": str(port) for name, port in ports.items()}
    elsewhere = {
        "MILLSTREAM_POSTGRES_DSN": "postgresql://127.0.0.1:9/elsewhere",
        "MILLSTREAM_CONNECT_URL": "http://127.0.0.1:9",
    }
    return {**kept, **moved, **elsewhere, "MILLSTREAM_MAX_DOCUMENT_BYTES": "65536"}
